"""The settings of detection."""

import logging
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal, TypeAlias

from densenets.config.shared import Evaluation, ReadingRules, Training, expect
from densenets.errors import InputError

Anchors = Literal["tf", "torchvision"]
Augment = Literal["none", "flip", "ssd", "ssdlite"]
log = logging.getLogger(__name__)


@dataclass
class SSDOptions:
    """What SSD and SSDLite can be told (papers: sections on anchors, matching and losses in V1, V2, V3).

    Args:
        anchors: default boxes: "tf" has 3 on the first map as the papers, "torchvision" 6 everywhere.
        scales: own scales as parts of the shorter side, one for each of the 6 maps and one more.
        aspect_ratios: besides 1; each stands for its inverse too. One list for all maps, or one list a map.
        predictor_kernel: side of the predictors' kernel; as published where not given (SSD 1, SSDLite 3).
        bn_momentum: of the head's BatchNorm, and of the backbone's.
        loss: "softmax" (cross-entropy, hard negatives) or "focal" (sigmoid).
        match_iou: overlap from which a default box must find an object.
        negative_ratio: hard negatives for each positive.
        min_negatives: hard negatives an image has at least, so that one without objects teaches too.
        focal_alpha: weight of the objects in the focal loss.
        focal_gamma: how strongly the focal loss turns to what is hard.
        box_weight: weight of the box loss.
        score_threshold: scores at or below it are no detection.
        top_k: candidates before NMS: the best over all classes ("global"), or of each class ("per-class").
        candidates: how many of them.
        nms_iou: overlap at which the lesser of two detections of a class is dropped.
        detections: how many an image gives at most.
    """

    anchors: Anchors = "tf"
    scales: list[float] | None = None
    aspect_ratios: list[float] | list[list[float]] = field(default_factory=lambda: [2.0, 3.0])
    predictor_kernel: Literal[1, 3] | None = None
    bn_momentum: float = 0.03
    loss: Literal["softmax", "focal"] = "softmax"
    match_iou: float = 0.5
    negative_ratio: float = 3.0
    min_negatives: int = 3
    focal_alpha: float = 0.75
    focal_gamma: float = 2.0
    box_weight: float = 1.0
    score_threshold: float = 0.001
    top_k: Literal["global", "per-class"] = "global"
    candidates: int = 400
    nms_iou: float = 0.55
    detections: int = 100

    def __post_init__(self) -> None:
        for name in ("candidates", "detections", "min_negatives"):
            expect(f"ssd.{name}", getattr(self, name), 1, 100_000)
        for name in ("match_iou", "score_threshold", "nms_iou", "bn_momentum", "focal_alpha"):
            expect(f"ssd.{name}", getattr(self, name), 0, 1)
        for name in ("negative_ratio", "focal_gamma", "box_weight"):
            expect(f"ssd.{name}", getattr(self, name), 0)


@dataclass
class RCNNOptions:
    """What the Faster R-CNN heads can be told (papers: Faster R-CNN, FPN, V1 Table 13).

    Args:
        fpn: of faster-rcnn-fpn: "full" reads strides 16 and 32 at 256 channels, "light" the same with separable
            convolutions of 128 channels and a small box head, "torchvision" is its net: two maps of stride 32.
        sizes: sides of the anchors in px of the canvas, one list a map, of equal length, the finest map first:
            faster-rcnn has 1 map, faster-rcnn-fpn 4, its torchvision form 3. For 4: "[[16, 28, 48], [32, 56, 96],
            [64, 110, 190], [128, 180, 256]]". Where not given they fit the canvas; check-data prints them.
        ratios: height to width of the anchors.
        proposals: places that the second stage looks at in an image.
        train_proposals: likewise in training, of which it samples.
        map_proposals: candidates of each map before their NMS.
        train_map_proposals: likewise in training.
        rpn_score_threshold: proposals at or below it are none.
        rpn_nms_iou: overlap at which the lesser of two proposals is dropped.
        rpn_match_iou: overlap from which an anchor must find an object.
        rpn_background_iou: overlap below which an anchor is background; between the two it is neither.
        rpn_samples: anchors of an image that are learnt from, half of them objects where there are as many.
        match_iou: overlap from which a proposal is an object.
        samples: proposals of an image that are learnt from, a quarter of them objects where there are as many.
        box_beta: where the box losses turn from square to linear.
        bn_momentum: of all BatchNorms.
        bn_eps: of the backbone's BatchNorms, where not its own.
        score_threshold: scores at or below it are no detection.
        candidates: detections before NMS, the best of all classes.
        nms_iou: overlap at which the lesser of two detections of a class is dropped.
        detections: how many an image gives at most.
    """

    fpn: Literal["full", "light", "torchvision"] = "full"
    sizes: list[list[float]] | None = None
    ratios: list[float] = field(default_factory=lambda: [0.5, 1.0, 2.0])
    proposals: int = 300
    train_proposals: int = 1000
    map_proposals: int = 1000
    train_map_proposals: int = 2000
    rpn_score_threshold: float = 0.0
    rpn_nms_iou: float = 0.7
    rpn_match_iou: float = 0.7
    rpn_background_iou: float = 0.3
    rpn_samples: int = 256
    match_iou: float = 0.5
    samples: int = 128
    box_beta: float = 1 / 9
    bn_momentum: float = 0.03
    bn_eps: float | None = None
    score_threshold: float = 0.001
    candidates: int = 400
    nms_iou: float = 0.5
    detections: int = 100

    def __post_init__(self) -> None:
        for name in (
            "proposals",
            "train_proposals",
            "map_proposals",
            "train_map_proposals",
            "candidates",
            "detections",
        ):
            expect(f"rcnn.{name}", getattr(self, name), 1, 100_000)
        for name, least in (("rpn_samples", 2), ("samples", 4)):  # of which one is an object
            expect(f"rcnn.{name}", getattr(self, name), least, 100_000)
        for name in ("rpn_nms_iou", "rpn_background_iou", "nms_iou", "rpn_score_threshold", "score_threshold"):
            expect(f"rcnn.{name}", getattr(self, name), 0, 1)
        for name in ("rpn_match_iou", "match_iou", "bn_momentum"):
            expect(f"rcnn.{name}", getattr(self, name), 0.001, 1)
        if self.rpn_match_iou < self.rpn_background_iou:
            raise InputError(
                f"--rcnn.rpn-match-iou: {self.rpn_match_iou:g}: is below --rcnn.rpn-background-iou "
                f"{self.rpn_background_iou:g}: an anchor would be an object and background at once"
            )
        if self.bn_eps is not None:
            expect("rcnn.bn_eps", self.bn_eps, 1e-8, 1)
        expect("rcnn.box_beta", self.box_beta, 0, 10)
        sizes = [[1.0]] if self.sizes is None else self.sizes
        if len({len(row) for row in sizes}) != 1:
            raise InputError(
                f"--rcnn.sizes: {sizes}: expected lists of equal length, one a map: 1 for faster-rcnn, 4 for "
                "faster-rcnn-fpn (3 with --rcnn.fpn torchvision)"
            )
        for name, values in (("ratios", self.ratios), ("sizes", [side for row in sizes for side in row])):
            if not values:
                raise InputError(f"--rcnn.{name}: none given")
            for value in values:
                expect(f"rcnn.{name}", value, 0.01, 10_000)


DetectionOptions: TypeAlias = SSDOptions | RCNNOptions


def options_of(head: str, ssd: SSDOptions, rcnn: RCNNOptions) -> DetectionOptions:
    """Those that a head takes."""
    return rcnn if head.startswith("faster-rcnn") else ssd


def tell_without_effect(head: str, ssd: SSDOptions, rcnn: RCNNOptions) -> None:
    """Warns of flags that were set for other heads than this one."""
    flags = _set("ssd", ssd) if options_of(head, ssd, rcnn) is rcnn else _set("rcnn", rcnn)
    if head == "faster-rcnn":  # one map
        flags += [flag for flag in _set("rcnn", rcnn) if flag == "--rcnn.fpn"]
    if flags:
        log.warning("warning: %s: no effect on %s", ", ".join(flags), head)


def _set(group: str, options: DetectionOptions) -> list[str]:
    """Flags of a group that are not as they come."""
    usual = type(options)()
    names = [one.name for one in fields(options) if getattr(options, one.name) != getattr(usual, one.name)]
    return [f"--{group}.{name.replace('_', '-')}" for name in names]


@dataclass(kw_only=True)
class TrainDetection(Training, ReadingRules):
    """Train a detector and judge it by COCO's 12 numbers.

    Args:
        head: the part that says what is where: ssd, ssdlite, faster-rcnn or faster-rcnn-fpn.
        size: side of the square canvas in px, or its height and width.
        data: folder of a data set (COCO or Pascal VOC layout), or "streets": scenes drawn by this program, which come
            with settings of their own (the configuration "streets").
        train_annotations: COCO JSON to train on, in place of --data.
        train_images: folder of its pictures.
        val_annotations: COCO JSON to validate on, in place of --data.
        val_images: folder of its pictures.
        reduced_tail: halve the last stage of V3 (the dagger of V3 Table 6).
        scale_last: let V2's last layer shrink below width 1, as detection does; ImageNet weights keep 1280.
        augment: recipe of augmentation.
        ssd: settings of SSD and SSDLite.
        rcnn: settings of Faster R-CNN.
    """

    configs: ClassVar[str] = "detection"  # the folder of those that come with densenets

    head: str = "ssdlite"
    size: int | list[int] = 320
    data: str = "streets"
    train_annotations: str | None = None
    train_images: str | None = None
    val_annotations: str | None = None
    val_images: str | None = None
    reduced_tail: bool = False
    scale_last: bool = True
    augment: Augment = "ssdlite"
    ssd: SSDOptions = field(default_factory=SSDOptions)
    rcnn: RCNNOptions = field(default_factory=RCNNOptions)

    @property
    def options(self) -> DetectionOptions:
        """The head's."""
        return options_of(self.head, self.ssd, self.rcnn)


@dataclass(kw_only=True)
class EvalDetection(Evaluation, ReadingRules):
    """Judge a trained detector, or a predictions file, by COCO's 12 numbers.

    Args:
        predictions: predictions.json to judge in place of a checkpoint, or the folder of an evaluation.
        partial: judge predictions although they lack images.
        data: folder of a data set (COCO or Pascal VOC layout), or "streets"; the run's own where not given.
        annotations: COCO JSON to judge on, in place of --data.
        images: folder of its pictures.
        out: folder for results.json, predictions.json and the sheet of pictures; made where missing.
        batch_size: images a step and a process.
        judge: the program that computes the numbers; "faster" (faster-coco-eval, an extra) gives the same ones.
        max_detections: how many of an image and a class count; 100 in COCO's own numbers.
        score_threshold: scores at or below it are no detection; the checkpoint's own where not given.
        nms_iou: overlap at which the lesser of two detections of a class is dropped; likewise.
    """

    predictions: str | None = None
    partial: bool = False
    data: str | None = None
    annotations: str | None = None
    images: str | None = None
    out: str | None = None
    batch_size: int = 16
    judge: Literal["pycocotools", "faster"] = "pycocotools"
    max_detections: int = 100
    score_threshold: float | None = None
    nms_iou: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        expect("batch_size", self.batch_size, 1)
        expect("max_detections", self.max_detections, 11, 10_000)
        for name in ("score_threshold", "nms_iou"):
            if getattr(self, name) is not None:
                expect(name, getattr(self, name), 0, 1)
