"""How a training begins from a whole model, ours or torchvision's: with all it has learnt, and of its classes those
that go by the same name."""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from densenets.backbones import BACKBONES
from densenets.backbones.weights import SUFFIXES
from densenets.build import Model, ModelDescription, load_torchvision
from densenets.contract import ClassLayer
from densenets.errors import InputError, printable
from densenets.heads import HEADS
from densenets.run.folder import rank
from densenets.run.model import listed, load
from densenets.run.resume import GROUPS

NET = ("width", "padding", "normalize", "reduced_tail", "scale_last")
SHAPING = ("fpn", "bn_eps", "loss", "predictor_kernel", "filters")  # options that a head's weights were made for
PLACING = ("anchors", "scales", "aspect_ratios", "sizes", "ratios")  # likewise, but it can learn others
OPTIONAL = "auxiliary."  # a second head that only a training asks for
log = logging.getLogger(__name__)


class Known(NamedTuple):
    """A trained model, the words that chose it, and the names of its classes where they are known."""

    model: Any
    backbone: str
    head: str
    classes: list[str]


def start_from(model: Model, description: ModelDescription, path: str) -> None:
    """Give `model` the weights of a run folder, a checkpoint or a file of torchvision's, whatever its classes.

    A class is known by its name, capitals or not; the outputs of all others stay as they are. Raises InputError, one
    line, with `model` as it was, where the net or the head is another one. Runs nothing that the file contains.
    """
    known = _known(path, description.canvas)
    new = Known(model, description.backbone, description.head, description.classes)
    _refuse_other_net(known, new, path)
    told = _others(_options(known, PLACING), _options(new, PLACING))
    if told and rank() == 0:
        log.warning("warning: --start-from: %s: has learnt other default boxes: %s", printable(path), told)
    pairs = _same_classes(known.classes, new.classes)
    model.load_state_dict(_fitting(known.model, model, pairs, path))
    if rank() == 0:
        second = "; a second head begins anew" * (_has_second(model) and not _has_second(known.model))
        log.info("starting from %s: %s%s", printable(path), _told(pairs, new.classes), second)


def _known(path: str, canvas: tuple[int, int]) -> Known:
    if Path(path).suffix not in SUFFIXES:
        trained, description = load(path)
        return Known(trained, description.backbone, description.head, description.classes)
    net = load_torchvision(path, canvas)
    head = _word({word: head.place for word, head in HEADS.items()}, net)
    return Known(net, _word(BACKBONES, net.backbone), head, _torchvision_classes(head, net.num_classes))


def _word(places: dict[str, str], part: object) -> str:
    return next(word for word, place in places.items() if place.endswith(f":{type(part).__name__}"))


def _torchvision_classes(head: str, count: int) -> list[str]:
    """Those of the weights that torchvision offers, if these have as many."""
    if HEADS[head].task == "segmentation":
        from torchvision.models.segmentation import LRASPP_MobileNet_V3_Large_Weights as Weights

        names = [name.strip("_") for name in Weights.DEFAULT.meta["categories"]]  # "__background__"
    else:
        from torchvision.models.detection import SSDLite320_MobileNet_V3_Large_Weights

        names = SSDLite320_MobileNet_V3_Large_Weights.DEFAULT.meta["categories"][1:]  # background is none here
    return list(names) if len(names) == count else []


# Whether it is the same net


def _refuse_other_net(known: Known, new: Known, path: str) -> None:
    words = [{"--backbone": one.backbone, "--head": one.head} for one in (known, new)]
    nets = [_net(one) | _options(one, SHAPING) for one in (known, new)]
    if told := _others(*words) or _others(*nets):
        raise InputError(f"--start-from: {printable(path)}: is of another net: {told}")


def _net(one: Known) -> dict[str, Any]:
    made = asdict(one.model.backbone.options)
    made["reduced_tail"] = made["reduced_tail"] != "none"
    made["scale_last"] = made["scale_last"] and made["width"] < 1  # else it changes nothing
    return {f"--{name.replace('_', '-')}": made[name] for name in NET}


def _options(one: Known, names: tuple[str, ...]) -> dict[str, Any]:
    group, own = GROUPS[one.model.options_type], asdict(one.model.options)
    of_outputs = [name for name in names if name in own and (group, name) != ("seg", "loss")]
    return {f"--{group}.{name.replace('_', '-')}": own[name] for name in of_outputs}


def _others(before: dict[str, Any], now: dict[str, Any]) -> str:
    """ "--padding tf, not torch" for all that differ."""
    return printable(
        ", ".join(
            f"{flag} {_plain(before[flag])}, not {_plain(now[flag])}" for flag in now if before[flag] != now[flag]
        )
    )


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# What is taken over


def _same_classes(before: list[str], now: list[str]) -> dict[int, int]:
    """Label now -> label before. A name that differs in capitals alone is the same, unless there are two of them."""
    folded = [name.casefold() for name in before]
    exact = {name: label for label, name in enumerate(before) if before.count(name) == 1}
    alike = {name: label for label, name in enumerate(folded) if folded.count(name) == 1}
    found = {label: exact.get(name, alike.get(name.casefold())) for label, name in enumerate(now)}
    return {label: old for label, old in found.items() if old is not None}


def _fitting(before: Model, now: Model, pairs: dict[int, int], path: str) -> dict[str, Tensor]:
    """The state of `now` with all of `before` that it has a place for. Raises InputError for what does not fit."""
    given, own = before.state_dict(), now.state_dict()
    counts, layers = (before.num_classes, now.num_classes), _class_layers(now)
    for name in dict.fromkeys([*own, *given]):
        if name.startswith(OPTIONAL) and not (name in own and name in given):
            continue
        value, layer = given.get(name), layers.get(name.rpartition(".")[0])
        if value is not None and layer is not None:
            value = _rows(value, own[name], layer, counts, pairs)
        if value is None or name not in own or value.shape != own[name].shape:
            shapes = (list(state[name].shape) if name in state else "nothing" for state in (given, own))
            raise InputError(f"--start-from: {printable(path)}: {name} is {next(shapes)}, not {next(shapes)}")
        own[name] = value
    return own


def _has_second(model: Model) -> bool:
    return any(name.startswith(OPTIONAL) for name in model.state_dict())


def _class_layers(model: Model) -> dict[str, ClassLayer]:
    names = {module: name for name, module in model.named_modules()}
    return {names[one.layer]: one for one in model.class_layers()}


def _rows(
    before: Tensor, now: Tensor, layer: ClassLayer, counts: tuple[int, int], pairs: dict[int, int]
) -> Tensor | None:
    """`now` with the rows of `before` that are of no class or of the same; None where the layer is another one."""
    tables = zip((before, now), counts, strict=True)
    old, new = (rows.reshape(-1, layer.before + count, layer.values, *rows.shape[1:]) for rows, count in tables)
    if old.shape[0] != new.shape[0] or old.shape[2:] != new.shape[2:]:
        return None
    taken = new.clone()
    taken[:, : layer.before] = old[:, : layer.before]
    for label, same in pairs.items():
        taken[:, layer.before + label] = old[:, layer.before + same]
    return taken.reshape(now.shape)


def _told(pairs: dict[int, int], classes: list[str]) -> str:
    fresh = [name for label, name in enumerate(classes) if label not in pairs]
    if not fresh:
        return "all of the net and of its classes"
    return f"all of the net, {len(pairs)} of {len(classes)} classes by name; anew: {listed(fresh)}"
