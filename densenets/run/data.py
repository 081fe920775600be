"""Which splits a command means."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from densenets.config import TrainDetection
from densenets.data import open_split
from densenets.data.coco import load_coco
from densenets.data.dataset import DetectionSplit
from densenets.errors import InputError

STREETS = {"train": 1200, "val": 150, "test": 150}
STREETS_SIZE = (320, 480)


def open_training(settings: TrainDetection) -> tuple[DetectionSplit, DetectionSplit]:
    """The split to train on and the split to choose by, with the classes of the first."""
    if (settings.train_annotations is None) != (settings.val_annotations is None):
        raise InputError("--train-annotations and --val-annotations go together")
    train = open_one(settings.data, settings.train_split, settings.train_annotations, settings.train_images)
    val = open_one(settings.data, settings.val_split, settings.val_annotations, settings.val_images, train.classes)
    return train, val


def open_one(
    data: str, split: str, annotations: str | None, images: str | None, classes: Sequence[str] | None = None
) -> DetectionSplit:
    """A split of a folder or of the default scenes; or an annotation file with its folder of pictures."""
    if (annotations is None) != (images is None):
        raise InputError("an annotation file and its folder of images go together")
    if annotations is not None and images is not None:
        return load_coco(Path(annotations), Path(images), classes)
    root = streets_folder() if data == "streets" and not Path(data).is_dir() else Path(data)
    return open_split(root, split, classes)


def streets_folder() -> Path:
    """The default scenes, drawn at first use into the user's cache (DENSENETS_CACHE names another place)."""
    height, width = STREETS_SIZE
    folder = _cache() / f"streets-{width}x{height}"
    from densenets.data.synthetic import write_streets

    return write_streets(folder, images=STREETS, size=STREETS_SIZE)


def _cache() -> Path:
    named = os.environ.get("DENSENETS_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(named) if named else Path(base) / "densenets"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        if named:
            raise InputError(f"DENSENETS_CACHE: {folder}: cannot be made") from None
        folder = Path(tempfile.gettempdir()) / "densenets"  # a home that is read-only or missing
    return folder
