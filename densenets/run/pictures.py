"""The sheet of validation images: truth and prediction side by side, of boxes or of classes."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from densenets import draw
from densenets.data.dataset import DetectionSplit
from densenets.data.segmentation import SegmentationSplit
from densenets.errors import InputError
from densenets.metrics.predictions import Columns

log = logging.getLogger(__name__)
EMPTY = np.zeros((8, 8, 3), dtype=np.uint8)  # stands for a picture that cannot be read
IMAGES = 8
THRESHOLD = 0.3


def write_sheet(split: DetectionSplit, found: Columns, path: Path) -> None:
    """A spread of the split's images, those with the most objects in each part of it, and how many detections are not
    drawn. One that cannot be read costs no results: its place stays empty."""
    rows = _spread(np.diff(split.first))
    scores = [found.score[found.image == split.image_ids[row]] for row in rows]
    pairs = [_pair(split, row, found) for row in rows]
    captions = [f"{Path(str(split.files[row])).name}: {_told(own)}" for row, own in zip(rows, scores, strict=True)]
    draw.sheet(pairs, path, captions, ("truth", f"prediction, scores from {THRESHOLD:g}"))


def _told(scores: np.ndarray) -> str:
    """Of one image: an empty picture may hide detections."""
    if not len(scores):
        return "no detection"
    drawn = int(np.sum(scores >= THRESHOLD))
    return f"{drawn} detections drawn, {len(scores) - drawn} below {THRESHOLD:g}, best {scores.max():.2f}"


def _spread(counts: np.ndarray) -> list[int]:
    """The index of the fullest image in each of up to IMAGES equal parts."""
    parts = np.array_split(np.arange(len(counts)), min(IMAGES, len(counts)))
    return [int(part[counts[part].argmax()]) for part in parts]


def _pair(split: DetectionSplit, row: int, found: Columns) -> tuple[np.ndarray, np.ndarray]:
    try:
        image = split.picture(row)
    except InputError as fault:
        log.warning("warning: missing in the sheet of pictures: %s", fault)
        return EMPTY, EMPTY
    return truth_over(image, split, row), found_over(image, split, row, found)


def truth_over(image: np.ndarray, split: DetectionSplit, row: int) -> np.ndarray:
    """The (H, W, 3) image at an index of the split with its objects; crowds are marked as ignored."""
    boxes, labels, crowd = split.target(row)
    return draw.draw_boxes(image, boxes[~crowd], labels[~crowd], None, split.classes, ignore=boxes[crowd])


def found_over(image: np.ndarray, split: DetectionSplit, row: int, found: Columns) -> np.ndarray:
    """Likewise with what was found, of scores from THRESHOLD."""
    here = found.take((found.image == split.image_ids[row]) & (found.score >= THRESHOLD))
    corners = np.concatenate([here.box[:, :2], here.box[:, :2] + here.box[:, 2:]], axis=1).astype(np.float32)
    label_of = {int(category): label for label, category in enumerate(split.category_ids)}
    labels = np.array([label_of[category] for category in here.category.tolist()], dtype=np.int64)
    return draw.draw_boxes(image, corners, labels, here.score, split.classes)


# Classes

HEADS = ("image", "truth", "prediction", "wrong: red, no class: blue")


def sheet_rows(split: SegmentationSplit) -> list[int]:
    """The indices that a sheet shows, at equal distances over the split."""
    return np.linspace(0, len(split), min(IMAGES, len(split)), endpoint=False).astype(int).tolist()


def write_mask_sheet(split: SegmentationSplit, predict: Callable[[int], np.ndarray], path: Path) -> None:
    """Images of equal distance over the split, and the names of all classes that they or their predictions have.

    predict: the (H, W) classes of the image at an index of the split, in file px. An image whose files cannot be read
    costs no results: its place stays empty.
    """
    rows = sheet_rows(split)
    seen: list[np.ndarray] = []
    panels = [_panels(split, row, predict, seen) for row in rows]
    shown = draw.present(seen, len(split.classes)) if seen else []
    captions = [Path(str(split.files[row])).name for row in rows]
    draw.sheet(panels, path, captions, HEADS, lambda width: draw.legend(split.classes, split.palette, shown, width))


def _panels(
    split: SegmentationSplit, row: int, predict: Callable[[int], np.ndarray], seen: list[np.ndarray]
) -> list[np.ndarray]:
    """seen: gets the truth and the prediction."""
    try:
        image, truth = split.picture(row), split.truth(row).ids.numpy()
    except InputError as fault:
        log.warning("warning: missing in the sheet of pictures: %s", fault)
        return [EMPTY] * len(HEADS)
    prediction = predict(row)
    seen += [truth, prediction]
    coloured = [draw.draw_classes(image, ids, split.palette, 1.0) for ids in (truth, prediction)]
    return [image, *coloured, draw.draw_errors(image, prediction, truth)]
