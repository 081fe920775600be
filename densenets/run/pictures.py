"""The sheet of validation images: truth and prediction side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from densenets import draw
from densenets.data.dataset import DetectionSplit
from densenets.metrics.coco_map import Result

IMAGES = 8
THRESHOLD = 0.3


def write_sheet(split: DetectionSplit, results: Sequence[Result], path: Path) -> None:
    """A spread of the split's images, those with the most objects in each part of it."""
    label_of = {int(category): label for label, category in enumerate(split.category_ids)}
    rows = _spread(np.diff(split.first))
    wanted = {int(split.image_ids[row]) for row in rows}
    found: dict[int, list[Result]] = {image_id: [] for image_id in wanted}
    for result in results:
        if result["image_id"] in wanted and result["score"] >= THRESHOLD:
            found[result["image_id"]].append(result)
    pairs = [_pair(split, row, found[int(split.image_ids[row])], label_of) for row in rows]
    draw.sheet(pairs, path, [Path(str(split.files[row])).name for row in rows])


def _spread(counts: np.ndarray) -> list[int]:
    """The index of the fullest image in each of up to IMAGES equal parts."""
    parts = np.array_split(np.arange(len(counts)), min(IMAGES, len(counts)))
    return [int(part[counts[part].argmax()]) for part in parts]


def _pair(
    split: DetectionSplit, row: int, found: list[Result], label_of: dict[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    image = split.picture(row)
    boxes, labels, crowd = split.target(row)
    truth = draw.draw_boxes(image, boxes[~crowd], labels[~crowd], None, split.classes, ignore=boxes[crowd])
    xywh = torch.tensor([result["bbox"] for result in found]).reshape(-1, 4)
    corners = torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], dim=1).numpy()
    names = np.array([label_of[result["category_id"]] for result in found], dtype=np.int64)
    scores = np.array([result["score"] for result in found])
    return truth, draw.draw_boxes(image, corners, names, scores, split.classes)
