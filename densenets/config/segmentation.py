"""The settings of segmentation."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from densenets.config.shared import Evaluation, ReadingRules, Training, expect
from densenets.errors import InputError


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
    lets_pass: ClassVar[tuple[type, ...]] = (ReadingRules,)  # of boxes; they stand in the config.yaml of older runs

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
class EvalSegmentation(Evaluation):
    """Judge a trained segmenter, or a folder of predicted masks, by mean IoU.

    Args:
        predictions: folder of predicted masks (PNG, the data set's own ids) to judge in place of a checkpoint, or the
            folder of an evaluation that broke off.
        data: folder of a data set (Cityscapes, Pascal VOC, or pictures with masks of ids), or "streets"; the run's own
            where not given.
        classes: names of the ids 0, 1, 2, ... of masks that come without a list of classes, to judge predicted masks; a
            checkpoint has its own.
        ignore_ids: ids of masks that are of no class, besides those the data set itself ignores; as in the run, or in
            the evaluation that left the predicted masks, where not given.
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
