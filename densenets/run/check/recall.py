"""How well the default boxes of a detector suit the boxes of a split: whether the canvas can see them at all."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from densenets import boxes as box
from densenets.data.checks.annotations import Sound
from densenets.data.checks.findings import Findings
from densenets.data.checks.statistics import COCO_SIZES, SIDES, canvas_boxes

SAMPLE = 20_000  # boxes of a split that are looked at
ENOUGH = 50  # of them for a share of them to tell anything
FEW = 0.25  # of the boxes, met at an IoU of 0.5: of COCO's, the published sizes at 320 px meet 36 to 48%
CHUNK = 256  # boxes at a time: (CHUNK, A) overlaps are in memory


class Meant(NamedTuple):
    """Of the detector that is to be trained: its default boxes or anchors (A, 4) in canvas px, the IoU from which one
    learns an object, whether pictures keep their ratio on its canvas; what they are called, and the flag that gives
    them their sizes."""

    defaults: Tensor
    threshold: float
    keep_ratio: bool
    named: str
    sized_by: str


def default_box_recall(sound: Sound, canvas: tuple[int, int], meant: Meant) -> dict[str, Any]:
    """Share of boxes whose best default box reaches the threshold, and the mean of that best IoU.

    Crowds do not count. Of more than SAMPLE boxes, that many in equal steps. sides: by the square root of the area on
    the canvas; coco_sizes: by the area in the file.
    """
    rows = np.flatnonzero(~sound.crowd)
    if len(rows) > SAMPLE:
        rows = rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64)]
    defaults, threshold, keep_ratio = meant[:3]
    on_canvas = canvas_boxes(sound, canvas, keep_ratio)[rows]
    best = best_overlaps(torch.from_numpy(on_canvas).float(), defaults).numpy()
    sides = np.sqrt((on_canvas[:, 2:] - on_canvas[:, :2]).prod(axis=1))
    areas = (sound.boxes[rows][:, 2:] - sound.boxes[rows][:, :2]).prod(axis=1)
    spans = [*pairwise(SIDES)]
    return {
        "threshold": threshold,
        "boxes_looked_at": len(rows),
        "met_at_half": float((best >= 0.5).mean()) if len(rows) else None,
        "all": _row(best, threshold),
        "classes": [
            {"name": name, **_row(best[sound.labels[rows] == label], threshold)}
            for label, name in enumerate(sound.classes)
        ],
        "sides_canvas_px": _rows(best, sides, spans, threshold),
        "coco_sizes": dict(zip(COCO_SIZES, _rows(best, areas, [*COCO_SIZES.values()], threshold), strict=True)),
    }


def warn_of_few(recall: dict[str, Any], meant: Meant, source: str, findings: Findings) -> None:
    """Of sizes that do not suit the set."""
    met = recall["met_at_half"]
    if recall["boxes_looked_at"] >= ENOUGH and met < FEW:
        flag = meant.sized_by.partition(" ")[0]
        words = f"only {met:.1%} of the boxes are met by {meant.named} at IoU >= 0.50: {flag} or --size may suit better"
        findings.warn("unmet", (source, ""), words)


def best_overlaps(boxes: Tensor, defaults: Tensor) -> Tensor:
    """(M,) the IoU of each of (M, 4) boxes with its best default box."""
    parts = [box.iou(part, defaults).amax(dim=1) for part in boxes.split(CHUNK)]
    return torch.cat(parts) if parts else torch.zeros(0)


def _rows(
    best: np.ndarray, values: np.ndarray, spans: Sequence[tuple[float, float]], threshold: float
) -> list[dict[str, Any]]:
    return [
        {
            "from": low,
            "to": None if high == np.inf else high,
            **_row(best[(values >= low) & (values < high)], threshold),
        }
        for low, high in spans
    ]


def _row(best: np.ndarray, threshold: float) -> dict[str, Any]:
    if not len(best):
        return {"boxes": 0, "recall": None, "mean_iou": None}
    return {"boxes": len(best), "recall": float((best >= threshold).mean()), "mean_iou": float(best.mean())}
