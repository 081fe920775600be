"""What is refused before anything is judged, since the judges themselves refuse nothing.

pycocotools gives AP 1.0 to boxes of NaN and 0.0 to category ids of the wrong table, without a word. The codes in
brackets ([V03]) are stable.
"""

import sys
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from densenets.errors import Problems, printable

FAR = 1e9  # px; no picture reaches it, and products of such numbers stay finite
LARGEST_ID = 2**53


def check_results(
    results: object,
    images: Collection[int] | None = None,
    categories: Collection[int] | None = None,
    source: str = "",
) -> None:
    """InputError with a line for each result that cannot be judged, in the order of the list.

    images, categories: the ids that the ground truth knows; None: any. source: "FILE: " or nothing.
    """
    problems = Problems()
    for fault in _result_faults(results, images, categories):
        problems.add(source + fault)
    problems.refuse()


def check_truth(truth: dict) -> None:
    """InputError with a line for each part of a ground truth in COCO's form that cannot be judged by."""
    problems = Problems()
    for fault in _truth_faults(truth):
        problems.add(f"ground truth: {fault}")
    problems.refuse()


def is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def shown(value: object) -> str:
    """A value on one line and not too long."""
    try:
        text = printable(repr(value))
    except ValueError:  # an int of more digits than Python writes
        text = f"something of type {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


# Results


def _result_faults(
    results: object, images: Collection[int] | None, categories: Collection[int] | None
) -> Iterator[str]:
    if not isinstance(results, list):
        yield f"must be a list of results, not {type(results).__name__} [V08]"
        return
    for i, result in enumerate(results):
        if not isinstance(result, dict):
            yield f"results[{i}]: {shown(result)} must be an object [V08]"
            continue
        fault = (
            _id_fault(result, "image_id", images, "V04")
            or _id_fault(result, "category_id", categories, "V05")
            or _box_fault(result)
            or _score_fault(result)
        )
        if fault:
            yield f"results[{i}] (image {shown(result.get('image_id'))}): {fault}"


def _id_fault(item: dict, key: str, known: Collection[int] | None, code: str) -> str | None:
    if key not in item:
        return f"has no {key} [{code}]"
    value = item[key]
    if not _is_int(value) or abs(value) >= LARGEST_ID:
        return f"{key} {shown(value)} must be a whole number below 2^53 [{code}]"
    if known is not None and value not in known:
        return f"{key} {value} is not in the ground truth [{code}]"
    return None


def _box_fault(item: dict) -> str | None:
    box = item.get("bbox")
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(map(is_number, box)):
        return f"bbox {shown(box)} must be four numbers, x y width height [V08]"
    if not all(_within(v, FAR) for v in box):
        return f"bbox {shown(box)} is not finite, or outside any picture [V03]"
    width, height = box[2:]
    if width < 0 or height < 0:
        return f"bbox {shown(box)} has a negative size [D08]"
    if width * height == 0 and width > 0 and height > 0:  # 0 / 0 in the IoU
        return f"bbox {shown(box)} is too small for its area to be a number [V03]"
    return None


def _score_fault(item: dict) -> str | None:
    if "score" not in item:
        return "has no score [V08]"
    if not is_number(item["score"]):
        return f"score {shown(item['score'])} must be a number [V08]"
    if not _within(item["score"], sys.float_info.max):
        return f"score {shown(item['score'])} is not finite [V03]"
    return None


def _is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _within(value: Any, limit: float) -> bool:
    """False for NaN, inf and an int too large for a float; numpy would bring `limit` to the value's own precision."""
    return -limit <= (value.item() if isinstance(value, np.generic) else value) <= limit


# The ground truth


def _truth_faults(truth: dict) -> Iterator[str]:
    for part in ("images", "categories", "annotations"):
        items = truth.get(part) if isinstance(truth, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            yield f"{part} must be a list of objects"
            return
        faults = ((i, _id_fault(item, "id", None, "D37")) for i, item in enumerate(items))
        found = [f"{part}[{i}]: {fault}" for i, fault in faults if fault]
        found = found or [f"{part}[{i}]: id {v} stands twice [D20]" for i, v in _twice(items, "id")]
        yield from found
        if found:
            return
    if not all(isinstance(c.get("name"), str) for c in truth["categories"]):
        yield "a category has no name"
        return
    for i, name in _twice(truth["categories"], "name"):
        yield f"categories[{i}]: name {shown(name)} stands twice [D18]"
    yield from _annotation_faults(truth)


def _annotation_faults(truth: dict) -> Iterator[str]:
    images, categories = {i["id"] for i in truth["images"]}, {c["id"] for c in truth["categories"]}
    for i, item in enumerate(truth["annotations"]):
        fault = (
            _id_fault(item, "image_id", images, "D22")
            or _id_fault(item, "category_id", categories, "D22")
            or _box_fault(item)
        )
        area, crowd = item.get("area", 0), item.get("iscrowd", 0)
        if not fault and not (is_number(area) and area >= 0 and _within(area, FAR * FAR)):
            fault = f"area {shown(area)} must be a number from 0 [D09]"
        if not fault and crowd not in (0, 1):
            fault = f"iscrowd {shown(crowd)} must be 0 or 1 [D15]"
        if fault:
            yield f"annotations[{i}] (id {item['id']}): {fault}"


def _twice(items: list[dict], key: str) -> Iterator[tuple[int, Any]]:
    seen: set = set()
    for i, item in enumerate(items):
        if item[key] in seen:
            yield i, item[key]
        seen.add(item[key])
