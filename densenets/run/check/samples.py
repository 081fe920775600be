"""The pictures of check.html: those that a problem names, and a spread of the others."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from densenets import draw
from densenets.data.decode import read_image
from densenets.data.transforms import resize
from densenets.errors import InputError

if TYPE_CHECKING:
    from densenets.run.check.boxes import Checked

SUSPICIOUS = 16  # pictures
OF_A_KIND = 3  # suspicious pictures for one kind of problem
SPREAD = 6  # pictures of each split
LONGEST = 520  # px, of a picture's longer side
LINES = 3  # of words under a picture


class Sample(NamedTuple):
    """image: (H, W, 3) with its boxes drawn, or None where it cannot be decoded; words: what is told of it."""

    name: str
    image: np.ndarray | None
    words: list[str]
    suspicious: bool


def choose_samples(splits: "Sequence[Checked]", max_pixels: float) -> list[Sample]:
    """Of each kind of problem a few, then the pictures with the most boxes of equal parts of each split."""
    words = _suspicious(splits)
    samples = []
    for split in splits:
        rows = {file: row for row, file in enumerate(split.sound.files)}
        told = [file for file in words if file in rows]
        samples += [_sample(split, rows[file], words.pop(file), max_pixels, True) for file in told]
        samples += [_sample(split, row, [split.raw.name], max_pixels) for row in _spread(split)]
    return samples


def _suspicious(splits: "Sequence[Checked]") -> dict[str, list[str]]:
    """File -> what is wrong with it, each kind of problem in its turn."""
    words: dict[str, list[str]] = {}
    kinds: dict[str, int] = {}
    for finding in (finding for split in splits for finding in split.findings.found):
        file = finding.picture
        if file is None or (
            file not in words and (kinds.get(finding.code, 0) >= OF_A_KIND or len(words) >= SUSPICIOUS)
        ):
            continue
        if file not in words:
            kinds[finding.code] = kinds.get(finding.code, 0) + 1
        words.setdefault(file, [])
        if len(words[file]) < LINES:
            words[file].append(f"{finding.what} [{finding.code}]")
    return words


def _spread(split: "Checked") -> list[int]:
    """The row of the fullest picture in each of up to SPREAD equal parts, of those that can be decoded."""
    counts = np.bincount(split.sound.rows, minlength=len(split.sound.files))
    usable = np.array([row for row, picture in enumerate(split.pictures) if not picture.fault], dtype=np.int64)
    parts = np.array_split(usable, min(SPREAD, len(usable))) if len(usable) else []
    return [int(part[counts[part].argmax()]) for part in parts]


def _sample(split: "Checked", row: int, words: list[str], max_pixels: float, suspicious: bool = False) -> Sample:
    file = split.sound.files[row]
    try:
        image = read_image(file, None if split.pictures[row].fault else split.sound.sizes[row], max_pixels)
    except InputError:
        return Sample(Path(file).name, None, words, suspicious)
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    mine = split.sound.rows == row
    crowd = split.sound.crowd[mine]
    boxes, labels = split.sound.boxes[mine], split.sound.labels[mine]
    faulty = np.array(split.faulty.get(row, []), dtype=np.float64).reshape(-1, 4)
    drawn = draw.draw_boxes(
        resize(image, height, width),
        np.concatenate([boxes[~crowd], faulty]) * scale,
        np.concatenate([labels[~crowd], np.full(len(faulty), len(split.sound.classes))]),
        None,
        [*split.sound.classes, "left out"],
        ignore=boxes[crowd] * scale,
    )
    return Sample(Path(file).name, drawn, words, suspicious)
