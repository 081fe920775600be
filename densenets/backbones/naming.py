"""What torchvision and timm call our layers. A naming is a table of module names, made from the net itself."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from torch import Tensor

from densenets.backbones.base import Backbone, Block
from densenets.backbones.classifier import ImageNetClassifier
from densenets.backbones.mobilenet_v2 import MobileNetV2
from densenets.backbones.mobilenet_v3 import MobileNetV3
from densenets.errors import InputError
from densenets.layers import InvertedResidual

BACKBONE = "backbone."  # before the names of a backbone's layers in a whole model of ours

Names = Iterator[tuple[str, str]]  # our module, the source's


def recognise(state: Mapping[str, Tensor]) -> str | None:
    """The naming of a state dict, by the name of the first convolution; None for a stranger."""
    marks = {
        "features.0.0.weight": "torchvision",
        "conv_stem.weight": "timm",
        "stem.conv.weight": "densenets",
        f"{BACKBONE}stem.conv.weight": "densenets",
    }
    return next((naming for mark, naming in marks.items() if mark in state), None)


def source_names(net: ImageNetClassifier, naming: str) -> dict[str, str]:
    """Our module to the source's, for all layers with weights of an unpruned net."""
    if naming == "densenets":
        owners = (key.rpartition(".")[0] for key in net.state_dict())
        return {owner: owner for owner in owners}
    if naming == "timm":
        return dict([*_timm(net.backbone), *_timm_tail(net.backbone)])
    if not isinstance(net.backbone, MobileNetV2 | MobileNetV3):
        raise InputError(f"torchvision has no {type(net.backbone).__name__}, so nothing in its naming fits")
    return dict([*_torchvision(net.backbone), *_torchvision_tail(net.backbone)])


def _layer(ours: str, conv: str, norm: str) -> Names:
    """A ConvNormAct."""
    yield f"{BACKBONE}{ours}.conv", conv
    yield f"{BACKBONE}{ours}.norm", norm


def _excite(ours: str, reduce: str, expand: str) -> Names:
    yield f"{BACKBONE}{ours}.excite.reduce", reduce
    yield f"{BACKBONE}{ours}.excite.expand", expand


def _torchvision(net: MobileNetV2 | MobileNetV3) -> Names:
    yield from _layer("stem", "features.0.0", "features.0.1")
    v2 = isinstance(net, MobileNetV2)
    for index, block in _blocks(net):
        body = f"features.{index + 1}.{'conv' if v2 else 'block'}"
        for place, (unit, _) in enumerate(block.named_children()):
            if unit == "excite":
                yield from _excite(f"blocks.{index}", f"{body}.{place}.fc1", f"{body}.{place}.fc2")
            elif unit == "project" and v2:
                yield from _layer(f"blocks.{index}.{unit}", f"{body}.{place}", f"{body}.{place + 1}")
            else:
                yield from _layer(f"blocks.{index}.{unit}", f"{body}.{place}.0", f"{body}.{place}.1")


def _torchvision_tail(net: MobileNetV2 | MobileNetV3) -> Names:
    last = f"features.{len(net.blocks) + 1}"
    yield from _layer("top", f"{last}.0", f"{last}.1")
    if isinstance(net, MobileNetV3):
        yield "hidden", "classifier.0"
        yield "classifier", "classifier.3"
    else:
        yield "classifier", "classifier.1"


def _timm(net: Backbone) -> Names:
    yield from _layer("stem", "conv_stem", "bn1")
    for (index, block), (stage, place) in zip(_blocks(net), _timm_places(net.WIDTHS), strict=True):
        theirs = f"blocks.{stage}.{place}"
        for number, (unit, conv) in enumerate(_timm_units(block), start=1):
            yield from _layer(f"blocks.{index}.{unit}", f"{theirs}.{conv}", f"{theirs}.bn{number}")
        if isinstance(block, InvertedResidual) and block.excite is not None:
            yield from _excite(f"blocks.{index}", f"{theirs}.se.conv_reduce", f"{theirs}.se.conv_expand")


def _timm_units(block: Block) -> list[tuple[str, str]]:
    if not isinstance(block, InvertedResidual):
        return [("depthwise", "conv_dw"), ("pointwise", "conv_pw")]
    if block.expand is None:
        return [("depthwise", "conv_dw"), ("project", "conv_pw")]
    return [("expand", "conv_pw"), ("depthwise", "conv_dw"), ("project", "conv_pwl")]


def _timm_places(widths: Sequence[int]) -> list[tuple[int, int]]:
    """timm's stage of each block and its place in it: a stage is a run of one width."""
    return [(stage, place) for stage, (_, run) in enumerate(groupby(widths)) for place, _ in enumerate(run)]


def _timm_tail(net: Backbone) -> Names:
    if isinstance(net, MobileNetV3):
        behind = f"blocks.{_timm_places(net.WIDTHS)[-1][0] + 1}.0"
        yield from _layer("top", f"{behind}.conv", f"{behind}.bn1")
        yield "hidden", "conv_head"
    elif net.top is not None:
        yield from _layer("top", "conv_head", "bn2")
    yield "classifier", "classifier"


def _blocks(net: Backbone) -> Iterator[tuple[int, Block]]:
    for index, block in enumerate(net.blocks):
        assert isinstance(block, Block)
        yield index, block
