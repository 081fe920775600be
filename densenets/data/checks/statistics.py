"""What a split looks like: classes, sizes of boxes and pictures, shapes."""

from itertools import pairwise
from typing import Any

import numpy as np

from densenets.contract import size_told
from densenets.data.checks.annotations import Sound, unused_classes
from densenets.data.checks.findings import Findings

COCO_SIZES = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, np.inf)}  # px^2 of the file, as COCO's
SIDES = (0, 2, 4, 8, 16, 32, 64, 128, 256, 512, np.inf)  # px, the square root of a box's area
ASPECTS = (0, 1 / 5, 1 / 3, 1 / 2, 1 / 1.5, 1.5, 2, 3, 5, np.inf)  # width / height
TINY = 2  # px of the canvas
NEARLY_ALL = 0.95  # of the picture


def canvas_boxes(sound: Sound, canvas: tuple[int, int], keep_ratio: bool = False) -> np.ndarray:
    """(M, 4) in canvas px: a picture is stretched to the canvas (H, W), or as large as its ratio lets it be there."""
    scale = np.array([canvas[1], canvas[0]]) / np.maximum(sound.sizes[:, ::-1], 1)
    if keep_ratio:
        scale = np.repeat(scale.min(axis=1, keepdims=True), 2, axis=1)
    return sound.boxes * np.tile(scale[sound.rows], 2)


def describe(sound: Sound, canvas: tuple[int, int], keep_ratio: bool = False) -> dict[str, Any]:
    """Counts of all kinds, for JSON."""
    real = ~sound.crowd
    file_sides = _sides(sound.boxes[real])
    canvas_sides = _sides(canvas_boxes(sound, canvas, keep_ratio)[real])
    widths, heights = (sound.boxes[real][:, 2:] - sound.boxes[real][:, :2]).T
    counts = np.bincount(sound.rows, minlength=len(sound.files))
    return {
        "images": len(sound.files),
        "boxes": int(real.sum()),
        "crowds": int(sound.crowd.sum()),
        "images_without_boxes": int((counts == 0).sum()),
        "boxes_per_image": {"mean": float(counts.mean()) if len(counts) else 0.0, "max": int(counts.max(initial=0))},
        "classes": _classes(sound),
        "coco_sizes": {
            name: int(((file_sides**2 >= low) & (file_sides**2 < high)).sum())
            for name, (low, high) in COCO_SIZES.items()
        },
        "sides_file_px": _histogram(file_sides, SIDES),
        "sides_canvas_px": _histogram(canvas_sides, SIDES),
        "aspect_ratios": _histogram(widths / np.maximum(heights, 1e-9), ASPECTS),
        "image_sizes": image_sizes(sound.sizes),
    }


def _sides(boxes: np.ndarray) -> np.ndarray:
    return np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def _classes(sound: Sound) -> list[dict[str, Any]]:
    real = ~sound.crowd
    boxes = np.bincount(sound.labels[real], minlength=len(sound.classes))
    pairs = np.unique(np.stack([sound.labels[real], sound.rows[real]], axis=1), axis=0)
    images = np.bincount(pairs[:, 0], minlength=len(sound.classes))
    crowds = np.bincount(sound.labels[sound.crowd], minlength=len(sound.classes))
    return [
        {"name": name, "boxes": int(boxes[k]), "images": int(images[k]), "crowds": int(crowds[k])}
        for k, name in enumerate(sound.classes)
    ]


def _histogram(values: np.ndarray, edges: tuple[float, ...]) -> list[dict[str, Any]]:
    """from <= value < to; the last has no end."""
    return [
        {"from": round(low, 4), "to": None if high == np.inf else round(high, 4),
         "count": int(((values >= low) & (values < high)).sum())}
        for low, high in pairwise(edges)
    ]  # fmt: skip


def image_sizes(sizes: np.ndarray) -> dict[str, Any]:
    """The commonest sizes of pictures, and how far they spread."""
    if not len(sizes):
        return {"different": 0, "common": []}
    found, counts = np.unique(sizes, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:8]
    common = [{"height": int(found[k, 0]), "width": int(found[k, 1]), "images": int(counts[k])} for k in order]
    low, middle, high = np.quantile(sizes, [0, 0.5, 1], axis=0).tolist()
    return {"different": len(found), "common": common, "smallest": low, "median": middle, "largest": high}


def suspect(
    sound: Sound, canvas: tuple[int, int], source: str, findings: Findings, keep_ratio: bool = False
) -> dict[str, list[int]]:
    """Warns of what can be read but hardly be meant; kind -> the rows of such boxes."""
    counts = np.bincount(sound.rows, minlength=len(sound.files))
    findings.note("pictures without boxes, kept as background [D13]", int((counts == 0).sum()))
    findings.note("crowd regions, ignored in training and by COCO's rule in judging [D14]", int(sound.crowd.sum()))
    sides = (lambda boxes: boxes[:, 2:] - boxes[:, :2])(canvas_boxes(sound, canvas, keep_ratio))
    part = _sides(sound.boxes) ** 2 / np.maximum(sound.sizes.prod(axis=1), 1)[sound.rows]
    where = f"on a canvas of {size_told(canvas)}"
    kinds = {
        "tiny": (~sound.crowd & (sides < TINY).any(axis=1), f"are thinner than {TINY} px {where}"),
        "nearly-all": (~sound.crowd & (part >= NEARLY_ALL), f"cover {NEARLY_ALL:.0%} of their picture or more"),
    }
    for code, (mask, words) in kinds.items():
        if mask.any():
            file = sound.files[int(sound.rows[mask.argmax()])]
            what = f"{int(mask.sum())} of {len(mask)} boxes {words}; the first in {file}"
            findings.warn(code, (source, ""), what, file)
    if unused := unused_classes(sound):
        names = ", ".join(unused[:10]) + (", ..." if len(unused) > 10 else "")
        findings.warn("unused-class", (source, ""), f"{len(unused)} classes have no box: {names}")
    return {code: np.flatnonzero(mask).tolist() for code, (mask, _) in kinds.items()}


def compare_classes(splits: dict[str, Sound], training: str, findings: Findings) -> None:
    """Classes that other splits have boxes of and the training split has not."""
    taught = _used(splits[training])
    for name, sound in splits.items():
        if name != training and (unknown := sorted(_used(sound) - taught)):
            names = ", ".join(unknown[:10]) + (", ..." if len(unknown) > 10 else "")
            findings.warn("untaught-class", (f"split {name}", ""), f"has classes that {training} lacks: {names}")


def _used(sound: Sound) -> set[str]:
    return {sound.classes[label] for label in np.unique(sound.labels).tolist()}
