"""IoU for draws of images: every score is a ratio of sums of pixels, which a draw adds up with its weights."""

from collections.abc import Sequence

import numpy as np

from densenets.analysis.uncertainty.draws import DRAWS, basis, blocks
from densenets.analysis.uncertainty.intervals import Samples
from densenets.metrics.image_counts import ImageCounts
from densenets.metrics.segmentation_iou import mean

NAMES = ("mIoU", "pixel_accuracy")


def segmentation_samples(counts: ImageCounts, classes: Sequence[str], draws: int = DRAWS, seed: int = 0) -> Samples:
    """`NAMES`, and "IoU" of each class in `per_class`. classes: the names, in the counts' order.

    The values are those of results.json, to the bit. A class that a draw neither holds nor has predicted is undefined
    there and has no part in the mean.
    """
    if counts.pixels.shape[2] != len(classes):
        raise ValueError(f"counts of {counts.pixels.shape[2]} classes and {len(classes)} names")
    order = np.argsort(counts.images)
    images, pixels = counts.images[order], counts.pixels[order]
    origin = basis(images, draws, seed)
    *_, accuracy, iou = _scores(pixels.sum(axis=0)[None].astype(np.float64))
    each = [_plain(value) for value in iou[0]]
    drawn = _drawn(pixels, draws, seed)
    per_class = {
        name: Samples({"IoU": value}, {"IoU": column}, origin)
        for name, value, column in zip(classes, each, drawn[2:], strict=True)
    }
    values = dict(zip(NAMES, (mean(each), _plain(accuracy[0])), strict=True))
    return Samples(values, dict(zip(NAMES, drawn[:2], strict=True)), origin, per_class)


def _drawn(pixels: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """(2 + C, D): `NAMES` and the IoUs. pixels: (N, 3, C) as of `ImageCounts`."""
    images, kinds, classes = pixels.shape
    flat = pixels.reshape(images, kinds * classes).astype(np.float64)  # exact up to 2^53 px of all images together
    found = np.empty((draws, 2 + classes))
    for piece, weights in blocks(images, draws, seed):
        sums = (weights.T @ flat).reshape(-1, kinds, classes)
        found[piece] = np.column_stack(_scores(sums))
    return found.T.copy()


def _scores(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """mIoU (D,), pixel accuracy (D,) and IoUs (D, C), NaN: undefined. pixels: (D, 3, C)."""
    right, extra, missed = pixels.transpose(1, 0, 2)
    union = right + extra + missed
    known = union > 0
    iou = np.where(known, right / np.maximum(union, 1), np.nan)
    total, count = np.where(known, iou, 0).sum(axis=1), known.sum(axis=1)
    return _ratio(total, count), _ratio(right.sum(axis=1), (right + missed).sum(axis=1)), iou


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
