"""Predictions: from a model to columns, to COCO's file and back, without losing a bit.

A result is COCO's: {"image_id": int, "category_id": int, "bbox": [x, y, width, height] in file px, "score": float}.
"""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from densenets.errors import DivergedError, InputError, printable
from densenets.files import check_file
from densenets.metrics.soundness import FAR, check_results, shown
from densenets.storage import write_durably

Result = dict[str, Any]
CHUNK = 10_000  # results turned into text at a time


class Columns(NamedTuple):
    """K detections: 56 bytes each, a tenth of what they take as results."""

    image: np.ndarray  # (K,) int64 ids
    category: np.ndarray  # (K,) int64 ids
    score: np.ndarray  # (K,) float64
    box: np.ndarray  # (K, 4) float64 x y width height, file px

    def take(self, rows: np.ndarray | slice) -> "Columns":
        return Columns(*(column[rows] for column in self))

    def canonical(self) -> "Columns":
        """In the order (image, category, falling score, box), whatever the order they came in [V11]."""
        box = [*self.box.T[::-1]]  # lexsort: the last key weighs most
        return self.take(np.lexsort([*box, -self.score, self.category, self.image]))


class Predictions(NamedTuple):
    """What was judged so far. images: (N,) their ids, those without a detection too."""

    images: np.ndarray
    found: Columns


def joined(parts: Sequence[Columns]) -> Columns:
    """All rows, in the order of the parts."""
    return Columns(*(np.concatenate(column) for column in zip(*([NONE, *parts]), strict=True)))


def columns_of(results: Sequence[Result]) -> Columns:
    """Sound results as columns, in their order."""
    return Columns(
        np.array([r["image_id"] for r in results], dtype=np.int64),
        np.array([r["category_id"] for r in results], dtype=np.int64),
        np.array([r["score"] for r in results], dtype=np.float64),
        np.array([r["bbox"] for r in results], dtype=np.float64).reshape(-1, 4),
    )


def results_of(columns: Columns) -> list[Result]:
    """Plain types, in the order of the rows."""
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [{"image_id": i, "category_id": k, "bbox": b, "score": s} for i, k, s, b in rows]


def plain(columns: Columns) -> dict[str, list]:
    """The columns of one image as the content of a line, see `parts`."""
    named = {"category_id": columns.category, "bbox": columns.box, "score": columns.score}
    return {name: column.tolist() for name, column in named.items()}


NONE = columns_of([])


# From a model


def from_model(
    boxes: Any, labels: Any, scores: Any, image_id: int, category_ids: Sequence[int] | np.ndarray
) -> Columns:
    """The detections of one image.

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
    whole = (sized[:, 2:] != 0).all(axis=1)
    image = np.full(len(score), image_id, dtype=np.int64)
    return Columns(image, np.asarray(category_ids, dtype=np.int64)[label], score, sized).take(whole)


def _float64(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor, of any device and precision
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def check_columns(columns: Columns, images: Collection[int], categories: Collection[int], source: str = "") -> None:
    """As `check_results`, fast where nothing is wrong."""
    width, height = columns.box[:, 2], columns.box[:, 3]
    sound = (
        np.isin(columns.image, [*images]).all()
        and np.isin(columns.category, [*categories]).all()
        and np.isfinite(columns.score).all()
        and (np.abs(columns.box) <= FAR).all()
        and (columns.box[:, 2:] >= 0).all()
        and ((width * height > 0) | (width == 0) | (height == 0)).all()
    )
    if not sound:
        check_results(results_of(columns), images, categories, source)


# The file


def write_predictions(path: str | Path, found: Columns) -> None:
    """COCO's list, one result a line, every digit kept; the file is either the old one or the whole new one.

    Raises StorageError.
    """
    write_durably(Path(path), lambda handle: _write_lines(handle, found))


def _write_lines(handle: IO[bytes], found: Columns) -> None:
    handle.write(b"[\n")
    for first in range(0, len(found.image), CHUNK):
        lines = [json.dumps(r, allow_nan=False) for r in results_of(found.take(slice(first, first + CHUNK)))]
        handle.write(((",\n" if first else "") + ",\n".join(lines)).encode())
    handle.write(b"\n]\n")


def read_predictions(
    path: str | Path, images: Collection[int] | None = None, categories: Collection[int] | None = None
) -> Columns:
    """The results of a COCO predictions file, in its order.

    images, categories: the ids that the ground truth knows; None: any. Raises InputError, a line for each bad result.
    """
    results = read_json(Path(path))
    check_results(results, images, categories, f"{printable(path)}: ")
    return columns_of(results)


def read_json(path: Path) -> Any:
    """Strict JSON: neither NaN nor a key that stands twice. Raises InputError."""
    check_file(path)
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{printable(path)}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{printable(path)}: no valid JSON: {printable(error)}") from error


def parse(text: str | bytes) -> Any:
    return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicate)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number [V03]")


def _no_duplicate(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"a key stands twice in {shown([key for key, _ in pairs])}")
    return found
