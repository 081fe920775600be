"""Masks with objects in Cityscapes' ids, and the same as the official evaluation takes them."""

from typing import NamedTuple

import numpy as np
import torch
from cityscapesscripts.helpers.labels import category2labels, id2label, labels

from densenets.contract import IGNORED, Mask

SCORED = sorted((label.trainId, label) for label in labels if not label.ignoreInEval)
CLASSES = [label.name for _, label in SCORED]
CATEGORIES = [name for name in category2labels if name != "void"]
NUMBERED = [label.id for label in labels if label.hasInstances]
PERSON, CAR, CARAVAN, BICYCLE = 24, 26, 29, 33


class Cityscapes:
    """A split of Cityscapes' classes without any picture."""

    classes = CLASSES
    category_ids = np.array([label.id for _, label in SCORED])
    groups = (CATEGORIES, np.array([CATEGORIES.index(label.category) for _, label in SCORED]))
    counted = np.array([label.hasInstances for _, label in SCORED])
    instances: np.ndarray | None = np.array([], dtype=str)
    train_ids = np.full(256, -1, dtype=np.int16)
    train_ids[: len(labels) - 1] = [id2label[number].trainId for number in range(len(labels) - 1)]

    def __init__(self, files: list[str], sizes: list[tuple[int, int]], truths: list[Mask]) -> None:
        self.files, self.sizes, self.truths = np.array(files), np.array(sizes), truths
        self.image_ids = np.arange(1, len(files) + 1)

    def truth(self, index: int, instances: bool) -> Mask:
        return self.truths[index] if instances else Mask(self.truths[index].ids)


class Pair(NamedTuple):
    """(H, W) ids of one image as they stand in files. instances: id * 1000 + number, or the id of a whole group."""

    prediction: np.ndarray
    truth: np.ndarray
    instances: np.ndarray


def mask(pair: Pair) -> Mask:
    """What a reader of Cityscapes makes of the truth."""
    ids = Cityscapes.train_ids[pair.truth].astype(np.uint8)
    single = (pair.instances >= 1000) & (ids != IGNORED)
    return Mask(torch.from_numpy(ids), torch.from_numpy(np.where(single, pair.instances, 0).astype(np.int32)))


def numbered(truth: np.ndarray, rng: np.random.Generator, most: int = 6) -> np.ndarray:
    """Each px of a class with objects belongs to one of up to `most`, or to a group of them that has no number."""
    number = rng.integers(-1, most, truth.shape)
    single = np.isin(truth, NUMBERED) & (number >= 0)
    return np.where(single, truth.astype(np.int64) * 1000 + number, truth).astype(np.int32)


def pair(rng: np.random.Generator) -> Pair:
    """A few ids in stripes or at random; some right, some void, in sizes from one px on."""
    shape = tuple(rng.integers(1, 20, 2).tolist())
    known = rng.choice(34, rng.integers(1, 12), replace=False)
    truth = rng.choice(known, shape).astype(np.uint8)
    if rng.random() < 0.3:
        truth = np.repeat(truth[:1], shape[0], axis=0)
    other = rng.choice(rng.choice(34, rng.integers(1, 34), replace=False), shape)
    prediction = np.where(rng.random(shape) < rng.random(), truth, other).astype(np.uint8)
    return Pair(prediction, truth, numbered(truth, rng))


def _filled(prediction: int, truth: int, shape: tuple[int, int] = (3, 4)) -> Pair:
    ids = np.full(shape, truth, dtype=np.uint8)
    return Pair(np.full(shape, prediction, dtype=np.uint8), ids, numbered(ids, np.random.default_rng(0), 2))


def adversaries() -> list[Pair]:
    """Cases that random ones hardly meet."""
    rng = np.random.default_rng(1)
    found = [_filled(a, b, (1, 1)) for a in (0, 7, PERSON, CARAVAN) for b in (0, 4, 7, PERSON, CARAVAN, CAR)]
    found += [
        _filled(0, 0),
        _filled(7, 0),
        _filled(0, 7),
        _filled(CARAVAN, CAR),
        _filled(CAR, CARAVAN),
        _filled(33, 26),
    ]
    whole = rng.integers(0, 34, (40, 60)).astype(np.uint8)
    tiny = np.arange(whole.size).reshape(whole.shape) % 900  # objects of one px each
    single = np.full(whole.shape, BICYCLE, dtype=np.uint8)
    found.append(Pair(whole, single, (single.astype(np.int32) * 1000 + tiny).astype(np.int32)))
    found.append(Pair(whole, whole, numbered(whole, rng)))
    found.append(Pair(np.full_like(whole, CARAVAN), whole, numbered(whole, rng)))
    return found
