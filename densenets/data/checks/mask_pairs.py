"""Every mask decoded in full: its faults, how many pixels each class has, and what of that can hardly be meant."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from densenets.contract import IGNORED
from densenets.data.checks.findings import CODE, Findings
from densenets.data.checks.pictures import in_processes
from densenets.data.checks.statistics import image_sizes
from densenets.data.decode import AnimationError, PictureError
from densenets.data.mask_files import UnknownIds, told_together
from densenets.data.segmentation import SegmentationSplit
from densenets.errors import InputError, printable

NO_CLASS = "no class"
RARE = 1e-4  # of all pixels with a class


class MaskSeen(NamedTuple):
    """pixels: (256,) int64, how many of each label; all 0 where it cannot be read. fault: words and code.

    replaceable: a training takes another picture in its place. unknown: of a mask with ids that are not of the class
    list those that can be ignored, else None; held: of such a mask every id with its pixels.
    """

    pixels: np.ndarray
    fault: tuple[str, str] | None = None
    replaceable: bool = False
    unknown: tuple[int, ...] | None = None
    held: tuple[tuple[int, int], ...] = ()


def inspect_masks(split: SegmentationSplit, workers: int) -> list[MaskSeen]:
    """Each mask of a split, with its map of instances, as a judging reads it; workers as of `inspect_all`."""
    files = [str(file) for file in split.masks]
    return in_processes(partial(_look, split), range(len(split)), files, workers, "Decoding masks")


def _look(split: SegmentationSplit, indices: Sequence[int]) -> list[MaskSeen]:
    return [_inspect(split, index) for index in indices]


def _inspect(split: SegmentationSplit, index: int) -> MaskSeen:
    try:
        mask = split.truth(index, instances=True)
    except InputError as error:
        message = str(error).removeprefix(f"{printable(split.masks[index])}: ")
        match = CODE.search(message)
        fault = (message[: match.start()], match[1]) if match else (message, "D01")
        replaceable = isinstance(error, PictureError) and not isinstance(error, AnimationError)
        nothing = np.zeros(256, dtype=np.int64)
        if isinstance(error, UnknownIds):
            return MaskSeen(nothing, fault, replaceable, error.ids, error.held)
        return MaskSeen(nothing, fault, replaceable)
    return MaskSeen(np.bincount(mask.ids.numpy().ravel(), minlength=256))


def judge_masks(
    masks: Sequence[MaskSeen], split: SegmentationSplit, findings: Findings, for_training: bool, by_names: bool = False
) -> None:
    """Faults of each, those of unknown ids together, and what of the whole can hardly be meant.

    for_training: as of `judge_pictures`; by_names: as of `told_together`.
    """
    unknown = [mask.unknown for mask in masks if mask.unknown is not None]
    told = False
    for mask, file, picture in zip(masks, split.masks.tolist(), split.files.tolist(), strict=True):
        if mask.fault and mask.unknown is not None:
            if not told:
                words = told_together(mask.fault[0], unknown, by_names, split.train_ids).removesuffix(" [D31]")
                findings.error("D31", (file, ""), words, picture)
            told = True
        elif mask.fault:
            tell = findings.leave_out if for_training and mask.replaceable else findings.error
            tell(mask.fault[1], (file, ""), mask.fault[0], picture)
    empty = [not mask.fault and not mask.pixels[:IGNORED].any() for mask in masks]
    findings.note("masks without a pixel of any class, which teach nothing [D35]", sum(empty))
    read = sum(not mask.fault for mask in masks)
    if not read:  # nothing is known of its classes
        return
    if sum(empty) == read:
        place = (str(split.masks[0]), "")
        tell = findings.warn if findings.split.startswith("test") else findings.error  # whose labels a server has
        tell("D36", place, "like all masks of the split, without a pixel of any class")
        return
    pixels = pixels_of(masks)[: len(split.classes)]
    place = (f"split {findings.split}", "")
    if unused := [name for name, count in zip(split.classes, pixels, strict=True) if not count]:
        findings.warn("unused-class", place, f"{len(unused)} classes have no pixel: {_names(unused)}")
    if rare := [name for name, count in zip(split.classes, pixels, strict=True) if 0 < count < RARE * pixels.sum()]:
        findings.note(f"classes with fewer than {RARE:.2%} of the pixels: {_names(rare)}", len(rare))


def compare_mask_classes(used: dict[str, set[str]], training: str, findings: Findings) -> None:
    """Classes that other splits have pixels of and the training split has not. used: by split."""
    for name, classes in used.items():
        if name != training and (unknown := sorted(classes - used[training])):
            findings.warn(
                "untaught-class", (f"split {name}", ""), f"has classes that {training} lacks: {_names(unknown)}"
            )


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def pixels_of(masks: Sequence[MaskSeen]) -> np.ndarray:
    """(256,) int64: how many of each label over all masks."""
    return np.array([mask.pixels for mask in masks], dtype=np.int64).reshape(-1, 256).sum(axis=0)


def describe_masks(masks: Sequence[MaskSeen], split: SegmentationSplit) -> dict[str, Any]:
    """Counts of all kinds, for JSON. share: of the pixels that have a class."""
    pixels = pixels_of(masks)
    total, counted = int(pixels.sum()), int(pixels[: len(split.classes)].sum())
    images = np.array([mask.pixels > 0 for mask in masks]).reshape(-1, 256).sum(axis=0)
    return {
        "images": len(split),
        "pixels": total,
        "ignored_share": float(pixels[IGNORED] / total) if total else 0.0,
        "images_without_classes": sum(not mask.fault and not mask.pixels[:IGNORED].any() for mask in masks),
        "classes": [
            {"name": name, "id": int(split.category_ids[label]), "pixels": int(pixels[label]),
             "share": float(pixels[label] / counted) if counted else 0.0, "images": int(images[label])}
            for label, name in enumerate(split.classes)
        ],
        "unknown_ids": sum(mask.unknown is not None for mask in masks),
        "ids": _ids(masks, split),
        "image_sizes": image_sizes(split.sizes),
    }  # fmt: skip


def _ids(masks: Sequence[MaskSeen], split: SegmentationSplit) -> list[dict[str, Any]]:
    """What masks hold that can be decoded, by id; None: pixels of no class in a mask without a fault. name: None where
    the class list has no such id."""
    counts = Counter[int]()
    for mask in masks:
        counts.update(dict(mask.held))
    pixels = pixels_of(masks)
    counts.update({int(number): int(count) for number, count in zip(split.category_ids, pixels, strict=False)})
    names: dict[int, str] = {int(number): name for number, name in zip(split.category_ids, split.classes, strict=True)}
    names |= {int(number): NO_CLASS for number in np.flatnonzero(split.train_ids == IGNORED)}
    total = counts.total() + int(pixels[IGNORED])
    rows = [(number, names.get(number), count) for number, count in sorted(counts.items()) if count]
    nothing = [(None, NO_CLASS, int(pixels[IGNORED]))] if pixels[IGNORED] else []
    return [
        {"id": number, "name": name, "pixels": count, "share": count / total}
        for number, name, count in [*rows, *nothing]
    ]
