"""The settings of the commands that serve both tasks."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from densenets.config.detection import DetectionOptions, RCNNOptions, SSDOptions, TrainDetection, options_of
from densenets.config.segmentation import TrainSegmentation
from densenets.config.shared import ReadingRules, expect


@dataclass
class Predict:
    """Draw what a trained model finds in pictures, and write it down.

    Args:
        checkpoint: run folder (its best checkpoint) or checkpoint file.
        images: pictures and folders of pictures.
        out: folder for the drawn pictures and detections.json, or of a segmenter the masks and segmentations.json; made
            where missing.
        threshold: of a detector: scores below it are not drawn nor written.
        size: of a segmenter: height and width in px that it sees the pictures at; as the run's validation saw its own
            where not given. Masks and drawings keep the size of the file.
        accelerator: kind of device.
    """

    checkpoint: str
    images: list[str]
    out: str = "predictions"
    threshold: float = 0.3
    size: int | list[int] | None = None
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
        rcnn: settings of Faster R-CNN, likewise.
    """

    lets_pass: ClassVar[tuple[type, ...]] = (TrainDetection, TrainSegmentation)  # names in a --config that it ignores

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
    rcnn: RCNNOptions = field(default_factory=RCNNOptions)

    def __post_init__(self) -> None:
        self.check_rules()
        expect("workers", self.workers, -1, 1024)

    @property
    def options(self) -> DetectionOptions:
        """Those of the head."""
        return options_of(self.head, self.ssd, self.rcnn)
