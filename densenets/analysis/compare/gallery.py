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
from densenets.run.pictures import THRESHOLD, found_over, truth_over
from densenets.run.prediction import segment
from densenets.storage import write_durably

LONGEST = 640  # px of a side
QUALITY = 85


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
            drawn = truth_over(image, split, row)
        else:
            drawn = draw.draw_classes(image, split.truth(row).ids.numpy(), split.palette)
        found.append(_write(drawn, out, f"{place}-{row}.jpg"))
    return found


def draw_cell(
    task: str, split: Any, rows: Sequence[int], out: Path, place: str, results: Path, checkpoint: Path
) -> list[list[Any]]:
    """Likewise of what one cell sees, each with whether it is without any box. results: the folder with its
    results.json."""
    look = _boxes(split, results) if task == "detection" else _classes(split, results, checkpoint)
    drawn = ((row, *look(row)) for row in rows)
    return [[_write(picture, out, f"{place}-{row}.jpg"), empty] for row, picture, empty in drawn]


def _boxes(split: DetectionSplit, results: Path) -> Any:
    found = predictions_of(results, split)

    def look(row: int) -> tuple[np.ndarray, bool]:
        empty = not ((found.image == split.image_ids[row]) & (found.score >= THRESHOLD)).any()
        return found_over(split.picture(row), split, row, found), bool(empty)

    return look


def _classes(split: Any, results: Path, checkpoint: Path) -> Any:
    model, _ = load(str(checkpoint))
    size = read_results(results / RESULTS).get("size")

    def look(row: int) -> tuple[np.ndarray, bool]:
        image = split.picture(row)
        seen = None if size is None else (int(size[0]), int(size[1]))
        ids = segment(model, image, torch.device("cpu"), split.files[row], seen)
        return draw.draw_classes(image, ids, split.palette), False

    return look


def key_of(task: str, split: Any) -> dict[str, Any]:
    """What the pictures follow, as the words of a Comparison have it."""
    if task == "detection":
        return {"boxes_from": THRESHOLD}
    return {"colours": [f"#{bytes(colour).hex()}" for colour in split.palette.astype(np.uint8)]}


def _write(drawn: np.ndarray, out: Path, name: str) -> str:
    picture = Image.fromarray(drawn)
    picture.thumbnail((LONGEST, LONGEST))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    write_durably(out / name, lambda handle: handle.write(file.getvalue()))
    return name
