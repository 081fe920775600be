"""Which splits a command means."""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from densenets.config import PictureRules, ReadingRules, TrainDetection
from densenets.data import open_split
from densenets.data.coco import load_coco
from densenets.data.dataset import DetectionSplit
from densenets.data.faults import NoSplit
from densenets.data.summary import note_report, skip_report, write_skips
from densenets.errors import InputError, printable

log = logging.getLogger(__name__)
STREETS = {"train": 1200, "val": 150, "test": 150}
STREETS_SIZE = (320, 480)
SKIPPED = "skipped.jsonl"


def open_training(settings: TrainDetection) -> tuple[DetectionSplit, DetectionSplit]:
    """The split to train on and the split to choose by, with the classes of the first."""
    if (settings.train_annotations is None) != (settings.val_annotations is None):
        raise InputError("--train-annotations and --val-annotations go together")
    rules = rules_of(settings)
    with naming("--train-split"):
        train = open_one(settings.data, settings.train_split, settings.train_annotations, settings.train_images, rules)
    if train.crowd.all():
        raise InputError(f"{_told(settings)}: no object to learn from [D36]")
    names = (settings.data, settings.val_split, settings.val_annotations, settings.val_images)
    with naming("--val-split"):
        return train, open_one(*names, rules, train.classes)


@contextlib.contextmanager
def naming(flag: str) -> Iterator[None]:
    """A split that is not there is told with the flag that names another."""
    try:
        yield
    except NoSplit as fault:
        raise InputError(f"{flag}: {fault}") from fault


def _told(settings: TrainDetection) -> str:
    return printable(settings.train_annotations or f"{settings.data}, split {settings.train_split}")


def rules_of(settings: PictureRules) -> ReadingRules:
    """The rules alone, of a command's settings; those of boxes as they come where it has none."""
    names = [rule.name for rule in fields(ReadingRules) if hasattr(settings, rule.name)]
    return ReadingRules(**{name: getattr(settings, name) for name in names})


def open_one(
    data: str,
    split: str,
    annotations: str | None,
    images: str | None,
    rules: ReadingRules,
    classes: Sequence[str] | None = None,
) -> DetectionSplit:
    """A split of a folder or of the default scenes; or an annotation file with its folder of pictures."""
    if (annotations is None) != (images is None):
        raise InputError("an annotation file and its folder of images go together")
    if annotations is not None and images is not None:
        return load_coco(Path(annotations), Path(images), classes, rules)
    return open_split(streets_folder() if data == "streets" else data, split, classes, rules)


def tell_reading(splits: Sequence[Any], folder: Path | None) -> None:
    """What reading left out and put right, in the log; for what was left out it refers to `list_skips`."""
    for line in skip_report(splits, None if folder is None else folder / SKIPPED):
        log.warning("warning: %s", line)
    for line in note_report(splits):
        log.info(line)


def list_skips(splits: Sequence[Any], folder: Path | None) -> None:
    """What reading left out, in the folder's skipped.jsonl."""
    if folder is not None:
        write_skips(folder / SKIPPED, [skip for split in splits for skip in split.skips])


def streets_folder(masks: bool = False) -> Path:
    """The default scenes, drawn at first use into the user's cache (DENSENETS_CACHE names another place): in COCO's
    layout, or with `masks` as a Cityscapes tree.

    The folder's name holds the version of the drawing: another version never changes pictures that are in use.
    """
    from densenets.data.streets.files import VERSION, write_cityscapes_streets, write_streets

    height, width = STREETS_SIZE
    name = f"streets-{VERSION}-{width}x{height}{'-masks' if masks else ''}"
    write = write_cityscapes_streets if masks else write_streets
    for place in _caches():
        try:
            return write(place / name, images=STREETS, size=STREETS_SIZE)
        except InputError as fault:
            log.info("%s; trying another place", fault)
    raise InputError("the street scenes can be written to no place; name one with DENSENETS_CACHE")


def _caches() -> list[Path]:
    """Where the scenes may be: the place that was named, else the user's cache, else a temporary one."""
    if named := os.environ.get("DENSENETS_CACHE"):
        return [Path(named)]
    places = [Path(tempfile.gettempdir()) / f"densenets-{os.getuid() if hasattr(os, 'getuid') else 'user'}"]
    with contextlib.suppress(RuntimeError):  # of a home that nobody knows
        places.insert(0, Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "densenets")
    return places
