"""Where pictures with their boxes or masks come from.

Importing this is cheap: the command line lists its choices from here.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densenets.config import ReadingRules
from densenets.errors import InputError, printable

if TYPE_CHECKING:
    from densenets.data.dataset import DetectionSplit
    from densenets.data.segmentation import SegmentationSplit

# Layout -> the function (root, split, classes, rules) that reads it.
DATASETS: dict[str, str] = {
    "coco": "densenets.data.coco:load_coco_root",
    "voc": "densenets.data.voc:load_voc_root",
}

# The same for masks: the function (root, split, classes, rules, ignore_ids, tell).
SEGMENTATION_DATASETS: dict[str, str] = {
    "cityscapes": "densenets.data.cityscapes:load_cityscapes",
    "voc": "densenets.data.voc_masks:load_voc_masks",
    "masks": "densenets.data.masks:load_masks",
}
# Layout -> the folders by which it is known.
SEGMENTATION_FOLDERS: dict[str, tuple[str, ...]] = {
    "cityscapes": ("leftImg8bit", "gtFine"),
    "voc": ("ImageSets/Segmentation", "SegmentationClass"),
    "masks": ("images", "masks"),
}

# What densenets.data.transforms.build_augmentation can do to a picture, from nothing to SSD's full recipe.
RECIPES = ("none", "flip", "ssd", "ssdlite")
# The same of densenets.data.mask_transforms.MaskAugmentation.
SEGMENTATION_RECIPES = ("none", "flip", "seg")


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
    load = _function(DATASETS[find_layout(root)])
    with _in_one_line(root):
        return load(root, split, classes, rules or ReadingRules())


def open_segmentation(
    data: str | os.PathLike[str],
    split: str,
    classes: Sequence[str] | None = None,
    rules: ReadingRules | None = None,
    ignore_ids: Collection[int] = (),
    tell: Callable[[str], None] | None = None,
) -> "SegmentationSplit":
    """The segmentation split `split` of the folder `data`, whose layout is found by looking.

    classes: names in label order, from a checkpoint or from the training split, which may be more than the set has;
    None takes the data's own. Of a set without a class list they are the names of the ids 0, 1, 2 and so on.
    ignore_ids: ids of masks that are of no class, besides those that the set itself ignores. tell: gets a line for each
    picture and mask that do not belong together, which are left out then; without it they are an InputError.
    """
    root = Path(data)
    load = _function(SEGMENTATION_DATASETS[find_segmentation(root)])
    with _in_one_line(root):
        return load(root, split, classes, rules or ReadingRules(), ignore_ids, tell)


def segmentation_splits(root: Path) -> list[str]:
    """The splits of a folder of masks, the training's first."""
    module = SEGMENTATION_DATASETS[find_segmentation(root)].partition(":")[0]
    with _in_one_line(root):
        names: list[str] = import_module(module).splits_of(root)
    return sorted(names, key=lambda name: (not name.startswith("train"), name.startswith("test"), name))


def _function(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def find_segmentation(root: Path) -> str:
    """The key of SEGMENTATION_DATASETS that fits the folder; InputError says what was looked for."""
    with _in_one_line(root):
        if not root.is_dir():
            raise InputError(f"{printable(root)}: no such folder")
        if layout := _layout_of_masks(root):
            return layout
        hint = "; it holds boxes, on which train-det trains" if _layout_of_boxes(root) else ""
    looked_for = ", ".join(f"{' with '.join(folders)}" for folders in SEGMENTATION_FOLDERS.values())
    raise InputError(f"{printable(root)}: no segmentation set found; looked for {looked_for}{hint}")


def find_layout(root: Path) -> str:
    """The key of DATASETS that fits the folder; InputError says what was looked for."""
    with _in_one_line(root):
        if not root.is_dir():
            raise InputError(f"{printable(root)}: no such folder")
        if layout := _layout_of_boxes(root):
            return layout
        hint = "; it holds masks, on which train-seg trains" if _layout_of_masks(root) else ""
    raise InputError(
        f"{printable(root)}: no data set found; looked for annotations/instances_*.json or */_annotations.coco.json "
        f"(COCO), ImageSets/Main with Annotations (VOC){hint}"
    )


def _layout_of_masks(root: Path) -> str | None:
    for layout, folders in SEGMENTATION_FOLDERS.items():
        if all((root / folder).is_dir() for folder in folders):
            return layout
    return None


def _layout_of_boxes(root: Path) -> str | None:
    if any(root.glob("annotations/instances_*.json")) or any(root.glob("*/_annotations.coco.json")):
        return "coco"
    if (root / "ImageSets" / "Main").is_dir() and (root / "Annotations").is_dir():
        return "voc"
    return None


@contextlib.contextmanager
def _in_one_line(root: Path) -> Iterator[None]:
    """What the system refuses (a name too long, a folder that may not be read) as an InputError."""
    try:
        yield
    except OSError as error:
        place = root if error.filename is None else error.filename
        raise InputError(f"{printable(place)}: cannot be read: {printable(error.strerror or error)}") from error
