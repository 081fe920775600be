"""What is judged on its way to disk: a file for each process, a line for each image, there as soon as it is judged.

A part starts with a line {"evaluation": {...}} that says what is judged by what. Each line behind it is one image,
{"image_id": int, ...}: of a detector {"category_id": [...], "bbox": [[x, y, width, height], ...], "score": [...]}, of
a segmenter what `segmentation_iou.plain` says. After a crash all whole lines count; one that broke off is dropped.
"""

import json
import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np

from densenets.errors import InputError, Problems, StorageError, printable
from densenets.files import check_file
from densenets.metrics.predictions import Columns, Predictions, joined, parse
from densenets.metrics.soundness import LARGEST_ID

Content = TypeVar("Content")

_log = logging.getLogger(__name__)


def part_file(folder: Path, rank: int) -> Path:
    return folder / f"predictions.part{rank}.jsonl"


def part_files(folder: Path) -> list[Path]:
    """Those of all processes, by rank."""
    return sorted(folder.glob("predictions.part*.jsonl"), key=lambda path: (len(path.name), path.name))


def remove_parts(folder: Path) -> None:
    for path in part_files(folder):
        path.unlink(missing_ok=True)


class PartWriter:
    """Appends to one part; every image is handed to the system at once, so that kill -9 cannot take it back.

    evaluation: plain types. go_on: keep what the file has already. Raises StorageError.
    """

    def __init__(self, path: Path, evaluation: dict[str, Any], go_on: bool) -> None:
        self.path = path
        try:
            if not go_on:  # a link would be followed, a pipe waited for
                path.unlink(missing_ok=True)
            whole = _whole_length(path) if go_on else 0
            self.handle: IO[bytes] = path.open("ab")
            weakref.finalize(self, self.handle.close)  # where a judging ends with a fault, nobody else does
            self.handle.truncate(whole)
        except OSError as fault:
            raise self._storage_error(fault) from fault
        if not whole:
            self._write({"evaluation": evaluation})

    def add(self, image_id: int, content: dict[str, Any]) -> None:
        """One image; content: plain types."""
        self._write({"image_id": image_id, **content})

    def close(self) -> None:
        self.handle.close()

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self.handle.write(json.dumps(line, allow_nan=False).encode() + b"\n")
            self.handle.flush()
        except OSError as fault:
            raise self._storage_error(fault) from fault

    def _storage_error(self, fault: OSError) -> StorageError:
        return StorageError(f"{printable(self.path)}: cannot be written: {fault.strerror or fault}")


def _whole_length(path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    if not path.is_file():
        return 0
    with path.open("rb") as handle:
        return sum(len(line) for line in handle if line.endswith(b"\n"))


class Parts(NamedTuple):
    """What part files hold. evaluation: as given to `PartWriter`; None where no file got so far."""

    evaluation: dict[str, Any] | None
    predictions: Predictions


def read_parts(files: Sequence[Path]) -> Parts:
    """The detections of all images of the files, in their order. Raises InputError as `read_lines` does."""
    evaluation, images, columns = read_lines(files, _columns, "category_id, bbox and score")
    return Parts(evaluation, Predictions(np.array(images, dtype=np.int64), joined(columns)))


def read_lines(
    files: Sequence[Path], content_of: Callable[[dict[str, Any]], Content | None], words: str
) -> tuple[dict[str, Any] | None, list[int], list[Content]]:
    """The evaluation, the images and what `content_of` finds in each one's line, in the order of the files.

    content_of gives None for a line that is no such content; words: what it looks for. Raises InputError, a line for
    each problem: such lines, an image that two lines hold [V14], files that say they belong to different evaluations.
    """
    problems = Problems()
    images: dict[int, Path] = {}
    contents: list[Content] = []
    evaluations: list[Any] = []
    for path in files:
        for number, line in _contents(path, problems):
            place = f"{printable(path)}: line {number}: "
            if number == 1:
                evaluations.append(line.get("evaluation"))
                if not isinstance(evaluations[-1], dict):
                    problems.add(f"{place}does not say what was judged by what [V08]")
                continue
            given = line.get("image_id")
            known = type(given) is int and abs(given) < LARGEST_ID
            content = content_of(line) if known else None
            if content is None:
                problems.add(f"{place}no image with its {words} [V08]")
            elif (image := line["image_id"]) in images:
                problems.add(f"{place}image {image} was judged already, in {printable(images[image])} [V14]")
            else:
                images[image] = path
                contents.append(content)
    if any(other != evaluations[0] for other in evaluations):
        problems.add(f"{printable(files[0].parent)}: its parts belong to different evaluations")
    problems.refuse()
    return evaluations[0] if evaluations else None, [*images], contents


def _contents(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number from 1, object) of every whole line."""
    check_file(path)
    try:
        with path.open("rb") as handle:
            for number, line in enumerate(handle, start=1):
                if not line.endswith(b"\n"):
                    _log.warning("%s: line %d broke off and is dropped", printable(path), number)
                    return
                try:
                    content = parse(line)
                except (ValueError, RecursionError) as fault:
                    problems.add(f"{printable(path)}: line {number}: no valid JSON: {printable(fault)}")
                    continue
                yield number, content if isinstance(content, dict) else {}
    except OSError as fault:
        raise InputError(f"{printable(path)}: cannot be read: {fault.strerror}") from fault


def _columns(content: dict[str, Any]) -> Columns | None:
    """The detections of a line of one image; None where it has none. Whether they can be judged is looked at later."""
    try:
        category, score, box = (np.array(content[name]) for name in ("category_id", "score", "bbox"))
    except (KeyError, ValueError, OverflowError):
        return None
    count = len(category) if category.ndim == 1 else -1
    numbers = all(
        not column.size or column.dtype.kind in kinds for column, kinds in ((category, "i"), (score, "if"), (box, "if"))
    )
    if not numbers or score.shape != (count,) or box.size != 4 * count or (count and box.ndim != 2):
        return None
    category, score, box = category.astype(np.int64), score.astype(np.float64), box.astype(np.float64).reshape(-1, 4)
    return Columns(np.full(count, content["image_id"], dtype=np.int64), category, score, box)
