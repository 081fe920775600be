"""What each image of a split adds to the IoUs, in a file of a line for each image.

A line is {"image_id": int, "file": str, "true_positive": [...], "false_positive": [...], "false_negative": [...]}, px
of each class in the order of results.json. Their sums give that file's IoUs to the bit.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from densenets.errors import InputError, Problems, printable
from densenets.files import check_file
from densenets.metrics.predictions import parse
from densenets.metrics.soundness import LARGEST_ID
from densenets.storage import write_durably

IMAGE_COUNTS = "images.jsonl"
KINDS = ("true_positive", "false_positive", "false_negative")


class ImageCounts(NamedTuple):
    """N images by rising id. images: (N,) int64 ids. files: N names. pixels: (N, 3, C) int64 px, `KINDS` by class."""

    images: np.ndarray
    files: list[str]
    pixels: np.ndarray


def pixels_of(matrix: np.ndarray) -> np.ndarray:
    """(3, C) int64 px, `KINDS` by class. matrix: (C, K) of one image by true class and prediction."""
    right = matrix.diagonal()
    return np.stack([right, matrix[:, : len(matrix)].sum(axis=0) - right, matrix.sum(axis=1) - right])


def rows_of(images: Sequence[int], each: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """A line's content, but for the file, of each image by rising id."""
    pairs = sorted(zip(images, each, strict=True), key=lambda pair: pair[0])
    return [{"image_id": image, **dict(zip(KINDS, pixels.tolist(), strict=True))} for image, pixels in pairs]


def write_image_counts(
    path: Path, rows: Sequence[dict[str, Any]], images: Sequence[int] | np.ndarray, files: Sequence[str] | np.ndarray
) -> None:
    """rows: as of `rows_of`; images, files: ids and paths of the split, told from the folder that holds all of them on.

    Raises StorageError; the file is either the old one or the whole new one.
    """
    paths = [str(file) for file in files]
    root = os.path.commonpath([os.path.dirname(file) for file in paths]) if paths else ""  # noqa: PTH120 - kept as text
    name = {int(image): os.path.relpath(file, root or ".") for image, file in zip(images, paths, strict=True)}
    lines = [json.dumps({"image_id": row["image_id"], "file": name[row["image_id"]], **row}) + "\n" for row in rows]
    write_durably(path, lambda handle: handle.write("".join(lines).encode()))


def read_image_counts(path: str | Path) -> ImageCounts:
    """The file of a result; of all lines in any order. Raises InputError, a line for each problem."""
    shown, problems = printable(path), Problems()
    known: dict[int, tuple[str, Any]] = {}
    shape: tuple[int, int] | None = None
    for number, line in enumerate(_lines(Path(path)), start=1):
        found = _row(line)
        if found is None:
            problems.add(f"{shown}: line {number}: no image with its px [V08]")
            continue
        image, file, pixels = found
        shape = shape or pixels.shape
        if pixels.shape != shape:
            problems.add(f"{shown}: line {number}: {pixels.shape[1]} classes, those before have {shape[1]} [V08]")
        elif image in known:
            problems.add(f"{shown}: line {number}: image {image} stands twice [V14]")
        known.setdefault(image, (file, pixels))
    problems.refuse()
    images = sorted(known)
    pixels = np.stack([known[image][1] for image in images]) if images else np.zeros((0, len(KINDS), 0), np.int64)
    return ImageCounts(np.array(images, dtype=np.int64), [known[image][0] for image in images], pixels)


def _lines(path: Path) -> Sequence[object]:
    """What each line holds; None: no JSON."""
    check_file(path)
    try:
        lines = path.read_bytes().splitlines()
    except OSError as fault:
        raise InputError(f"{printable(path)}: cannot be read: {fault.strerror}") from fault
    return [_parsed(line) for line in lines]


def _parsed(line: bytes) -> object:
    try:
        return parse(line)
    except (ValueError, RecursionError):
        return None


def _row(line: object) -> tuple[int, str, np.ndarray] | None:
    if not isinstance(line, dict):
        return None
    image, file = line.get("image_id"), line.get("file")
    lists = [value for kind in KINDS if isinstance(value := line.get(kind), list)]
    if type(image) is not int or abs(image) >= LARGEST_ID or not isinstance(file, str):
        return None
    if len(lists) < len(KINDS) or len({len(one) for one in lists}) > 1:
        return None
    if not all(type(value) is int and 0 <= value < LARGEST_ID for one in lists for value in one):
        return None
    return image, file, np.array(lists, dtype=np.int64)
