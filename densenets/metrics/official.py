"""The judges: programs that compute COCO's numbers. pycocotools is the reference; another has to give the same bits."""

import contextlib
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from densenets.errors import InputError


class Judged(NamedTuple):
    """Over T IoU thresholds, R recalls, C categories by rising id, A areas and D numbers of detections.

    precision: (T, R, C, A, D) and recall: (T, C, A, D), -1 where there is no ground truth.
    """

    precision: np.ndarray
    recall: np.ndarray


Judge = Callable[[dict, list[dict], tuple[int, ...]], Judged]


def by_pycocotools(truth: dict, detections: list[dict], limits: tuple[int, ...]) -> Judged:
    """truth and detections: sound and complete, with unique ids from 1, area and iscrowd. limits: see `twelve`."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it prints [V13]
        judge = COCOeval(*_pair(COCO, truth, detections), iouType="bbox")
        judge.params.maxDets = [*limits]
        judge.evaluate()
        judge.accumulate()
    return Judged(judge.eval["precision"], judge.eval["recall"])


def by_faster_coco_eval(truth: dict, detections: list[dict], limits: tuple[int, ...]) -> Judged:
    """The same in C++.

    One difference is undone here: pycocotools divides by a sum that is larger by the smallest step above 1, which
    makes the precision of a single detection that is right 1 - 2^-52 and changes no other. Whether a precision of 1 is
    that of one detection or of more shows beyond the recall of one object, so the recalls asked for include one
    between those of one and of two objects, for each number of objects.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    judge = COCOeval_faster(*_pair(COCO, truth, detections), iouType="bbox", print_function=lambda *_: None)
    asked = judge.params.recThrs
    count = _objects(truth, np.array(judge.params.areaRng))  # (C, A)
    recalls = np.union1d(asked, 1.5 / count[count > 1])
    judge.params.recThrs, judge.params.maxDets = recalls, [*limits]
    judge.evaluate()
    judge.accumulate()
    precision = np.array(judge.eval["precision"])
    full = precision == 1
    beyond_one = recalls[:, None, None] > 1 / np.maximum(count, 1)
    of_one = full & ~(full & beyond_one[None, ..., None]).any(axis=1, keepdims=True)
    precision[of_one] = 1 / (1 + np.spacing(1))
    return Judged(np.ascontiguousarray(precision[:, np.isin(recalls, asked)]), np.array(judge.eval["recall"]))


def _pair(kind: Any, truth: dict, detections: list[dict]) -> tuple[Any, Any]:
    """Both sides indexed; loadRes, which fails where there are no detections [V01], does no more."""
    pair = kind(), kind()
    pair[0].dataset, pair[1].dataset = truth, {**truth, "annotations": detections}
    for half in pair:
        half.createIndex()
    return pair


def _objects(truth: dict, ranges: np.ndarray) -> np.ndarray:
    """(C, A) how many objects of a category count in a range of areas; crowds do not."""
    objects = [(a["category_id"], a["area"]) for a in truth["annotations"] if not a["iscrowd"]]
    category, area = np.array(objects, dtype=np.float64).reshape(-1, 2).T
    ids = np.array(sorted(c["id"] for c in truth["categories"]), dtype=np.float64)
    inside = (area >= ranges[:, :1]) & (area <= ranges[:, 1:])  # (A, M)
    return ((category == ids[:, None]).astype(np.int64)) @ inside.T.astype(np.int64)


JUDGES: dict[str, Judge] = {"pycocotools": by_pycocotools, "faster": by_faster_coco_eval}


def find_judge(name: str) -> Judge:
    """A judge that is installed. Raises InputError."""
    if name == "faster":
        try:
            import faster_coco_eval  # noqa: F401
        except ImportError as fault:
            raise InputError("--judge faster: not installed; pip install 'densenets[fast]' brings it") from fault
    return JUDGES[name]


def twelve(judged: Judged) -> list[float | None]:
    """AP, AP50, AP75, AP of small, medium and large; AR at each of three numbers of detections, AR of the three areas.

    The means that pycocotools takes, at the largest number of detections whatever it is (pycocotools itself looks for
    100 and gives -1 where there is none [V10]). None where there is no ground truth [V02].
    """
    precision, recall = judged
    return [
        defined(precision[:, :, :, 0, -1]),
        defined(precision[0, :, :, 0, -1]),
        defined(precision[5, :, :, 0, -1]),
        *(defined(precision[:, :, :, area, -1]) for area in (1, 2, 3)),
        *(defined(recall[:, :, 0, limit]) for limit in (0, 1, 2)),
        *(defined(recall[:, :, area, -1]) for area in (1, 2, 3)),
    ]


def defined(values: np.ndarray) -> float | None:
    """The mean of what has ground truth."""
    values = values[values > -1]
    return float(values.mean()) if values.size else None
