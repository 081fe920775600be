"""What is scored in a split: its classes, their groups, and for Cityscapes' own classes the official constants."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from densenets.contract import IGNORED, Mask
from densenets.metrics.segmentation_iou import NO_GROUP, Rules

# px of an average object of the fine training set, as the official evaluation has them
CITYSCAPES_SIZES = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
# Ids that are no class of the evaluation and yet count as right for an object of this category: caravan and trailer.
CITYSCAPES_BESIDE = {29: "vehicle", 30: "vehicle"}


class SegmentedSplit(Protocol):
    """What judging needs of a split of N images and C classes.

    files: (N,) full paths of the pictures. image_ids: (N,). sizes: (N, 2) height and width, px. category_ids: (C,) the
    id of each class in the data set's files. train_ids: (256,) int16, class of each id in a file; 255 for an id of no
    class, -1 for one the data set does not know. groups: names and (C,) index; None where there are none. counted:
    (C,) bool, whether the objects of a class are told apart by the files of `instances`; None where there are none.
    """

    @property
    def classes(self) -> Sequence[str]: ...

    @property
    def category_ids(self) -> np.ndarray: ...

    @property
    def files(self) -> np.ndarray: ...

    @property
    def image_ids(self) -> np.ndarray: ...

    @property
    def sizes(self) -> np.ndarray: ...

    @property
    def train_ids(self) -> np.ndarray: ...

    @property
    def groups(self) -> tuple[Sequence[str], np.ndarray] | None: ...

    @property
    def counted(self) -> np.ndarray: ...

    @property
    def instances(self) -> np.ndarray | None: ...

    def truth(self, index: int, instances: bool) -> Mask:
        """The mask of one image at its file's size; instances: with its objects, where the data set has them."""
        ...


def rules_of(split: SegmentedSplit, *, of_files: bool = False) -> Rules:
    """Cityscapes' own average sizes where the classes and ids are Cityscapes' own.

    of_files: for predictions as files, which may hold ids that no model of the classes gives, see `columns_of`.
    """
    names, group_of = split.groups or ((), ())
    official = _is_cityscapes(split)
    sizes = tuple(CITYSCAPES_SIZES.get(name, math.nan) for name in split.classes) if official else ()
    beside = sorted({names.index(name) for name in CITYSCAPES_BESIDE.values()}) if official and of_files else []
    return Rules(
        tuple(split.classes),
        tuple(names),
        tuple(int(group) for group in group_of),
        tuple(bool(counted) for counted in split.counted) if split.instances is not None else (),
        sizes,
        (*beside, NO_GROUP),
    )


def columns_of(split: SegmentedSplit, rules: Rules) -> np.ndarray:
    """(256,) int16: the column of the confusion matrix for each id in a file, -1 for one the data set does not know."""
    last = rules.shape[1] - 1
    column = np.where(split.train_ids == IGNORED, last, split.train_ids).astype(np.int16)
    if len(rules.void) > 1:
        for number, group in CITYSCAPES_BESIDE.items():
            column[number] = len(rules.classes) + rules.void.index(rules.groups.index(group))
    return column


def _is_cityscapes(split: SegmentedSplit) -> bool:
    """In whatever order, and with whatever classes of other data sets besides."""
    groups = split.groups[0] if split.groups else ()
    same = {*CITYSCAPES_IDS} <= {*np.asarray(split.category_ids).tolist()}
    return same and {*CITYSCAPES_SIZES} <= {*split.classes} and {*CITYSCAPES_BESIDE.values()} <= {*groups}
