"""From two words to a model, and from a checkpoint back to it."""

import types
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from densenets.backbones import BACKBONES, build_backbone
from densenets.backbones.base import NORMALIZATIONS
from densenets.backbones.weights import load_named, load_weights, read_state
from densenets.config import DetectionOptions, RCNNOptions, SegmentationOptions, SSDOptions
from densenets.errors import InputError, printable
from densenets.heads import HEADS, task_of
from densenets.heads import torchvision as tv

if TYPE_CHECKING:  # the heads are imported when one is chosen
    from densenets.heads.detection import Detection
    from densenets.heads.segmentation import Segmentation

Options: TypeAlias = DetectionOptions | SegmentationOptions
Model: TypeAlias = "Detection | Segmentation"

MOST_CLASSES = 10_000
LONGEST_SIDE = 8192  # px of a canvas


@dataclass(frozen=True)
class ModelDescription:
    """All that is needed to make a model again; plain types, saved in every checkpoint.

    classes: names in the order of the labels. category_ids: their ids in the data set's own files.
    canvas: (H, W) in px; of a segmenter, which takes any size, that of the crops it was trained on.
    weights: where the backbone started from, for the record. options: the fields of the head's options.
    palette: the data set's own colour of each class, red, green and blue; None where it has none.
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
    options: dict[str, Any]
    palette: list[list[int]] | None = None

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
    options: Options | None = None,
) -> Model:
    """A detector or segmenter (see `contract`) of any backbone and any head.

    Args:
        backbone: a word of `backbones.BACKBONES`.
        head: a word of `heads.HEADS`.
        num_classes: of a detector without background.
        size: of the canvas in px: a side, or (H, W). A segmenter takes images of any size.
        width: multiplier of the backbone's channels, as the papers have it.
        padding: "torch", or "tf" for TensorFlow's SAME.
        normalize: "imagenet", or "half" for [-1, 1].
        reduced_tail: the last stage halved: under a detector the dagger of V3 Table 6, under a segmenter RF2 (Table 7).
        scale_last: let V2's last layer shrink with widths below 1, as TensorFlow's detectors do; no segmenter reads it.
        weights: state_dict the backbone starts from, see `backbones.weights.load_weights`.
        options: the head's own kind of them; its defaults where not given.

    Raises InputError for a word that does not exist and for weights that do not fit.
    """
    if not 0 < num_classes <= MOST_CLASSES:
        raise InputError(f"{num_classes} classes: expected 1 to {MOST_CLASSES}")
    head_class = class_of(head)
    options = head_class.options_type() if options is None else options
    if not isinstance(options, head_class.options_type):
        raise TypeError(f"{head} takes {head_class.options_type.__name__}, not {type(options).__name__}")
    own_stride = options.output_stride if isinstance(options, SegmentationOptions) else None
    net = build_backbone(
        backbone,
        width=width,
        output_stride=own_stride or head_class.output_stride,
        padding=padding,
        normalize=normalize,
        reduced_tail=head_class.task if reduced_tail else "none",
        scale_last=scale_last and backbone == "v2" and head_class.task == "detection",
        bn_momentum=options.bn_momentum,
        atrous=head_class.atrous,
        bn_eps=options.bn_eps if isinstance(options, RCNNOptions) else None,
    )
    if weights is not None:
        load_weights(net, Path(weights))
    else:
        head_class.initialise(net)
    model: Model = head_class(net, num_classes, canvas_of(size), options)
    return model.to(memory_format=torch.channels_last)


def class_of(head: str) -> Any:
    """The class of a head, imported now; it states `task`, `options_type`, `output_stride` and `atrous`."""
    task_of(head)
    module, _, name = HEADS[head].place.partition(":")
    return getattr(import_module(module), name)


def canvas_of(size: int | list[int] | tuple[int, ...], name: str = "size") -> tuple[int, int]:
    """A side, or height and width, as (H, W). Raises InputError below 32 px, where the maps would be empty, and above
    8192 px, where no memory would do, that calls it `name`."""
    sides = (size,) if isinstance(size, int) else tuple(size)
    if len(sides) not in (1, 2):
        raise InputError(f"{name}: {list(sides)}: expected one side, or height and width")
    if min(sides) < 32:
        raise InputError(f"{name}: {min(sides)}: expected 32 px or more")
    if max(sides) > LONGEST_SIDE:
        raise InputError(f"{name}: {max(sides)}: expected {LONGEST_SIDE} px or less")
    return (sides[0], sides[-1])


def in_px(size: Sequence[int]) -> str:
    """(H, W) in words, in the order of --size and of the names of runs, told where it matters."""
    height, width = size
    return f"{height} x {width} px" + " (height x width)" * (height != width)


def build_from(description: ModelDescription, weights: str | Path | None = None) -> Model:
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
        options=class_of(description.head).options_type(**description.options),
    )


FIELDS: dict[str, Callable[[Any], bool]] = {  # of a description, and what each may be
    "backbone": lambda v: isinstance(v, str) and v in BACKBONES,
    "head": lambda v: isinstance(v, str) and v in HEADS,
    "classes": lambda v: fits(v, list[str]) and 0 < len(v) <= MOST_CLASSES and len(set(v)) == len(v),
    "category_ids": lambda v: fits(v, list[int]) and len(set(v)) == len(v) and all(abs(i) < 2**53 for i in v),
    "canvas": lambda v: fits(v, list[int]) and len(v) == 2 and 32 <= min(v) <= max(v) <= LONGEST_SIDE,
    "width": lambda v: fits(v, float) and 0 < v <= 10,
    "padding": lambda v: v in ("torch", "tf"),
    "normalize": lambda v: isinstance(v, str) and v in NORMALIZATIONS,
    "reduced_tail": lambda v: fits(v, bool),
    "scale_last": lambda v: fits(v, bool),
    "weights": lambda v: fits(v, str | None),
    "options": lambda v: type(v) is dict,  # of the head's kind: see below
    "palette": lambda v: fits(v, list[list[int]] | None) and all(_is_colour(colour) for colour in v or []),
}


def read_description(plain: Any, source: str) -> ModelDescription:
    """A description from the plain types of a file, every one judged. Raises InputError that names `source`."""
    shown = printable(source)
    if not isinstance(plain, dict) or plain.keys() != FIELDS.keys():
        raise InputError(f"{shown}: not a checkpoint of densenets (no description of the model)")
    bad = [name for name, right in FIELDS.items() if not right(plain[name])]
    bad = bad or [name for name in ("category_ids", "palette") if not _one_a_class(plain, name)]
    bad = bad or (_unfit_for_masks(plain) if task_of(plain["head"]) == "segmentation" else [])
    if bad:
        known = ", ".join(bad)
        raise InputError(f"{shown}: its description of the model cannot be one of this version: {known} [X03]")
    kind = class_of(plain["head"]).options_type
    if not fits(plain["options"], kind):
        raise InputError(f"{shown}: its description of the model cannot be one of this version: options [X03]")
    try:
        kind(**plain["options"])
    except InputError as fault:
        raise InputError(f"{shown}: {fault} [X03]") from fault
    return ModelDescription(**{**plain, "canvas": cast(tuple[int, int], tuple(plain["canvas"]))})


def _one_a_class(plain: dict[str, Any], name: str) -> bool:
    return plain[name] is None or len(plain[name]) == len(plain["classes"])


def _unfit_for_masks(plain: dict[str, Any]) -> list[str]:
    """What cannot stand in a mask of 8 bits, or not be drawn."""
    wide = not all(0 <= number <= 255 for number in plain["category_ids"])
    return ["category_ids"] * wide + ["palette"] * (plain["palette"] is None)


def _is_colour(value: list[int]) -> bool:
    return len(value) == 3 and all(0 <= part <= 255 for part in value)


def fits(value: object, hint: Any) -> bool:
    """Whether plain types are what a hint says: of a dataclass a dict of all its fields; an int is a float, no bool is
    an int."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return any(value == part and type(value) is type(part) for part in parts)
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if hint is Any:
        return True
    if origin is list:
        return type(value) is list and all(fits(item, parts[0]) for item in value)
    if origin is dict:
        return type(value) is dict and all(fits(k, parts[0]) and fits(v, parts[1]) for k, v in value.items())
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return type(value) is dict and value.keys() == hints.keys() and all(fits(value[k], hints[k]) for k in hints)
    if hint in (int, float):
        return type(value) in (int, hint) and abs(cast(float, value)) < 2**53  # false for NaN
    return type(value) is hint


def load_state(model: nn.Module, state: dict[str, Any], source: str) -> None:
    """Load strictly; InputError names `source` and the first thing that does not fit or is not finite."""
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as fault:
        lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
        reason = lines[min(1, len(lines) - 1)]  # torch puts a headline before its list
        raise InputError(f"{printable(source)}: the weights do not fit: {printable(reason[:300])}") from fault
    wild = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if wild:
        raise InputError(f"{printable(source)}: {len(wild)} weights are not finite, the first {printable(wild[0])}")


def check_shapes(description: ModelDescription, state: dict[str, Any], source: str) -> None:
    """Raises InputError unless `state` has the names and shapes of the described model, before that takes memory."""
    try:
        with torch.device("meta"):
            wanted = {name: value.shape for name, value in build_from(description).state_dict().items()}
    except InputError as fault:
        raise InputError(f"{printable(source)}: {fault} [X03]") from fault
    given = {name: value.shape if isinstance(value, Tensor) else None for name, value in state.items()}
    for name in [*wanted, *given]:
        if name not in given or name not in wanted or given[name] != wanted[name]:
            found, expected = (list(t[name] or ()) if name in t else "nothing" for t in (given, wanted))
            told = f"{printable(name)} is {found}, {expected} expected"
            raise InputError(f"{printable(source)}: the weights do not fit: {told} [X08]")


def load_torchvision(path: str | Path, size: int | tuple[int, int] | None = None) -> Model:
    """torchvision's own models from their state_dict: ssdlite320_mobilenet_v3_large and
    fasterrcnn_mobilenet_v3_large_fpn or ..._320_fpn, which give the same boxes, scores and labels (less 1: background
    is 0 there and none here), or lraspp_mobilenet_v3_large, the same logits.

    size: of a detector's canvas in px, 320 where not given. The two forms of Faster R-CNN have the same weights: up to
    640 px it has the settings of the second (150 proposals, of a score above 0.05), beyond those of the first (1,000).
    They give the same on a canvas whose sides are multiples of 32 px; another one torchvision fills up to that.

    Raises InputError for any other and for one that is not whole.
    """
    state = read_state(Path(path))
    known = next((net for net in TORCHVISION if net.is_it(state)), None)
    if known is None:
        names = "ssdlite320_mobilenet_v3_large, fasterrcnn_mobilenet_v3_large_fpn or lraspp_mobilenet_v3_large"
        raise InputError(f"{printable(path)}: not a state_dict of torchvision's {names}")
    try:
        backbone, head = known.split(state)
        model = known.build(state, backbone, canvas_of(size or 320))
    except (KeyError, IndexError, ValueError, AttributeError) as fault:
        raise InputError(f"{printable(path)}: parts of torchvision's net are missing: {printable(fault)}") from fault
    load_named(model.backbone, backbone, path)
    own = {f"backbone.{name}": value for name, value in model.backbone.state_dict().items()}
    load_state(model, own | head, str(path))
    return model


State: TypeAlias = dict[str, Tensor]


def _torchvision_ssdlite(state: State, backbone: State, size: tuple[int, int]) -> Model:
    options = SSDOptions(anchors="torchvision", top_k="per-class", candidates=300, detections=300)
    reduced, classes = tv.has_reduced_tail(backbone), tv.num_classes(state)
    return build_model(
        "v3-large", "ssdlite", classes, size=size, normalize="half", reduced_tail=reduced, options=options
    )


def _torchvision_faster_rcnn(state: State, backbone: State, size: tuple[int, int]) -> Model:
    classes = state["roi_heads.box_predictor.cls_score.weight"].shape[0] - 1
    few = max(size) <= 640
    places, least = (150, 0.05) if few else (1000, 0.0)
    options = RCNNOptions(
        fpn="torchvision",
        proposals=places,
        map_proposals=places,
        rpn_score_threshold=least,
        train_proposals=2000,
        samples=512,
        bn_eps=1e-5,
        score_threshold=0.05,
        candidates=1000,
    )
    return build_model("v3-large", "faster-rcnn-fpn", classes, size=size, options=options)


def _torchvision_lraspp(state: State, backbone: State, size: tuple[int, int]) -> Model:
    classes = state["classifier.low_classifier.weight"].shape[0]
    return build_model("v3-large", "lraspp-torchvision", classes, size=480)  # its recipe's crops


class Known(NamedTuple):
    """A net of torchvision's: how it is known, how its state dict is taken apart, what its parts fit."""

    is_it: Callable[[State], bool]
    split: Callable[[State], tuple[State, State]]
    build: Callable[[State, State, tuple[int, int]], Model]


TORCHVISION = (
    Known(tv.is_ssdlite, tv.split_ssdlite, _torchvision_ssdlite),
    Known(tv.is_faster_rcnn, tv.split_faster_rcnn, _torchvision_faster_rcnn),
    Known(tv.is_lraspp, tv.split_lraspp, _torchvision_lraspp),
)
