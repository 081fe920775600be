"""The settings: each field here is a YAML key, a command-line flag and a Python argument at once. Imports no torch."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from densenets.errors import InputError

Anchors = Literal["tf", "torchvision"]
Augment = Literal["none", "flip", "ssd", "ssdlite"]


def expect(name: str, value: float, low: float, high: float = math.inf) -> None:
    """InputError unless `value` is a number from `low` to `high`."""
    if not low <= value <= high or abs(value) == math.inf:
        wanted = f"{low} or more" if high == math.inf else f"{low} to {high}"
        raise InputError(f"--{name.replace('_', '-')}: {value}: expected {wanted}")


@dataclass(kw_only=True)
class ReadingRules:
    """How strictly a data set is read; every command that reads one takes these flags.

    Args:
        strict: end with an error where an item would be skipped.
        max_skip: part of the annotations or pictures that may be skipped before it is an error (one always may,
            unless this is 0).
        skip_invalid: skip boxes that lie outside their image in place of refusing the file.
        box_format: how a COCO file's boxes are written.
        renumber: give annotations new ids where an id stands twice.
        follow_symlinks: allow links that lead out of the folder of images.
        max_pixels: pictures of more pixels, in millions, are not decoded.
    """

    strict: bool = False
    max_skip: float = 0.01
    skip_invalid: bool = False
    box_format: Literal["xywh", "xyxy"] = "xywh"
    renumber: bool = False
    follow_symlinks: bool = False
    max_pixels: float = 64.0

    def check_rules(self) -> None:
        """Raises InputError for a value out of range."""
        expect("max_skip", self.max_skip, 0, 1)
        expect("max_pixels", self.max_pixels, 0.0001, 1000)


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
class SegmentationOptions:
    """What the segmentation heads can be told (papers: V3 section 6.4, DeepLabV3; losses: their own papers).

    Args:
        filters: channels inside of the head; its own number where not given (lraspp 128, the others 256).
        output_stride: pixels of the image to one of the deepest map; 16, as published, where not given.
        dropout: part of the values before the classifier that a step leaves out; the head's own where not given.
        bn_momentum: of the head's BatchNorm, and of the backbone's.
        loss: cross-entropy over all pixels ("ce"), or over the hard ones alone ("ohem").
        ohem_threshold: a pixel is hard where its class is given less than this probability.
        ohem_kept: part of the pixels that are learnt from at least, the hardest first.
        class_weights: weight of each class in the cross-entropy, in the order of the classes.
        label_smoothing: part of the truth that is spread over all classes.
        dice: weight of the Dice loss, which is added.
        lovasz: weight of the Lovasz-Softmax loss, which is added.
        auxiliary: weight of the cross-entropy of a second head on the map before the last stage; 0 for no such head.
    """

    filters: int | None = None
    output_stride: Literal[8, 16, 32] | None = None
    dropout: float | None = None
    bn_momentum: float = 0.03
    loss: Literal["ce", "ohem"] = "ce"
    ohem_threshold: float = 0.7
    ohem_kept: float = 0.0625
    class_weights: list[float] | None = None
    label_smoothing: float = 0.0
    dice: float = 0.0
    lovasz: float = 0.0
    auxiliary: float = 0.0

    def __post_init__(self) -> None:
        if self.filters is not None:
            expect("seg.filters", self.filters, 1, 4096)
        if self.output_stride not in (None, 8, 16, 32):
            raise InputError(f"--seg.output-stride: {self.output_stride}: expected 8, 16 or 32")
        if self.dropout is not None:
            expect("seg.dropout", self.dropout, 0, 0.99)
        for name in ("bn_momentum", "ohem_threshold", "ohem_kept", "label_smoothing"):
            expect(f"seg.{name}", getattr(self, name), 0, 1)
        for name in ("dice", "lovasz", "auxiliary"):
            expect(f"seg.{name}", getattr(self, name), 0, 1000)
        for weight in self.class_weights or []:
            expect("seg.class_weights", weight, 0, 1e6)
        if self.class_weights and not any(self.class_weights):
            raise InputError("--seg.class-weights: all are 0: nothing would be learnt")


@dataclass(kw_only=True)
class Training(ReadingRules):
    """What every training can be told, whatever the task.

    Args:
        backbone: the net that sees: v1, v2, v3-large or v3-small.
        width: the backbone's width multiplier.
        train_split: name of the split to train on.
        val_split: name of the split to choose the best checkpoint by.
        weights: state_dict file the backbone starts from (torchvision's, timm's or our names).
        padding: rule the weights were trained with: torch's symmetric padding or TensorFlow's SAME.
        normalize: scaling the weights were trained with: ImageNet's mean and deviation, or [-1, 1].
        freeze_stages: keep every layer up to stride 2^n as it is; 0 freezes nothing.
        freeze_norm: keep the backbone's BatchNorm statistics as they are.
        epochs: passes over the training split.
        batch_size: images a step and a process.
        lr: learning rate at the end of the warm-up.
        head_lr: factor of the learning rate for all layers but the backbone's.
        optimizer: the rule that changes the weights.
        momentum: of SGD and RMSprop.
        weight_decay: pull of the weights towards 0.
        decay_all: let weight decay act on norms, biases and depthwise filters too.
        schedule: how the learning rate falls.
        warmup: steps over which it first rises.
        milestones: for "step": parts of the training after which it falls.
        gamma: for "step": by what factor.
        power: for "poly": the exponent.
        ema: decay of the averaged weights that are judged and kept; 0 for none.
        clip: largest norm of the gradient; 0 for no limit.
        accumulate: batches whose gradients are added up for one step.
        precision: Lightning's word for the number format.
        devices: Lightning's word for how many devices.
        num_nodes: machines taking part.
        strategy: Lightning's word for how processes share the work.
        accelerator: Lightning's word for the kind of device.
        compile: let torch.compile speed the network up; the first step takes minutes.
        validate_every: epochs from one validation to the next; the last epoch is always judged.
        seed: start of all chance.
        workers: processes that load pictures; -1: one a core, at most 8.
        out: run folder; runs/NAME where not given.
        resume: run folder or checkpoint to go on from; "auto": --out where it holds a run, else a new one there.
        allow_config_change: resume although settings, data, processes, threads or torch's version are others.
        save_every: steps from one checkpoint to the next; 0: only before validation and after each epoch.
        on_save_error: what to do where a checkpoint cannot be written: end, or go on with the one before.
        worker_timeout: seconds to wait for a loading process before it counts as hanging; 0: for ever.
    """

    backbone: str = "v2"
    width: float = 1.0
    train_split: str = "train"
    val_split: str = "val"
    weights: str | None = None
    padding: Literal["torch", "tf"] = "torch"
    normalize: Literal["imagenet", "half"] = "imagenet"
    freeze_stages: int = 0
    freeze_norm: bool = False
    epochs: int = 40
    batch_size: int = 16
    lr: float = 0.02
    head_lr: float = 1.0
    optimizer: Literal["sgd", "adamw", "rmsprop"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 4e-5
    decay_all: bool = False
    schedule: Literal["cosine", "step", "poly", "constant"] = "cosine"
    warmup: int = 100
    milestones: list[float] = field(default_factory=lambda: [0.6, 0.85])
    gamma: float = 0.1
    power: float = 0.9
    ema: float = 0.0
    clip: float = 0.0
    accumulate: int = 1
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    devices: str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    accelerator: str = "auto"
    compile: bool = False
    validate_every: int = 1
    seed: int = 0
    workers: int = -1
    out: str | None = None
    resume: str | None = None
    allow_config_change: bool = False
    save_every: int = 0
    on_save_error: Literal["stop", "warn"] = "stop"
    worker_timeout: float = 300.0

    def __post_init__(self) -> None:
        self.check_rules()
        for name in ("epochs", "batch_size", "accumulate", "validate_every", "num_nodes"):
            expect(name, getattr(self, name), 1)
        for name in ("lr", "head_lr", "weight_decay", "momentum", "clip", "warmup", "gamma", "power"):
            expect(name, getattr(self, name), 0)
        expect("ema", self.ema, 0, 0.999999)
        expect("freeze_stages", self.freeze_stages, 0, 5)
        expect("seed", self.seed, 0, 2**32 - 1)
        expect("workers", self.workers, -1, 1024)
        expect("save_every", self.save_every, 0)
        expect("worker_timeout", self.worker_timeout, 0)


@dataclass(kw_only=True)
class TrainDetection(Training):
    """Train a detector and judge it by COCO's 12 numbers.

    Args:
        head: the part that says what is where: ssd or ssdlite.
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

    @property
    def options(self) -> SSDOptions:
        """The head's."""
        return self.ssd


@dataclass(kw_only=True)
class TrainSegmentation(Training):
    """Train a segmenter and judge it by mean IoU.

    Args:
        head: the part that says what is where: raspp, lraspp, lraspp-torchvision or deeplabv3.
        size: side of the square crop in px, or its height and width.
        data: folder of a data set (Cityscapes, Pascal VOC, or pictures with masks of ids), or "streets": scenes drawn
            by this program, which come with settings of their own (the configuration "streets").
        reduced_tail: halve the last stage of V2 or V3 (RF2 of V3 Table 7).
        augment: recipe of augmentation.
        scale_range: smallest and largest factor of the random scale.
        eval_size: height and width in px that validation brings its pictures to; their own where not given.
        eval_batch: pictures a step and a process in validation.
        classes: names of the ids 0, 1, 2, ... of masks that come without a list of classes.
        ignore_ids: ids of masks that are of no class, besides those the data set itself ignores.
        seg: settings of the segmentation heads.
    """

    configs: ClassVar[str] = "segmentation"

    head: str = "lraspp"
    size: int | list[int] = 769
    data: str = "streets"
    reduced_tail: bool = False
    augment: Literal["none", "flip", "seg"] = "seg"
    scale_range: list[float] = field(default_factory=lambda: [0.5, 2.0])
    eval_size: int | list[int] | None = None
    eval_batch: int = 1
    classes: list[str] = field(default_factory=list)
    ignore_ids: list[int] = field(default_factory=list)
    lr: float = 0.007
    schedule: Literal["cosine", "step", "poly", "constant"] = "poly"
    seg: SegmentationOptions = field(default_factory=SegmentationOptions)

    @property
    def options(self) -> SegmentationOptions:
        """The head's."""
        return self.seg

    def __post_init__(self) -> None:
        super().__post_init__()
        expect("eval_batch", self.eval_batch, 1)
        for number in self.ignore_ids:
            expect("ignore_ids", number, 0, 255)
        if len(self.scale_range) != 2 or not 0.01 <= self.scale_range[0] <= self.scale_range[1] <= 100:
            raise InputError(f"--scale-range: {self.scale_range}: expected two factors from 0.01 to 100, rising")


@dataclass(kw_only=True)
class Evaluation(ReadingRules):
    """What every judging can be told, whatever the task.

    Args:
        checkpoint: run folder (its best checkpoint) or checkpoint file.
        split: name of the split.
        workers: processes that load pictures; -1: one a core, at most 8.
        devices: Lightning's word for how many devices; the numbers do not depend on it.
        num_nodes: machines taking part.
        strategy: Lightning's word for how processes share the work.
        accelerator: kind of device.
    """

    checkpoint: str | None = None
    split: str = "val"
    workers: int = -1
    devices: str = "1"
    num_nodes: int = 1
    strategy: str = "auto"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"

    def __post_init__(self) -> None:
        self.check_rules()
        expect("num_nodes", self.num_nodes, 1)
        expect("workers", self.workers, -1, 1024)


@dataclass(kw_only=True)
class EvalDetection(Evaluation):
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


@dataclass(kw_only=True)
class EvalSegmentation(Evaluation):
    """Judge a trained segmenter, or a folder of predicted masks, by mean IoU.

    Args:
        predictions: folder of predicted masks (PNG, the data set's own ids) to judge in place of a checkpoint, or the
            folder of an evaluation that broke off.
        data: folder of a data set (Cityscapes, Pascal VOC, or pictures with masks of ids), or "streets"; the run's own
            where not given.
        classes: of predicted masks, the names of the ids 0, 1, 2, ... where the data come without a list of classes.
        ignore_ids: ids of masks that are of no class, besides those the data set itself ignores; likewise.
        out: folder for results.json and the pictures; made where missing.
        batch_size: images a step and a process.
        size: height and width in px that the pictures are brought to; the run's --eval-size where not given, else their
            own.
        window: height and width in px of a window that slides over the picture; the whole picture where not given.
        overlap: part of a window that the next one covers too.
        scales: factors at which the picture is seen; the probabilities are averaged.
        flip: see the mirrored picture too.
        output_stride: of the backbone; the checkpoint's own where not given.
        submission: new folder for the masks as the Cityscapes server takes them.
    """

    predictions: str | None = None
    data: str | None = None
    classes: list[str] = field(default_factory=list)
    ignore_ids: list[int] | None = None
    out: str | None = None
    batch_size: int = 1
    size: int | list[int] | None = None
    window: int | list[int] | None = None
    overlap: float = 1 / 3
    scales: list[float] = field(default_factory=lambda: [1.0])
    flip: bool = False
    output_stride: Literal[8, 16, 32] | None = None
    submission: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        expect("batch_size", self.batch_size, 1)
        expect("overlap", self.overlap, 0, 0.9)
        for number in self.ignore_ids or []:
            expect("ignore_ids", number, 0, 255)
        if not self.scales:
            raise InputError("--scales: at least one factor is needed")
        for scale in self.scales:
            expect("scales", scale, 0.05, 10)


@dataclass
class Predict:
    """Draw what a trained detector finds in pictures, and write it down.

    Args:
        checkpoint: run folder (its best checkpoint) or checkpoint file.
        images: pictures and folders of pictures.
        out: folder for the drawn pictures and detections.json; made where missing.
        threshold: scores below it are not drawn nor written.
        accelerator: kind of device.
    """

    checkpoint: str
    images: list[str]
    out: str = "predictions"
    threshold: float = 0.3
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"

    def __post_init__(self) -> None:
        expect("threshold", self.threshold, 0, 1)


@dataclass
class CheckData(ReadingRules):
    """Check a data set before a training is spent on it: boxes, or masks where the folder holds them.

    Args:
        data: folder of a data set (the layouts of both tasks), or "streets".
        classes: names of the ids 0, 1, 2, ... of masks that come without a list of classes.
        ignore_ids: ids of masks that are of no class, besides those the data set itself ignores.
        splits: names of the splits to look at; all that exist where not given.
        annotations: COCO JSON to look at, in place of --data.
        images: folder of its pictures.
        out: folder for check.json and check.html; check-NAME where not given.
        backbone: the net that is to be trained: its default boxes are compared with the set's.
        head: the head that is to be trained; one that segments where a folder or "streets" has both, to check masks.
        size: side of the square canvas in px, or its height and width.
        manifest: list of SHA-256 sums, as sha256sum writes them, to compare the pictures with.
        write_manifest: file for such a list of the pictures as they are now.
        fix: new folder for a repaired copy (COCO layout); the original stays as it is.
        workers: processes that decode pictures; -1: one a core.
        ssd: settings of SSD and SSDLite, of which the default boxes and the overlap count here.
    """

    data: str | None = None
    classes: list[str] = field(default_factory=list)
    ignore_ids: list[int] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    annotations: str | None = None
    images: str | None = None
    out: str | None = None
    backbone: str = "v2"
    head: str = "ssdlite"
    size: int | list[int] = 320
    manifest: str | None = None
    write_manifest: str | None = None
    fix: str | None = None
    workers: int = -1
    ssd: SSDOptions = field(default_factory=SSDOptions)

    def __post_init__(self) -> None:
        self.check_rules()
        expect("workers", self.workers, -1, 1024)
