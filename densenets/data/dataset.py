"""A detection split as arrays, and the samples and batches drawn from it."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from densenets.contract import Batch, Boxes, ImageInfo
from densenets.data.decode import PictureError, read_image
from densenets.data.sampling import keyed_hash
from densenets.errors import InputError, printable

logger = logging.getLogger(__name__)

REPLACEMENTS = 8  # pictures tried in place of one that cannot be read, before the training stops

# (image HWC uint8, boxes (M, 4) px, seed, crowd (M,)) -> (canvas HWC uint8, boxes (M', 4) canvas px, rows (M',))
Augmentation = Callable[[np.ndarray, np.ndarray, int, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


class Target(NamedTuple):
    """The objects of one image in file px: boxes (M, 4) float64, labels (M,) in 0..C-1, crowd (M,) bool."""

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True, eq=False)
class DetectionSplit:
    """N images, M boxes, C classes, in arrays alone, which forked workers share without copying.

    The boxes of image i are the rows first[i]:first[i + 1]. Image, category and annotation ids are the file's own.
    """

    classes: tuple[str, ...]  # C names in label order
    category_ids: np.ndarray  # (C,) int64
    image_ids: np.ndarray  # (N,) int64
    files: np.ndarray  # (N,) full paths
    sizes: np.ndarray  # (N, 2) int64, height and width
    first: np.ndarray  # (N + 1,) int64
    boxes: np.ndarray  # (M, 4) float64, x0 y0 x1 y1 in file px, inside the image, never empty
    xywh: np.ndarray  # (M, 4) float64, x y width height as the file has them: what a prediction is judged by
    labels: np.ndarray  # (M,) int64 in 0..C-1
    crowd: np.ndarray  # (M,) bool: a region where a detection is neither right nor wrong
    area: np.ndarray  # (M,) float64, file px; the mask's where the file has one
    annotation_ids: np.ndarray  # (M,) int64
    skipped: dict[str, int] = field(default_factory=dict)  # annotations left out, by reason

    @classmethod
    def build(
        cls,
        classes: tuple[str, ...],
        category_ids: np.ndarray,
        image_ids: np.ndarray,
        files: np.ndarray,
        sizes: np.ndarray,
        objects: "Objects",
        skipped: dict[str, int],
    ) -> "DetectionSplit":
        """A split from objects in any order."""
        sorted_ = objects.take(np.argsort(objects.rows, kind="stable"))
        first = np.concatenate([[0], np.cumsum(np.bincount(objects.rows, minlength=len(image_ids)))]).astype(np.int64)
        return cls(classes, category_ids, image_ids, files, sizes, first, *sorted_[1:], skipped)

    def __len__(self) -> int:
        return len(self.image_ids)

    def target(self, index: int) -> Target:
        """The objects of the image at `index`."""
        rows = slice(self.first[index], self.first[index + 1])
        return Target(self.boxes[rows], self.labels[rows], self.crowd[rows])

    def info(self, index: int, canvas: tuple[int, int]) -> ImageInfo:
        """The image at `index` stretched to the canvas (H, W)."""
        height, width = self.sizes[index].tolist()
        scale = (canvas[1] / width, canvas[0] / height)
        return ImageInfo(int(self.image_ids[index]), str(self.files[index]), height, width, scale)

    def ground_truth(self) -> dict[str, list[dict[str, Any]]]:
        """The split in COCO's form, for pycocotools: the file's own boxes and image and category ids; annotations
        count from 1."""
        owners = np.repeat(self.image_ids, np.diff(self.first))
        columns = (owners, self.category_ids[self.labels], self.xywh, self.crowd.astype(int), self.area)
        keys = ("image_id", "category_id", "bbox", "iscrowd", "area")
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return {
            "images": [
                {"id": image, "file_name": str(file), "height": height, "width": width}
                for image, file, (height, width) in zip(
                    self.image_ids.tolist(), self.files, self.sizes.tolist(), strict=True
                )
            ],
            "annotations": [{"id": i, **dict(zip(keys, row, strict=True))} for i, row in enumerate(rows, start=1)],
            "categories": [
                {"id": number, "name": name}
                for number, name in zip(self.category_ids.tolist(), self.classes, strict=True)
            ],
        }


class Objects(NamedTuple):
    """M annotations in the order of the file; rows: (M,) positions of their images, the rest as in DetectionSplit."""

    rows: np.ndarray
    boxes: np.ndarray
    xywh: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    area: np.ndarray
    annotation_ids: np.ndarray

    def take(self, which: np.ndarray) -> "Objects":
        """The objects at these positions, or those that a mask marks."""
        return Objects(*(column[which] for column in self))

    def without(self, empty: np.ndarray, where: Callable[[int], str]) -> tuple["Objects", dict[str, int]]:
        """The objects that have an area, and how many were left out by reason; where: the words for row i."""
        if not empty.any():
            return self, {}
        count = int(empty.sum())
        first = where(int(empty.argmax()))
        logger.warning("skipped %d of %d boxes: no area [D07]; the first: %s", count, len(empty), first)
        return self.take(~empty), {"zero-area": count}


class BoxReport(NamedTuple):
    """boxes: (M, 4) cut at the image's edges; empty: (M,) bool, no area; clipped: how many were cut.

    fault: the first row that cannot be used and what is wrong with it, or None.
    """

    boxes: np.ndarray
    empty: np.ndarray
    clipped: int
    fault: tuple[int, str] | None


def check_boxes(boxes: np.ndarray, sizes: np.ndarray) -> BoxReport:
    """Judge (M, 4) boxes x0 y0 x1 y1 against the (M, 2) heights and widths of their images.

    Outside by up to 1 px or 1 % of the image's side is rounding and is cut; more is a fault.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    limit = sizes[:, ::-1].astype(np.float64)  # width, height
    slack = np.maximum(1.0, 0.01 * limit)
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(boxes).all(axis=1)
        empty = finite & (high == low).any(axis=1) & (high >= low).all(axis=1)
        outside = ((low < -slack) | (high > limit + slack)).any(axis=1)
        faults = {
            "a coordinate that is not a finite number [D09]": ~finite,
            "a negative width or height [D08]": (high < low).any(axis=1),
            "no part inside the image [D10]": ~empty & ((low >= limit) | (high <= 0)).any(axis=1),
            "more than rounding outside the image [D11]": ~empty & outside,
        }
    bad = np.stack(list(faults.values()))
    fault = None
    if bad.any():
        row = int(bad.any(axis=0).argmax())
        fault = (row, list(faults)[int(bad[:, row].argmax())])
    inside = np.concatenate([np.clip(low, 0, limit), np.clip(high, 0, limit)], axis=1)
    return BoxReport(inside, empty, int((~empty & (inside != boxes).any(axis=1)).sum()), fault)


def show(value: object) -> str:
    """A value of a file as JSON writes it, on one line and not too long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return printable(text if len(text) <= 80 else f"{text[:77]}...")


class Sample(NamedTuple):
    """One image (3, H, W) uint8 with its target; skipped: a line for each picture tried before this one."""

    image: Tensor
    target: Boxes
    info: ImageInfo
    skipped: tuple[str, ...] = ()


class DetectionDataset(torch.utils.data.Dataset[Sample]):
    """Samples by (epoch, index): what is drawn depends on (seed, epoch, image id), never on worker or process.

    canvas: (H, W). substitute: in training another picture takes the place of one that cannot be read and the fault
    travels along in `skipped`; in evaluation (False) the fault is raised. A picture of another size than stated is a
    fault of the annotations, which is always raised.
    """

    def __init__(
        self,
        split: DetectionSplit,
        augmentation: Augmentation,
        canvas: tuple[int, int],
        seed: int = 0,
        substitute: bool = False,
    ) -> None:
        self.split = split
        self.augmentation = augmentation
        self.canvas = canvas
        self.seed = seed
        self.substitute = substitute

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        image_id = int(self.split.image_ids[index])
        index, pixels, skipped = self._readable(epoch, index, image_id)
        boxes, labels, crowd = self.split.target(index)
        canvas, boxes, rows = self.augmentation(pixels, boxes, keyed_hash(self.seed, epoch, image_id), crowd)
        target = _boxes(boxes, labels[rows], crowd[rows])
        image = torch.from_numpy(canvas).permute(2, 0, 1)
        return Sample(image, target, self.split.info(index, self.canvas), skipped)

    def _readable(self, epoch: int, index: int, image_id: int) -> tuple[int, np.ndarray, tuple[str, ...]]:
        """The picture at `index`, or the first that can be read of those that stand in for it."""
        faults: dict[int, str] = {}
        for attempt in range(1, REPLACEMENTS + 2):
            if index not in faults:
                try:
                    pixels = read_image(str(self.split.files[index]), self.split.sizes[index])
                    return index, pixels, tuple(faults.values())
                except PictureError as fault:
                    if not self.substitute:
                        raise
                    faults[index] = str(fault)
            index = keyed_hash(self.seed, epoch, image_id, attempt) % len(self.split)
        raise InputError(f"{next(iter(faults.values()))} (and {REPLACEMENTS} pictures tried in its place)")


def _boxes(boxes: np.ndarray, labels: np.ndarray, crowd: np.ndarray) -> Boxes:
    coordinates = torch.from_numpy(boxes.astype(np.float32))
    regions = torch.from_numpy(crowd)
    ignore = coordinates[regions] if crowd.any() else None
    return Boxes(coordinates[~regions], torch.from_numpy(labels)[~regions], ignore=ignore)


def collate(samples: Sequence[Sample]) -> Batch:
    """A batch whose images lie in memory as channels_last, as they were decoded."""
    images = torch.stack([sample.image.permute(1, 2, 0) for sample in samples]).permute(0, 3, 1, 2)
    targets = [sample.target for sample in samples]
    skipped = tuple(line for sample in samples for line in sample.skipped)
    return Batch(images, targets, [sample.info for sample in samples], skipped)
