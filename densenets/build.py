"""From two words to a model, and from a checkpoint back to it."""

from dataclasses import asdict, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from densenets.backbones import BACKBONES, build_backbone
from densenets.backbones.weights import load_named, load_weights, read_state
from densenets.config import SSDOptions
from densenets.errors import InputError, printable
from densenets.heads import HEADS
from densenets.heads import torchvision as tv

if TYPE_CHECKING:
    from densenets.heads.ssd import SSD  # the heads are imported when one is chosen


@dataclass(frozen=True)
class ModelDescription:
    """All that is needed to make a model again; plain types, saved in every checkpoint.

    classes: names in the order of the labels. category_ids: their ids in the data set's own files.
    canvas: (H, W) in px. weights: where the backbone started from, for the record.
    """

    backbone: str
    head: str
    classes: list[str]
    category_ids: list[int]
    canvas: tuple[int, int]
    width: float
    padding: str
    normalize: str
    reduced_tail: bool
    scale_last: bool
    weights: str | None
    ssd: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "canvas": list(self.canvas)}


def build_model(
    backbone: str = "v2",
    head: str = "ssdlite",
    num_classes: int = 80,
    *,
    size: int | tuple[int, int] = 320,
    width: float = 1.0,
    padding: str = "torch",
    normalize: str = "imagenet",
    reduced_tail: bool = False,
    scale_last: bool = True,
    weights: str | Path | None = None,
    ssd: SSDOptions | None = None,
) -> "SSD":
    """A detector (see `contract.Detector`) of any backbone and any head.

    Args:
        backbone: a word of `backbones.BACKBONES`.
        head: a word of `heads.HEADS`.
        num_classes: without background.
        size: of the canvas in px: a side, or (H, W).
        width: multiplier of the backbone's channels, as the papers have it.
        padding: "torch", or "tf" for TensorFlow's SAME.
        normalize: "imagenet", or "half" for [-1, 1].
        reduced_tail: V3's last stage halved (V3 paper, Table 6, dagger).
        scale_last: let V2's last layer shrink with widths below 1, as TensorFlow's detectors do.
        weights: state_dict the backbone starts from, see `backbones.weights.load_weights`.

    Raises InputError for a word that does not exist and for weights that do not fit.
    """
    if head not in HEADS:
        raise InputError(f"head: {printable(head)}: expected one of {', '.join(HEADS)}")
    module, _, name = HEADS[head].partition(":")
    head_class: type[SSD] = getattr(import_module(module), name)
    options = ssd or SSDOptions()
    net = build_backbone(
        backbone,
        width=width,
        padding=padding,
        normalize=normalize,
        reduced_tail=reduced_tail,
        scale_last=scale_last and backbone == "v2",
        bn_momentum=options.bn_momentum,
    )
    if weights is not None:
        load_weights(net, Path(weights))
    else:
        head_class.initialise(net)
    net.keep(head_class.taps)
    model: SSD = head_class(net, num_classes, canvas_of(size), width, options)
    return model.to(memory_format=torch.channels_last)


def canvas_of(size: int | list[int] | tuple[int, ...]) -> tuple[int, int]:
    """A side, or height and width, as (H, W). Raises InputError below 32 px, where the maps would be empty."""
    sides = (size,) if isinstance(size, int) else tuple(size)
    if len(sides) not in (1, 2):
        raise InputError(f"size: {list(sides)}: expected one side, or height and width")
    if min(sides) < 32:
        raise InputError(f"size: {min(sides)}: expected 32 px or more")
    return (sides[0], sides[-1])


def build_from(description: ModelDescription, weights: str | Path | None = None) -> "SSD":
    """The model a description tells of, with fresh weights, or its backbone with those of a file."""
    return build_model(
        description.backbone,
        description.head,
        len(description.classes),
        size=description.canvas,
        width=description.width,
        padding=description.padding,
        normalize=description.normalize,
        reduced_tail=description.reduced_tail,
        scale_last=description.scale_last,
        weights=weights,
        ssd=SSDOptions(**description.ssd),
    )


def read_description(plain: Any, source: str) -> ModelDescription:
    """A description from the plain types of a file. Raises InputError that names `source`."""
    wanted = {field.name for field in fields(ModelDescription)}
    if not isinstance(plain, dict) or plain.keys() != wanted:
        raise InputError(f"{printable(source)}: not a checkpoint of densenets (no description of the model)")
    if plain["backbone"] not in BACKBONES or plain["head"] not in HEADS:
        raise InputError(f"{printable(source)}: backbone or head unknown to this version")
    return ModelDescription(**{**plain, "canvas": cast(tuple[int, int], tuple(plain["canvas"]))})


def load_state(model: nn.Module, state: dict[str, Any], source: str) -> None:
    """Load strictly; InputError names `source` and the first thing that does not fit."""
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as fault:
        lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
        reason = lines[min(1, len(lines) - 1)]  # torch puts a headline before its list
        raise InputError(f"{printable(source)}: the weights do not fit: {printable(reason[:300])}") from fault


def load_torchvision(path: str | Path) -> "SSD":
    """torchvision's ssdlite320_mobilenet_v3_large from its state_dict: same boxes, scores and labels (less 1).

    torchvision numbers background 0; here labels start with the first class. Raises InputError.
    """
    state = read_state(Path(path))
    if not tv.is_ssdlite(state):
        raise InputError(f"{printable(path)}: not a state_dict of torchvision's ssdlite320_mobilenet_v3_large")
    backbone, head = tv.split_ssdlite(state)
    options = SSDOptions(anchors="torchvision", top_k="per-class", candidates=300, detections=300)
    model = build_model(
        "v3-large",
        "ssdlite",
        tv.num_classes(state),
        normalize="half",
        reduced_tail=tv.has_reduced_tail(backbone),
        ssd=options,
    )
    load_named(model.backbone, backbone, path)
    own = {f"backbone.{name}": value for name, value in model.backbone.state_dict().items()}
    load_state(model, own | head, str(path))
    return model
