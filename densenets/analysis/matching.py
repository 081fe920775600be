"""Which detection finds which object, by COCO's rules, once for all that is counted afterwards.

Detections of a class in an image are matched by falling score, each with the object of the highest IoU that is still
free. What an image gives does not depend on the others. Objects outside a range of areas, and crowds, are ignored:
taken only where no other is left, they make a detection neither right nor wrong; so does an area outside the range of a
detection without an object.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from densenets.metrics.coco_map import PER_IMAGE
from densenets.metrics.predictions import Columns, check_columns
from densenets.metrics.soundness import check_truth

IOUS = np.linspace(0.5, 0.95, 10)  # pycocotools' own, to the bit
AREAS = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])  # all, small, medium, large; px
WRONG, RIGHT, IGNORED = 0, 1, 2
NOTHING = -1
_LEAST = np.minimum(IOUS, 1 - 1e-10)  # what counts as that much


class Objects(NamedTuple):
    """M objects, by image and class. image, category: (M,) places among the set's. box: (M, 4) x y width height, px."""

    image: np.ndarray
    category: np.ndarray
    box: np.ndarray
    area: np.ndarray
    crowd: np.ndarray

    def counted(self) -> np.ndarray:
        """(M, A) bool: in which ranges of areas an object has to be found."""
        return _inside(self.area) & ~self.crowd[:, None]


class Matched(NamedTuple):
    """N detections, by image, class and falling score, of each image and class the best `PER_IMAGE`.

    image_ids: (I,) and category_ids: (C,), rising; names: C of the classes. image, category: (N,) places among them.
    kind: (N, A, T) uint8, WRONG, RIGHT or IGNORED in each range of areas at each IoU. taken: (N,) the object that each
    has at the lowest IoU among all areas, or NOTHING.
    """

    image_ids: np.ndarray
    category_ids: np.ndarray
    names: list[str]
    objects: Objects
    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    box: np.ndarray
    kind: np.ndarray
    taken: np.ndarray


def match(truth: dict, results: Columns) -> Matched:
    """truth: images, annotations and categories in COCO's form; results: in any order. Raises InputError.

    Equal scores are taken in the order of `Columns.canonical`, as they are where COCO's numbers are computed.
    """
    check_truth(truth)
    images, categories = (np.array(sorted(i["id"] for i in truth[part])) for part in ("images", "categories"))
    check_columns(results, images.tolist(), categories.tolist())
    names = [c["name"] for c in sorted(truth["categories"], key=lambda c: c["id"])]
    objects = _objects(truth, images, categories)
    found = _best(results.canonical())
    image, category = np.searchsorted(images, found.image), np.searchsorted(categories, found.category)
    outside = ~_inside(found.box[:, 2] * found.box[:, 3])
    kind = np.repeat(np.where(outside, IGNORED, WRONG).astype(np.uint8)[..., None], len(IOUS), axis=2)
    taken = np.full(len(image), NOTHING)
    many = len(categories)
    for mine, theirs in _groups(image * many + category, objects.image * many + objects.category):
        _match_group(found.box[mine], objects, theirs, kind[mine], taken[mine])
    return Matched(images, categories, names, objects, image, category, found.score, found.box, kind, taken)


def overlaps(boxes: np.ndarray, others: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """(D, G) IoU of x y width height boxes as pycocotools computes it: over a crowd, the part of the box inside."""
    from pycocotools import mask

    iou: np.ndarray = mask.iou(np.ascontiguousarray(boxes), np.ascontiguousarray(others), crowd.astype(np.uint8))
    return iou


def _inside(area: np.ndarray) -> np.ndarray:
    """(..., A) bool; a bound belongs to both of its ranges."""
    return (area[..., None] >= AREAS[:, 0]) & (area[..., None] <= AREAS[:, 1])


def _objects(truth: dict, images: np.ndarray, categories: np.ndarray) -> Objects:
    """Of an image and class in the file's order."""
    items = truth["annotations"]
    box = np.array([a["bbox"] for a in items], dtype=np.float64).reshape(-1, 4)
    area = np.array([a.get("area", a["bbox"][2] * a["bbox"][3]) for a in items], dtype=np.float64)
    crowd = np.array([bool(a.get("iscrowd", 0)) for a in items], dtype=bool)
    image = np.searchsorted(images, np.array([a["image_id"] for a in items], dtype=np.int64))
    category = np.searchsorted(categories, np.array([a["category_id"] for a in items], dtype=np.int64))
    order = np.lexsort([category, image])
    return Objects(*(column[order] for column in (image, category, box, area, crowd)))


def _best(found: Columns) -> Columns:
    """Of canonical columns, those of each image and class that count."""
    change = np.ones(len(found.image), dtype=bool)
    change[1:] = (np.diff(found.image) != 0) | (np.diff(found.category) != 0)
    starts = np.flatnonzero(change)
    place = np.arange(len(change)) - np.repeat(starts, np.diff(starts, append=len(change)))
    return found.take(place < PER_IMAGE)


def _groups(mine: np.ndarray, theirs: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Where the same key stands in both of two rising columns."""
    keys, starts, counts = np.unique(theirs, return_index=True, return_counts=True)
    first, last = np.searchsorted(mine, keys, side="left"), np.searchsorted(mine, keys, side="right")
    rows = zip(first.tolist(), last.tolist(), starts.tolist(), (starts + counts).tolist(), strict=True)
    return ((slice(a, b), slice(c, d)) for a, b, c, d in rows if a < b)


def _match_group(boxes: np.ndarray, objects: Objects, where: slice, kind: np.ndarray, taken: np.ndarray) -> None:
    """One image and class: fills in kind: (D, A, T) and taken: (D,)."""
    crowd = objects.crowd[where]
    iou = overlaps(boxes, objects.box[where], crowd)  # (D, G)
    ignored = (crowd[:, None] | ~_inside(objects.area[where])).T[:, None]  # (A, 1, G)
    gone = np.zeros((len(AREAS), len(IOUS), len(crowd)), dtype=bool)
    last = len(crowd) - 1
    for d in np.flatnonzero(iou.max(axis=1) >= _LEAST[0]):
        free = (iou[d] >= _LEAST[:, None]) & ~(gone & ~crowd)
        counted = free & ~ignored
        wanted = np.where(counted.any(axis=2, keepdims=True), counted, free)
        best = last - np.where(wanted, iou[d], -1)[..., ::-1].argmax(axis=2)  # (A, T); of equal IoUs the last
        hit = free.any(axis=2)
        area, level = hit.nonzero()
        gone[area, level, best[hit]] = True
        kind[d][hit] = np.where(ignored[area, 0, best[hit]], IGNORED, RIGHT)
        if hit[0, 0]:
            taken[d] = where.start + best[0, 0]
