"""A state dict of torchvision's SSDLite, Faster R-CNN or LR-ASPP under our names."""

import re
from collections.abc import Mapping
from typing import TypeAlias

from torch import Tensor

State: TypeAlias = Mapping[str, Tensor]
Rules: TypeAlias = tuple[tuple[str, str], ...]  # pattern and replacement

RULES = (
    (r"backbone\.extra\.(\d+)\.(\d+)\.0\.", r"extras.\1.\2.conv."),
    (r"backbone\.extra\.(\d+)\.(\d+)\.1\.", r"extras.\1.\2.norm."),
    (r"head\.classification_head\.module_list\.", "class_predictors."),
    (r"head\.regression_head\.module_list\.", "box_predictors."),
    (r"(_predictors\.\d+\.0)\.0\.", r"\1.conv."),
    (r"(_predictors\.\d+\.0)\.1\.", r"\1.norm."),
)

LRASPP_RULES = (
    (r"classifier\.cbr\.0\.", "branch.conv."),
    (r"classifier\.cbr\.1\.", "branch.norm."),
    (r"classifier\.scale\.1\.", "gate."),
    (r"classifier\.low_classifier\.", "low_classifier."),
    (r"classifier\.high_classifier\.", "high_classifier."),
)

FASTER_RCNN_RULES = (
    (r"backbone\.fpn\.inner_blocks\.(\d)\.0\.", r"fpn.laterals.\1."),
    (r"backbone\.fpn\.layer_blocks\.(\d)\.0\.", r"fpn.outputs.\1."),
    (r"rpn\.head\.conv\.0\.0\.", "rpn.body.0."),
    (r"rpn\.head\.cls_logits\.", "rpn.objectness."),
    (r"rpn\.head\.bbox_pred\.", "rpn.offsets."),
    (r"roi_heads\.box_head\.fc6\.", "box_head.1."),
    (r"roi_heads\.box_head\.fc7\.", "box_head.3."),
    (r"roi_heads\.box_predictor\.cls_score\.", "predictor.classes."),
    (r"roi_heads\.box_predictor\.bbox_pred\.", "predictor.offsets."),
)


def is_faster_rcnn(state: State) -> bool:
    """Whether these are the names of torchvision's fasterrcnn_mobilenet_v3_large_fpn; ..._320_fpn has the same."""
    return any(key.startswith("rpn.head.") for key in state) and "backbone.body.0.0.weight" in state


def split_faster_rcnn(state: State) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The backbone's part in the names of torchvision's classifier, and the head's part in ours."""
    return _split(state, "backbone.body.", FASTER_RCNN_RULES)


def is_lraspp(state: State) -> bool:
    """Whether these are the names of torchvision's lraspp_mobilenet_v3_large."""
    return any(key.startswith("classifier.cbr.") for key in state)


def split_lraspp(state: State) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """As `split_faster_rcnn`."""
    return _split(state, "backbone.", LRASPP_RULES)


def _split(state: State, body: str, rules: Rules) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """body: what stands before the names of the backbone's layers, which are the classifier's own otherwise."""
    backbone = {key.replace(body, "features.", 1): tensor for key, tensor in state.items() if key.startswith(body)}
    head = {_renamed(key, rules): tensor for key, tensor in state.items() if not key.startswith(body)}
    return backbone, head


def is_ssdlite(state: State) -> bool:
    """Whether these are the names of torchvision's ssdlite320_mobilenet_v3_large."""
    return any(key.startswith("head.classification_head.module_list.") for key in state)


def num_classes(state: State) -> int:
    """Without background; torchvision has 6 default boxes in each place."""
    return state["head.classification_head.module_list.0.1.weight"].shape[0] // 6 - 1


def has_reduced_tail(backbone: State) -> bool:
    """Whether the last convolution has 480 channels, not 960 (V3 paper, Table 6, dagger)."""
    return backbone["features.16.0.weight"].shape[0] == 480


def split_ssdlite(state: State) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The backbone's part in the names of torchvision's classifier, and the head's part in ours."""
    cut = max(int(match[1]) for key in state if (match := re.match(r"backbone\.features\.0\.(\d+)\.", key)))
    backbone, head = {}, {}
    for key, tensor in state.items():
        if key.startswith("backbone.features."):
            backbone[_in_classifier(key, cut)] = tensor
        else:
            head[_renamed(key, RULES)] = tensor
    return backbone, head


def _renamed(key: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def _in_classifier(key: str, cut: int) -> str:
    part, place, rest = re.match(r"backbone\.features\.([01])\.(\d+)\.(.*)", key).groups()  # type: ignore[union-attr]
    if part == "0":
        return f"features.{cut}.block.0.{rest}" if int(place) == cut else f"features.{place}.{rest}"
    return f"features.{cut}.block.{rest}" if place == "0" else f"features.{cut + int(place)}.{rest}"
