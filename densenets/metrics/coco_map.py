"""COCO's twelve numbers for boxes, and the predictions file.

pycocotools computes every number. This module guards what goes in, because pycocotools does not: it gives AP 1.0 to
boxes of NaN, 0.0 to category ids of the wrong table, and lets the order of the list decide between equal scores. So
each fault is refused by name, and what remains is judged in one fixed order. The codes in brackets ([V03]) are stable.

A result is COCO's: {"image_id": int, "category_id": int, "bbox": [x, y, width, height] in file px, "score": float}.
"""

import contextlib
import io
import itertools
import json
import logging
import os
import secrets
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from densenets.errors import DivergedError, InputError, printable

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
_FAR = 1e9  # px; no picture reaches it, and products of such numbers stay finite
_LARGEST_ID = 2**53
_MANY = 20  # faults looked for before giving up

Result = dict[str, Any]
_log = logging.getLogger(__name__)


# From a model to results


def to_results(
    boxes: Any, labels: Any, scores: Any, image_id: int, category_ids: Sequence[int] | np.ndarray
) -> list[Result]:
    """The detections of one image as COCO results.

    boxes: (K, 4) x0 y0 x1 y1, file px; labels, scores: (K,); tensors or arrays. Rows of score 0 (filling) and boxes
    without width or height in the file are left out. category_ids: (C,), the file's id of each label. A box or score
    that is not finite is a DivergedError: it would otherwise be judged as right.
    """
    box, label, score = _float64(boxes).reshape(-1, 4), _float64(labels).astype(np.int64), _float64(scores)
    if not len(box) == len(label) == len(score):
        raise ValueError(f"{len(box)} boxes, {len(label)} labels, {len(score)} scores")
    filled = score != 0  # true for NaN
    box, label, score = box[filled], label[filled], score[filled]
    if not (np.isfinite(box).all() and np.isfinite(score).all()):
        raise DivergedError(f"image {printable(image_id)}: the model gave a box or score that is not finite [V03]")
    if label.size and not (label.min() >= 0 and label.max() < len(category_ids)):
        raise ValueError(f"labels {label.min()}..{label.max()} for {len(category_ids)} classes")
    sized = np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], axis=1)
    return [
        {"image_id": int(image_id), "category_id": int(category_ids[k]), "bbox": b, "score": s}
        for b, k, s in zip(sized.tolist(), label.tolist(), score.tolist(), strict=True)
        if b[2] != 0 and b[3] != 0
    ]


def _float64(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor, of any device and precision
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


# What is refused


def _refuse(faults: Iterable[str], source: str = "") -> None:
    found = list(itertools.islice(faults, _MANY))
    if not found:
        return
    more = ["", f" (and {len(found) - 1} more)", f" (and at least {_MANY - 1} more)"]
    raise InputError(source + found[0] + more[(len(found) > 1) + (len(found) == _MANY)])


def _shown(value: object) -> str:
    try:
        text = printable(repr(value))
    except ValueError:  # an int of more digits than Python writes
        text = f"something of type {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def _is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _within(value: Any, limit: float) -> bool:
    """False for NaN, inf and an int too large for a float; numpy would bring `limit` to the value's own precision."""
    return -limit <= (value.item() if isinstance(value, np.generic) else value) <= limit


def _id_fault(item: dict, key: str, known: Collection[int] | None, code: str) -> str | None:
    if key not in item:
        return f"has no {key} [{code}]"
    value = item[key]
    if not _is_int(value) or abs(value) >= _LARGEST_ID:
        return f"{key} {_shown(value)} must be a whole number below 2^53 [{code}]"
    if known is not None and value not in known:
        return f"{key} {value} is not in the ground truth [{code}]"
    return None


def _box_fault(item: dict) -> str | None:
    box = item.get("bbox")
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(map(_is_number, box)):
        return f"bbox {_shown(box)} must be four numbers, x y width height [V08]"
    if not all(_within(v, _FAR) for v in box):
        return f"bbox {_shown(box)} is not finite, or outside any picture [V03]"
    width, height = box[2:]
    if width < 0 or height < 0:
        return f"bbox {_shown(box)} has a negative size [D08]"
    if width * height == 0 and width > 0 and height > 0:  # 0 / 0 in the IoU
        return f"bbox {_shown(box)} is too small for its area to be a number [V03]"
    return None


def _score_fault(item: dict) -> str | None:
    if "score" not in item:
        return "has no score [V08]"
    if not _is_number(item["score"]):
        return f"score {_shown(item['score'])} must be a number [V08]"
    if not _within(item["score"], sys.float_info.max):
        return f"score {_shown(item['score'])} is not finite [V03]"
    return None


def _result_faults(
    results: object, images: Collection[int] | None = None, categories: Collection[int] | None = None
) -> Iterator[str]:
    if not isinstance(results, list):
        yield f"must be a list of results, not {type(results).__name__} [V08]"
        return
    for i, result in enumerate(results):
        if not isinstance(result, dict):
            yield f"results[{i}]: {_shown(result)} must be an object [V08]"
            continue
        fault = (
            _id_fault(result, "image_id", images, "V04")
            or _id_fault(result, "category_id", categories, "V05")
            or _box_fault(result)
            or _score_fault(result)
        )
        if fault:
            yield f"results[{i}] (image {_shown(result.get('image_id'))}): {fault}"


def _twice(items: list[dict], key: str) -> Iterator[tuple[int, Any]]:
    seen: set = set()
    for i, item in enumerate(items):
        if item[key] in seen:
            yield i, item[key]
        seen.add(item[key])


def _truth_faults(truth: dict) -> Iterator[str]:
    for part in ("images", "categories", "annotations"):
        items = truth.get(part) if isinstance(truth, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            yield f"ground truth: {part} must be a list of objects"
            return
        faults = ((i, _id_fault(item, "id", None, "D37")) for i, item in enumerate(items))
        found = [f"ground truth: {part}[{i}]: {fault}" for i, fault in faults if fault]
        found = found or [f"ground truth: {part}[{i}]: id {v} stands twice [D20]" for i, v in _twice(items, "id")]
        yield from found
        if found:
            return
    if not all(isinstance(c.get("name"), str) for c in truth["categories"]):
        yield "ground truth: a category has no name"
        return
    for i, name in _twice(truth["categories"], "name"):
        yield f"ground truth: categories[{i}]: name {_shown(name)} stands twice [D18]"
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
        if not fault and not (_is_number(area) and area >= 0 and _within(area, _FAR * _FAR)):
            fault = f"area {_shown(area)} must be a number from 0 [D09]"
        if not fault and crowd not in (0, 1):
            fault = f"iscrowd {_shown(crowd)} must be 0 or 1 [D15]"
        if fault:
            yield f"ground truth: annotations[{i}] (id {item['id']}): {fault}"


# The judge


class Judged(NamedTuple):
    """What a judge gives; -1 where there is no ground truth.

    stats: (12,) in the order of NUMBERS. precision: (T, R, C, A, D) over IoU thresholds, recalls, categories by rising
    id, areas (all, small, medium, large) and numbers of detections (1, 10, 100).
    """

    stats: np.ndarray
    precision: np.ndarray


def _pycocotools(truth: dict, detections: list[dict]) -> Judged:
    """Both sound and complete: unique ids from 1, area, iscrowd. A faster judge has this signature."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it prints
        pair = COCO(), COCO()
        pair[0].dataset = truth
        pair[1].dataset = {**truth, "annotations": detections}  # as loadRes does, which fails where there are none
        for half in pair:
            half.createIndex()
        judge = COCOeval(*pair, iouType="bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return Judged(np.asarray(judge.stats), judge.eval["precision"])


# The evaluation


class _Table(NamedTuple):
    """Results as columns: (K,), (K,), (K,) and (K, 4) x y width height."""

    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    box: np.ndarray


def _table(results: list[Result]) -> _Table:
    return _Table(
        np.array([r["image_id"] for r in results], dtype=np.int64),
        np.array([r["category_id"] for r in results], dtype=np.int64),
        np.array([r["score"] for r in results], dtype=np.float64),
        np.array([r["bbox"] for r in results], dtype=np.float64).reshape(-1, 4),
    )


def _canonical(table: _Table) -> np.ndarray:
    """The rows in the order (image, category, falling score, box), whatever the order they came in."""
    box = [*table.box.T[::-1]]  # lexsort: the last key weighs most
    return np.lexsort([*box, -table.score, table.category, table.image])


def _beyond(table: _Table) -> int:
    """How many detections stand behind the 100 best of their image and class, which is where pycocotools stops."""
    pairs = np.stack([table.image, table.category], axis=1)
    counts = np.unique(pairs, axis=0, return_counts=True)[1] if len(pairs) else np.zeros(0, dtype=np.int64)
    return int((counts - PER_IMAGE).clip(min=0).sum())


def _detections(table: _Table, rows: np.ndarray) -> list[dict]:
    columns = zip(*(column[rows].tolist() for column in table), strict=True)
    return [
        {"id": i, "image_id": m, "category_id": k, "score": s, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}
        for i, (m, k, s, b) in enumerate(columns, start=1)
    ]


def _complete(truth: dict) -> dict:
    """The ground truth with annotations from id 1 (to pycocotools 0 means "no match") and missing fields filled in."""
    annotations = [
        {
            "id": i,
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "bbox": list(a["bbox"]),
            "area": a.get("area", a["bbox"][2] * a["bbox"][3]),
            "iscrowd": int(a.get("iscrowd", 0)),
        }
        for i, a in enumerate(truth["annotations"], start=1)
    ]
    return {"images": truth["images"], "categories": truth["categories"], "annotations": annotations}


def _warn_of_corners(table: _Table, truth: dict) -> None:
    """Boxes written as x0 y0 x1 y1 are sound numbers and score badly; say so when the pictures' sizes give it away."""
    sides = {i["id"]: (i.get("width"), i.get("height")) for i in truth["images"]}
    size = {i: both for i, both in sides.items() if all(map(_is_number, both))}
    rows = [r for r, image in enumerate(table.image.tolist()) if image in size]
    if not rows:
        return
    limit = np.array([size[i] for i in table.image[rows].tolist()], dtype=np.float64)
    limit += np.maximum(1, 0.01 * limit)
    first, last = table.box[rows, :2], table.box[rows, 2:]
    outside = (first + last > limit).any(axis=1).mean()
    outside_as_corners = ((last > limit) | (last <= first)).any(axis=1).mean()
    if outside > 0.05 and outside_as_corners < 0.01:
        _log.warning(
            "%.0f %% of the detections end outside their picture: the boxes look like x0 y0 x1 y1, "
            "COCO's are x y width height [V07]",
            100 * outside,
        )


def _defined(values: np.ndarray) -> float | None:
    values = values[values > -1]
    return float(values.mean()) if values.size else None


def _per_class(categories: list[dict], precision: np.ndarray) -> dict[str, dict[str, float | None]]:
    column = {i: k for k, i in enumerate(sorted(c["id"] for c in categories))}
    best = precision[:, :, :, 0, -1]  # all areas, 100 detections
    return {
        c["name"]: {"AP": _defined(best[:, :, column[c["id"]]]), "AP50": _defined(best[0, :, column[c["id"]]])}
        for c in categories
    }


def evaluate(ground_truth: dict, results: list[Result], *, seen: Collection[int] | None = None) -> dict[str, Any]:
    """COCO's numbers: NUMBERS, "per_class" {name: {"AP", "AP50"}} in the order of the categories, and "counts".

    A number that has no ground truth is None. Any order of the results gives the same bits. Of each image the best 100
    detections of every class count, as pycocotools has it.
    counts: images, annotations, detections as given, and cut = those beyond the 100.
    ground_truth: images, annotations and categories in COCO's form; neither argument is changed.
    seen: the ids of the images that the model was given, where the caller knows them; one that is missing is an error.
    """
    _refuse(_truth_faults(ground_truth))
    images, categories = {i["id"] for i in ground_truth["images"]}, {c["id"] for c in ground_truth["categories"]}
    _refuse(_result_faults(results, images, categories))
    unseen = sorted(images.difference(seen)) if seen is not None else []
    _refuse(f"image {i}: the model was not given it [V06]" for i in unseen)
    table, truth = _table(results), _complete(ground_truth)
    _warn_of_corners(table, truth)
    rows = _canonical(table)
    judged = _pycocotools(truth, _detections(table, rows))
    counts = {
        "images": len(images),
        "annotations": len(truth["annotations"]),
        "detections": len(results),
        "cut": _beyond(table),
    }
    numbers = {name: _defined(judged.stats[i : i + 1]) for i, name in enumerate(NUMBERS)}
    return {**numbers, "per_class": _per_class(truth["categories"], judged.precision), "counts": counts}


# The predictions file


def _plain(result: Result) -> Result:
    return {
        "image_id": int(result["image_id"]),
        "category_id": int(result["category_id"]),
        "bbox": [float(v) for v in result["bbox"]],
        "score": float(result["score"]),
    }


def write_predictions(path: str | Path, results: list[Result]) -> None:
    """One result a line, every digit kept; the file is either the old one or the whole new one."""
    path = Path(path)
    name = f"{printable(path)}: "
    _refuse(_result_faults(results), name)
    text = "[\n" + ",\n".join(json.dumps(_plain(r), allow_nan=False) for r in results) + "\n]\n"
    scratch = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with scratch.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        raise InputError(f"{name}cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()


def read_predictions(path: str | Path) -> list[Result]:
    """The results of a COCO predictions file, each with its four fields only."""
    name = f"{printable(path)}: "
    try:
        text = Path(path).read_text(encoding="utf-8")
        results = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicate)
    except OSError as error:
        raise InputError(f"{name}cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}no valid JSON: {printable(error)}") from error
    _refuse(_result_faults(results), name)
    return [_plain(result) for result in results]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number [V03]")


def _no_duplicate(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"a key stands twice in {_shown([key for key, _ in pairs])}")
    return found


# The text


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def format_table(metrics: dict[str, Any]) -> str:
    """The numbers as aligned plain text, "-" where there is no ground truth; ends without a line end."""
    lines = [f"{name:<6}{_cell(metrics[name]):>6}  {_WORDS[name]}" for name in NUMBERS]
    names = {name: printable(name) for name in metrics["per_class"]}
    width = max([len("class"), *map(len, names.values())])
    lines += ["", "  ".join([f"{'class':<{width}}", *(f"{n:>5}" for n in PER_CLASS)])]
    for name, numbers in metrics["per_class"].items():
        lines.append("  ".join([f"{names[name]:<{width}}", *(f"{_cell(numbers[n]):>5}" for n in PER_CLASS)]))
    counts = metrics["counts"]
    cut = f" ({counts['cut']} beyond {PER_IMAGE} per image and class left out)" if counts["cut"] else ""
    told = f"{counts['images']} images, {counts['annotations']} annotations, {counts['detections']} detections{cut}"
    return "\n".join([*lines, "", told])
