"""COCO's twelve numbers for boxes.

An official program computes every number. This module guards what goes in (`soundness`), brings it into one fixed
order, because the list's own order would decide between equal scores, and tells the outcome. The codes in brackets
([V03]) are stable.
"""

import logging
from collections.abc import Collection
from typing import Any

import numpy as np

from densenets.errors import Problems, printable
from densenets.metrics.official import Judge, Judged, by_pycocotools, defined, twelve
from densenets.metrics.predictions import Columns, Result, check_columns, columns_of
from densenets.metrics.soundness import check_results, check_truth, is_number

NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")  # pycocotools' order
PER_IMAGE = 100  # detections of one class in one image that count
PER_CLASS = ("AP", "AP50")

_WORDS = {
    "AP": "IoU 0.50:0.95",
    "AP50": "IoU 0.50",
    "AP75": "IoU 0.75",
    "APs": "small, area < 32 x 32 px",
    "APm": "medium",
    "APl": "large, area > 96 x 96 px",
    "AR1": "1 detection per image",
    "AR10": "10 detections per image",
    "AR100": "100 detections per image",
    "ARs": "small",
    "ARm": "medium",
    "ARl": "large",
}
_UNDEFINED = "undefined: no such object"

_log = logging.getLogger(__name__)


def evaluate(ground_truth: dict, results: list[Result], *, seen: Collection[int] | None = None) -> dict[str, Any]:
    """`evaluate_columns` of COCO results in any order."""
    check_truth(ground_truth)
    images, categories = ({item["id"] for item in ground_truth[part]} for part in ("images", "categories"))
    check_results(results, images, categories)
    return evaluate_columns(ground_truth, columns_of(results), seen=seen)


def evaluate_columns(
    ground_truth: dict,
    found: Columns,
    *,
    seen: Collection[int] | None = None,
    partial: bool = False,
    per_image: int = PER_IMAGE,
    judge: Judge = by_pycocotools,
) -> dict[str, Any]:
    """COCO's numbers: `names(per_image)`, "per_class" {name: {"AP", "AP50"}} in the categories' order, and "counts".

    A number that has no ground truth is None. Any order of the detections gives the same bits. Of each image the best
    `per_image` detections of every class count.
    counts: images, annotations, detections as given, and cut = those beyond `per_image`.
    ground_truth: images, annotations and categories in COCO's form; no argument is changed.
    seen: the ids of the images that were judged, where the caller knows them. One that is missing is an error, or with
    `partial` left out of the truth: then "partial" is True and counts have "not_judged".
    """
    check_truth(ground_truth)
    images = {i["id"] for i in ground_truth["images"]}
    check_columns(found, images, {c["id"] for c in ground_truth["categories"]})
    unseen = images.difference(seen) if seen is not None else set()
    if not partial:
        refuse_unseen(unseen)
    truth = _complete(ground_truth, unseen)
    _warn_of_corners(found, truth)
    judged = judge(truth, _detections(found.canonical()), (1, 10, per_image))
    counts = {
        "images": len(truth["images"]),
        "annotations": len(truth["annotations"]),
        "detections": len(found.image),
        "cut": _beyond(found, per_image),
    }
    numbers = dict(zip(names(per_image), twelve(judged), strict=True))
    content = {**numbers, "per_class": _per_class(truth["categories"], judged), "counts": counts}
    return {**content, "counts": {**counts, "not_judged": len(unseen)}, "partial": True} if unseen else content


def names(per_image: int = PER_IMAGE) -> tuple[str, ...]:
    """The twelve, in pycocotools' order."""
    return tuple(f"AR{per_image}" if name == f"AR{PER_IMAGE}" else name for name in NUMBERS)


def refuse_unseen(images: Collection[int], source: str = "") -> None:
    """InputError naming the images that nobody judged."""
    problems = Problems()
    for image in sorted(images):
        problems.add(f"{source}image {image}: not judged; --partial leaves such images out [V06]")
    problems.refuse()


def _beyond(found: Columns, per_image: int) -> int:
    """How many detections stand behind the best of their image and class, which is where a judge stops [V09]."""
    pairs = np.stack([found.image, found.category], axis=1)
    counts = np.unique(pairs, axis=0, return_counts=True)[1] if len(pairs) else np.zeros(0, dtype=np.int64)
    return int((counts - per_image).clip(min=0).sum())


def _detections(found: Columns) -> list[dict]:
    rows = zip(*(column.tolist() for column in found), strict=True)
    return [
        {"id": i, "image_id": m, "category_id": k, "score": s, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}
        for i, (m, k, s, b) in enumerate(rows, start=1)
    ]


def _complete(truth: dict, without: Collection[int]) -> dict:
    """The ground truth without some images; annotations count from id 1 (to the judges 0 means "no match" [D21]) and
    have all fields."""
    kept = [a for a in truth["annotations"] if a["image_id"] not in without]
    annotations = [
        {
            "id": i,
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "bbox": list(a["bbox"]),
            "area": a.get("area", a["bbox"][2] * a["bbox"][3]),
            "iscrowd": int(a.get("iscrowd", 0)),
        }
        for i, a in enumerate(kept, start=1)
    ]
    images = [image for image in truth["images"] if image["id"] not in without]
    return {"images": images, "categories": truth["categories"], "annotations": annotations}


def _warn_of_corners(found: Columns, truth: dict) -> None:
    """Boxes written as x0 y0 x1 y1 are sound numbers and score badly; say so when the pictures' sizes give it away."""
    sides = {i["id"]: (i.get("width"), i.get("height")) for i in truth["images"]}
    size = {i: both for i, both in sides.items() if all(map(is_number, both))}
    rows = [r for r, image in enumerate(found.image.tolist()) if image in size]
    if not rows:
        return
    limit = np.array([size[i] for i in found.image[rows].tolist()], dtype=np.float64)
    limit += np.maximum(1, 0.01 * limit)
    first, last = found.box[rows, :2], found.box[rows, 2:]
    outside = (first + last > limit).any(axis=1).mean()
    outside_as_corners = ((last > limit) | (last <= first)).any(axis=1).mean()
    if outside > 0.05 and outside_as_corners < 0.01:
        _log.warning(
            "%.0f %% of the detections end outside their picture: the boxes look like x0 y0 x1 y1, "
            "COCO's are x y width height [V07]",
            100 * outside,
        )


def _per_class(categories: list[dict], judged: Judged) -> dict[str, dict[str, float | None]]:
    column = {i: k for k, i in enumerate(sorted(c["id"] for c in categories))}
    best = judged.precision[:, :, :, 0, -1]  # all areas, the most detections
    return {
        c["name"]: {"AP": defined(best[:, :, column[c["id"]]]), "AP50": defined(best[0, :, column[c["id"]]])}
        for c in categories
    }


# The text


def format_table(metrics: dict[str, Any]) -> str:
    """The numbers as aligned plain text, "-" and "undefined" where there is no ground truth; no line end at its end."""
    lines = [_line(name, metrics[name]) for name in metrics if name[:2] in ("AP", "AR")]
    titles = {name: printable(name) for name in metrics["per_class"]}
    width = max([len("class"), *map(len, titles.values())])
    lines += ["", "  ".join([f"{'class':<{width}}", *(f"{n:>5}" for n in PER_CLASS)])]
    for name, numbers in metrics["per_class"].items():
        note = [_UNDEFINED] if numbers["AP"] is None else []
        lines.append("  ".join([f"{titles[name]:<{width}}", *(f"{_cell(numbers[n]):>5}" for n in PER_CLASS), *note]))
    return "\n".join([*lines, "", _counted(metrics)])


def _line(name: str, value: float | None) -> str:
    words = _WORDS.get(name, f"{name[2:]} detections per image")
    return f"{name:<6}{_cell(value):>6}  {words}" + ("" if value is not None else f" ({_UNDEFINED})")


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _counted(metrics: dict[str, Any]) -> str:
    counts = metrics["counts"]
    limit = next(int(name[2:]) for name in reversed(metrics) if name[:2] == "AR" and name[2:].isdigit())
    cut = f" ({counts['cut']} beyond {limit} per image and class left out)" if counts["cut"] else ""
    partial = "; partial" if metrics.get("partial") else ""
    left = f", {counts['not_judged']} images not judged" if "not_judged" in counts else ""
    told = f"{counts['images']} images, {counts['annotations']} annotations, {counts['detections']} detections{cut}"
    return told + partial + left
