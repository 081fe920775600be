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
    from densenets.run.checking import Checked

SUSPICIOUS = 16  # pictures
OF_A_KIND = 3  # suspicious pictures for one kind of problem
SPREAD = 6  # pictures of each split
LONGEST = 520  # px, of a picture's longer side
LINES = 3  # of words under a picture
NUMBERS = {int, float}


class Sample(NamedTuple):
    """image: (H, W, 3) with its boxes drawn, or None where it cannot be decoded; words: what is told of it."""

    name: str
    image: np.ndarray | None
    words: list[str]
    suspicious: bool


def choose_samples(splits: "Sequence[Checked]") -> list[Sample]:
    """Of each kind of problem a few, then the pictures with the most boxes of equal parts of each split."""
    words = _suspicious(splits)
    samples = []
    for split in splits:
        rows = {file: row for row, file in enumerate(split.sound.files)}
        told = [file for file in words if file in rows]
        samples += [_sample(split, rows[file], words.pop(file), True) for file in told]
        samples += [_sample(split, row, [split.raw.name], False) for row in _spread(split)]
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


def _sample(split: "Checked", row: int, words: list[str], suspicious: bool) -> Sample:
    file = split.sound.files[row]
    try:
        image = read_image(file, None if split.pictures[row].fault else split.sound.sizes[row])
    except InputError:
        return Sample(Path(file).name, None, words, suspicious)
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    mine = split.sound.rows == row
    crowd = split.sound.crowd[mine]
    boxes, labels = split.sound.boxes[mine], split.sound.labels[mine]
    faulty = _faulty(split, row)
    drawn = draw.draw_boxes(
        resize(image, height, width),
        np.concatenate([boxes[~crowd], faulty]) * scale,
        np.concatenate([labels[~crowd], np.full(len(faulty), len(split.sound.classes))]),
        None,
        [*split.sound.classes, "left out"],
        ignore=boxes[crowd] * scale,
    )
    return Sample(Path(file).name, drawn, words, suspicious)


def _faulty(split: "Checked", row: int) -> np.ndarray:
    """(R, 4) corners of the boxes of a picture that cannot be used, as far as they can be drawn."""
    raw, image_id = split.raw, split.raw.pictures[split.sound.images_at[row]]["id"]
    found = []
    for kind, index in split.sound.dropped:
        box = raw.objects[index].get("bbox") if kind == "annotations" else None
        if box and raw.objects[index].get("image_id") == image_id and _can_be_drawn(box):
            found.append([box[0], box[1], box[0] + box[2], box[1] + box[3]])
    return np.array(found, dtype=np.float64).reshape(-1, 4)


def _can_be_drawn(box: object) -> bool:
    return type(box) is list and len(box) == 4 and all(type(v) in NUMBERS and abs(v) < 1e6 for v in box)
