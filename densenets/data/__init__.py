"""Where pictures and their boxes come from. Importing this is cheap: the command line lists its choices from here."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from densenets.config import ReadingRules
from densenets.errors import InputError, printable

if TYPE_CHECKING:
    from densenets.data.dataset import DetectionSplit

# Layout -> the function (root, split, classes, rules) that reads it.
DATASETS: dict[str, str] = {
    "coco": "densenets.data.coco:load_coco_root",
    "voc": "densenets.data.voc:load_voc_root",
}

# What densenets.data.transforms.build_augmentation can do to a picture, from nothing to SSD's full recipe.
RECIPES = ("none", "flip", "ssd", "ssdlite")


def open_split(
    data: str | os.PathLike[str],
    split: str,
    classes: Sequence[str] | None = None,
    rules: ReadingRules | None = None,
) -> "DetectionSplit":
    """The detection split `split` of the folder `data`, whose layout is found by looking.

    classes: names in label order, from a checkpoint or from the training split; None takes the data's own. rules: how
    strictly to read; as the flags' defaults say where not given. InputError has a line for each of the first problems.
    """
    root = Path(data)
    module, _, name = DATASETS[find_layout(root)].partition(":")
    load = getattr(import_module(module), name)
    with _in_one_line(root):
        return load(root, split, classes, rules or ReadingRules())


def find_layout(root: Path) -> str:
    """The key of DATASETS that fits the folder; InputError says what was looked for."""
    with _in_one_line(root):
        if not root.is_dir():
            raise InputError(f"{printable(root)}: no such folder")
        if any(root.glob("annotations/instances_*.json")) or any(root.glob("*/_annotations.coco.json")):
            return "coco"
        if (root / "ImageSets" / "Main").is_dir() and (root / "Annotations").is_dir():
            return "voc"
    raise InputError(
        f"{printable(root)}: no data set found; looked for annotations/instances_*.json or */_annotations.coco.json "
        "(COCO), ImageSets/Main with Annotations (VOC)"
    )


@contextlib.contextmanager
def _in_one_line(root: Path) -> Iterator[None]:
    """What the system refuses (a name too long, a folder that may not be read) as an InputError."""
    try:
        yield
    except OSError as error:
        place = root if error.filename is None else error.filename
        raise InputError(f"{printable(place)}: cannot be read: {printable(error.strerror or error)}") from error
