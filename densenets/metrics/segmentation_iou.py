"""IoU of classes and categories, and iIoU, by Cityscapes' rules, for the classes of any data set.

All that a split's scores need is counted in whole numbers, image by image, and added up: which images were counted
together, by which process and in which order changes no bit of a score. A pixel without a true class counts nowhere; a
pixel that has one and is predicted as none is missed by its class and held against no other [V17]. A class that is
neither there nor predicted has no score and no part in a mean [V15]; one that is predicted alone scores 0 and has
[V16]. Nothing is averaged over images [V20].

iIoU is for classes whose objects are told apart: each object's pixels weigh as if it were of its class's average size,
so that many small objects count as much as a few large ones. False positives belong to no object and weigh 1.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from densenets.contract import IGNORED, Mask

MEANS = ("mIoU", "category_mIoU", "iIoU", "category_iIoU", "pixel_accuracy")
NO_GROUP = -1
_FEW = 2**20  # object numbers up to here are counted without sorting
_LONG = 8  # px of an average piece that makes pieces worth it
_MOST_PIXELS = 2**40  # of one image


class Rules(NamedTuple):
    """What is scored in a data set of C classes and G groups of them (Cityscapes calls a group a category).

    groups: G names; group_of: (C,) the group of each class; both empty where there are none.
    counted: (C,) whether the objects of a class are told apart; empty: of none.
    sizes: (C,) px of an average object of the class; NaN, or empty: the average of the objects that are judged.
    void: a column of the confusion matrix for each kind of prediction that is no class, with the group it nevertheless
    belongs to, or NO_GROUP. All other predictions that are no class fall into the last one.
    """

    classes: tuple[str, ...]
    groups: tuple[str, ...] = ()
    group_of: tuple[int, ...] = ()
    counted: tuple[bool, ...] = ()
    sizes: tuple[float, ...] = ()
    void: tuple[int, ...] = (NO_GROUP,)

    @property
    def shape(self) -> tuple[int, int]:
        """(C, K) of the confusion matrix: true class, predicted class or void."""
        return len(self.classes), len(self.classes) + len(self.void)

    @property
    def group_of_column(self) -> tuple[int, ...]:
        return (*(self.group_of or [NO_GROUP] * len(self.classes)), *self.void)


class Counts(NamedTuple):
    """Of one image, or of many.

    matrix: (C, K) int64 px by true class and prediction. objects: (I, 4) int64, a row for each object: class, its px,
    those predicted as its class, those predicted as its class's group.
    """

    matrix: np.ndarray
    objects: np.ndarray


def nothing(rules: Rules) -> Counts:
    return Counts(np.zeros(rules.shape, dtype=np.int64), np.zeros((0, 4), dtype=np.int64))


class Total:
    """A sum over images that takes the memory of one and a row for each object."""

    def __init__(self, rules: Rules) -> None:
        self.matrix, none = nothing(rules)
        self.objects = [none]

    def add(self, counts: Counts) -> None:
        self.matrix += counts.matrix
        self.objects.append(counts.objects)

    def counts(self) -> Counts:
        return Counts(self.matrix.copy(), np.concatenate(self.objects))


def added(parts: Iterable[Counts], rules: Rules) -> Counts:
    """The sum over images."""
    total = Total(rules)
    for part in parts:
        total.add(part)
    return total.counts()


# Counting one image


class _Pieces(NamedTuple):
    """Pixels of one image, those that follow each other and are equal in everything taken together.

    prediction, truth, instances: (P,); instances is None where no objects are counted. pixels: (P,) float64, how many
    each piece has; None: one each.
    """

    prediction: Tensor
    truth: Tensor
    instances: Tensor | None
    pixels: Tensor | None


def count(prediction: Tensor, truth: Mask, rules: Rules) -> Counts:
    """prediction: (H, W) uint8 columns of `rules.shape`, on the device of the truth, whatever that is."""
    pieces = _pieces(prediction, truth.ids, truth.instances if any(rules.counted) else None)
    return Counts(_confusion(pieces, *rules.shape).cpu().numpy(), _objects(pieces, rules))


def confusion(prediction: Tensor, truth: Tensor, classes: int, columns: int | None = None) -> Tensor:
    """(C, K) int64 px by true class and predicted column; K is C + 1 where it is not given.

    prediction, truth: uint8 of equal shapes. Predictions from K on fall into the last column, truth from C on counts
    nowhere. Computed on the device.
    """
    return _confusion(_pieces(prediction, truth, None), classes, columns or classes + 1)


def _pieces(prediction: Tensor, truth: Tensor, instances: Tensor | None) -> _Pieces:
    """On a CPU most masks fall into so few pieces that finding them is a fraction of the work of counting pixels."""
    if prediction.shape != truth.shape:
        raise ValueError(f"a prediction of {tuple(prediction.shape)} and a truth of {tuple(truth.shape)}")
    maps = [part.flatten() for part in (prediction, truth, instances) if part is not None]
    starts = _starts([part.numpy() for part in maps]) if truth.device.type == "cpu" else None
    pixels = None
    if starts is not None:
        pixels = torch.from_numpy(np.diff(starts, append=truth.numel()).astype(np.float64))
        maps = [torch.from_numpy(part.numpy()[starts]) for part in maps]
    return _Pieces(maps[0], maps[1], maps[2] if len(maps) > 2 else None, pixels)


def _starts(maps: list[np.ndarray]) -> np.ndarray | None:
    """Where the pieces start; None where they are too many to be worth it."""
    change = np.empty(len(maps[0]), dtype=bool)
    change[:1] = True
    np.not_equal(maps[0][1:], maps[0][:-1], out=change[1:])
    other = np.empty_like(change[1:])
    for part in maps[1:]:
        np.not_equal(part[1:], part[:-1], out=other)
        np.logical_or(change[1:], other, out=change[1:])
    few = np.count_nonzero(change) <= len(change) // _LONG
    return np.flatnonzero(change) if few else None


def _confusion(pieces: _Pieces, classes: int, columns: int) -> Tensor:
    kind = torch.int16 if (classes + 1) * columns <= 2**15 else torch.int32
    column = pieces.prediction.clamp(max=columns - 1).to(kind)
    cell = pieces.truth.clamp(max=classes).to(kind).mul_(columns).add_(column)
    return _sums(cell, pieces.pixels, (classes + 1) * columns).view(classes + 1, columns)[:classes]


def _sums(places: Tensor, pixels: Tensor | None, length: int) -> Tensor:
    """(length,) int64 px at each of the places 0..length-1; places: (P,); pixels: as of `_Pieces`."""
    if pixels is None:
        return torch.bincount(places, minlength=length)
    return torch.bincount(places, pixels, minlength=length).long()  # exact: far below 2^53


def _objects(pieces: _Pieces, rules: Rules) -> np.ndarray:
    if pieces.instances is None:
        return nothing(rules).objects
    here = ((pieces.instances > 0) & (pieces.truth != IGNORED)).nonzero()[:, 0]  # three times as fast as masks are
    if not len(here):
        return nothing(rules).objects
    number, true, told = (part[here].long() for part in (pieces.instances, pieces.truth, pieces.prediction))
    each = None if pieces.pixels is None else pieces.pixels[here]
    if int(number.max()) >= _FEW:
        number = number.unique(return_inverse=True)[1] + 1
    group = torch.tensor(rules.group_of_column, device=true.device)
    right, near = told == true, group[true] == group[told.clamp(max=len(group) - 1)]
    many = int(number.max()) + 1
    pixels, hits, near_hits = (_sums(n, each, many) for n in (number, number * right, number * near))
    label = torch.zeros(many, dtype=torch.int64, device=true.device).scatter_(0, number, true)
    rows = torch.stack([label, pixels, hits, near_hits], dim=1)[pixels > 0].cpu().numpy()  # 0 is no object
    return rows[np.array(rules.counted)[rows[:, 0]]]


# Scores


def scores(counts: Counts, rules: Rules) -> dict[str, Any]:
    """`MEANS`; "per_class" {name: {"IoU", "iIoU", "pixels"}}; "per_category" {name: {"IoU", "iIoU"}}; "confusion", the
    matrix as lists. None where nothing defines a score. pixels: those of the class in the truth.
    """
    matrix, classes = counts.matrix, range(len(rules.classes))
    weights = _weights(counts.objects, rules)
    groups = [[k for k, g in enumerate(rules.group_of) if g == group] for group in range(len(rules.groups))]
    iou = [_iou(matrix, [k], [k]) for k in classes]
    own = [_iiou(counts, weights, rules, [k], [k], 2) for k in classes]
    category = [_iou(matrix, members, members) for members in groups]
    behind = [
        [len(rules.classes) + place for place, group in enumerate(rules.void) if group == g] for g in range(len(groups))
    ]
    own_category = [
        _iiou(counts, weights, rules, members, [*members, *more], 3)
        for members, more in zip(groups, behind, strict=True)
    ]
    pixels = matrix.sum(axis=1).tolist()
    rows = zip(rules.classes, iou, own, pixels, strict=True)
    return {
        "mIoU": mean(iou),
        "category_mIoU": mean(category),
        "iIoU": mean(own),
        "category_iIoU": mean(own_category),
        "pixel_accuracy": _ratio(int(matrix.trace()), int(matrix.sum())),
        "per_class": {name: {"IoU": a, "iIoU": b, "pixels": n} for name, a, b, n in rows},
        "per_category": {
            name: {"IoU": a, "iIoU": b} for name, a, b in zip(rules.groups, category, own_category, strict=True)
        },
        "confusion": matrix.tolist(),
    }


def mean(values: Iterable[float | None]) -> float | None:
    """Of those that are defined."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _iou(matrix: np.ndarray, rows: list[int], columns: list[int]) -> float | None:
    """Of the classes `rows` taken as one."""
    right, there = int(matrix[np.ix_(rows, columns)].sum()), int(matrix[rows].sum())
    return _ratio(right, there + _wrong(matrix, rows, columns))


def _wrong(matrix: np.ndarray, rows: list[int], columns: list[int]) -> int:
    """False positives: px of other classes that are predicted as one of the columns."""
    return int(matrix[:, columns].sum() - matrix[np.ix_(rows, columns)].sum())


def _weights(objects: np.ndarray, rules: Rules) -> np.ndarray:
    """(I,) what a pixel of each object counts: average size of its class over its own."""
    average = np.array(rules.sizes or [math.nan] * len(rules.classes))
    for k in np.flatnonzero(np.isnan(average)):
        px = objects[objects[:, 0] == k, 1]
        average[k] = int(px.sum()) / max(1, len(px))
    return average[objects[:, 0]] / objects[:, 1].astype(np.float64)


def _iiou(
    counts: Counts, weights: np.ndarray, rules: Rules, members: list[int], columns: list[int], hits: int
) -> float | None:
    """Of the classes `members` taken as one; hits: the column of `objects` that says what is right.

    The sums are exact before their one rounding, so that the order of the objects does not matter.
    """
    if not rules.counted or not members or not all(rules.counted[k] for k in members):
        return None
    here = np.isin(counts.objects[:, 0], members)
    objects, weight = counts.objects[here], weights[here]
    right = math.fsum((objects[:, hits] * weight).tolist())
    missed = math.fsum(((objects[:, 1] - objects[:, hits]) * weight).tolist())
    return _ratio(right, right + _wrong(counts.matrix, members, columns) + missed)


# Plain types


def plain(counts: Counts) -> dict[str, list]:
    """The counts of one image as the content of a line, see `parts`: the cells of the matrix that are not 0, counted
    row by row, and their px; the objects."""
    cells = np.flatnonzero(counts.matrix)
    return {
        "cells": cells.tolist(),
        "pixels": counts.matrix.reshape(-1)[cells].tolist(),
        "objects": counts.objects.tolist(),
    }


def from_plain(line: dict[str, Any], rules: Rules) -> Counts | None:
    """The way back, bit by bit; None where the line holds no counts by these rules."""
    cells, pixels = _whole(line.get("cells"), math.prod(rules.shape)), _whole(line.get("pixels"), _MOST_PIXELS)
    objects = _whole(line.get("objects"), _MOST_PIXELS, 4)
    if cells is None or pixels is None or objects is None or len(cells) != len(pixels):
        return None
    told = objects[:, 0] < len(rules.counted)
    if not (told.all() and np.array(rules.counted, dtype=bool)[objects[:, 0]].all()):
        return None
    if len(np.unique(cells)) < len(cells) or (objects[:, 1] < 1).any() or (objects[:, 2:] > objects[:, 1:2]).any():
        return None
    matrix = np.zeros(math.prod(rules.shape), dtype=np.int64)
    matrix[cells] = pixels
    return Counts(matrix.reshape(rules.shape), objects)


def _whole(values: object, limit: int, across: int = 0) -> np.ndarray | None:
    """A list of numbers 0..limit-1, or of rows of them, as int64."""
    try:
        array = np.array(values if isinstance(values, Sequence) else None)
    except (ValueError, OverflowError):
        return None
    shape = (len(array), across) if across and array.ndim else (array.size,)
    if not array.size and array.ndim == 1:
        return np.zeros((0, across) if across else 0, dtype=np.int64)
    if array.dtype.kind != "i" or array.shape != shape or array.min() < 0 or array.max() >= limit:
        return None
    return array.astype(np.int64)
