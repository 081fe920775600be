"""A detection split as arrays, and the samples drawn from it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from densenets.config import ReadingRules
from densenets.contract import Boxes
from densenets.data.decode import read_image
from densenets.data.faults import USUAL, Skip
from densenets.data.samples import KeyedDataset, Size

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
    skips: tuple[Skip, ...] = ()  # annotations left out
    notes: dict[str, int] = field(default_factory=dict)  # what was put right in reading -> how often
    rules: ReadingRules = field(default_factory=ReadingRules)  # by which it was read, and by which its pictures are

    @classmethod
    def build(
        cls,
        classes: tuple[str, ...],
        category_ids: np.ndarray,
        image_ids: np.ndarray,
        files: np.ndarray,
        sizes: np.ndarray,
        objects: "Objects",
        skips: Sequence[Skip] = (),
        notes: dict[str, int] | None = None,
        rules: ReadingRules = USUAL,
    ) -> "DetectionSplit":
        """A split from objects in any order."""
        sorted_ = objects.take(np.argsort(objects.rows, kind="stable"))
        first = np.concatenate([[0], np.cumsum(np.bincount(objects.rows, minlength=len(image_ids)))]).astype(np.int64)
        columns = (classes, category_ids, image_ids, files, sizes, first, *sorted_[1:])
        return cls(*columns, tuple(skips), {what: count for what, count in (notes or {}).items() if count}, rules)

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def skipped(self) -> dict[str, int]:
        """How many annotations were left out, by reason."""
        return dict(Counter(skip.reason for skip in self.skips))

    @property
    def kept(self) -> int:
        """How many annotations were not left out."""
        return len(self.boxes)

    @property
    def remarks(self) -> dict[str, int]:
        """What was put right or is remarkable -> how often."""
        return {"images without objects [D13]": int((np.diff(self.first) == 0).sum()), **self.notes}

    def picture(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB, the image at `index`; PictureError or InputError as `read_image` says."""
        return read_image(str(self.files[index]), self.sizes[index], self.rules.max_pixels)

    def target(self, index: int) -> Target:
        """The objects of the image at `index`."""
        rows = slice(self.first[index], self.first[index + 1])
        return Target(self.boxes[rows], self.labels[rows], self.crowd[rows])

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


class DetectionDataset(KeyedDataset[np.ndarray, Boxes]):
    """Pictures and their boxes on the canvas (H, W). keep_ratio: as the augmentation does it."""

    split: DetectionSplit

    def __init__(
        self,
        split: DetectionSplit,
        augmentation: Augmentation,
        canvas: Size,
        seed: int = 0,
        substitute: bool = False,
        keep_ratio: bool = False,
    ) -> None:
        super().__init__(split, seed, substitute, keep_ratio)
        self.augmentation = augmentation
        self.canvas = canvas

    def read(self, index: int) -> np.ndarray:
        return self.split.picture(index)

    def draw(self, index: int, files: np.ndarray, seed: int) -> tuple[np.ndarray, Boxes]:
        boxes, labels, crowd = self.split.target(index)
        image, boxes, rows = self.augmentation(files, boxes, seed, crowd)
        return image, _boxes(boxes, labels[rows], crowd[rows])

    def image_sizes(self) -> list[Size]:
        return [self.canvas] * len(self)


def _boxes(boxes: np.ndarray, labels: np.ndarray, crowd: np.ndarray) -> Boxes:
    coordinates = torch.from_numpy(boxes.astype(np.float32))
    regions = torch.from_numpy(crowd)
    ignore = coordinates[regions] if crowd.any() else None
    return Boxes(coordinates[~regions], torch.from_numpy(labels)[~regions], ignore=ignore)
