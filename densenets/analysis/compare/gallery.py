"""The pictures of a report: the truth and each model's prediction over the same images, as JPEG files."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from densenets import draw
from densenets.analysis.compare.scoring import predictions_of
from densenets.data.dataset import DetectionSplit
from densenets.run.evaluation import RESULTS, read_results
from densenets.run.model import load
from densenets.run.prediction import segment
from densenets.storage import write_durably

LONGEST = 640  # px of a side
QUALITY = 85
THRESHOLD = 0.3  # of scores, as in the sheet of a run


def choose(split: Any, count: int) -> list[int]:
    """The indices of images that are shown: of detection the fullest of each equal part of the split."""
    parts = [part for part in np.array_split(np.arange(len(split)), max(1, min(count, len(split)))) if count]
    if isinstance(split, DetectionSplit):
        counts = np.diff(split.first)
        return [int(part[counts[part].argmax()]) for part in parts]
    return [int(part[0]) for part in parts]


def draw_truth(split: Any, rows: Sequence[int], out: Path, place: str) -> list[str]:
    """The names of the files below `out`."""
    found = []
    for row in rows:
        image = split.picture(row)
        if isinstance(split, DetectionSplit):
            boxes, labels, crowd = split.target(row)
            drawn = draw.draw_boxes(image, boxes[~crowd], labels[~crowd], None, split.classes, ignore=boxes[crowd])
        else:
            drawn = draw.draw_classes(image, split.truth(row).ids.numpy(), split.palette)
        found.append(_write(drawn, out, f"{place}-{row}.jpg"))
    return found


def draw_cell(
    task: str, split: Any, rows: Sequence[int], out: Path, place: str, results: Path, checkpoint: Path
) -> list[str]:
    """Likewise of what one cell sees. results: the folder with its results.json."""
    look = _boxes(split, results) if task == "detection" else _classes(split, results, checkpoint)
    return [_write(look(row), out, f"{place}-{row}.jpg") for row in rows]


def _boxes(split: DetectionSplit, results: Path) -> Any:
    found = predictions_of(results, split)
    label_of = {int(category): label for label, category in enumerate(split.category_ids)}

    def look(row: int) -> np.ndarray:
        here = found.take((found.image == split.image_ids[row]) & (found.score >= THRESHOLD))
        corners = np.concatenate([here.box[:, :2], here.box[:, :2] + here.box[:, 2:]], axis=1)
        labels = np.array([label_of[category] for category in here.category.tolist()], dtype=np.int64)
        return draw.draw_boxes(split.picture(row), corners, labels, here.score, split.classes)

    return look


def _classes(split: Any, results: Path, checkpoint: Path) -> Any:
    model, _ = load(str(checkpoint))
    size = read_results(results / RESULTS).get("size")

    def look(row: int) -> np.ndarray:
        image = split.picture(row)
        seen = None if size is None else (int(size[0]), int(size[1]))
        ids = segment(model, image, torch.device("cpu"), split.files[row], seen)
        return draw.draw_classes(image, ids, split.palette)

    return look


def _write(drawn: np.ndarray, out: Path, name: str) -> str:
    picture = Image.fromarray(drawn)
    picture.thumbnail((LONGEST, LONGEST))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    write_durably(out / name, lambda handle: handle.write(file.getvalue()))
    return name
