"""Cityscapes as it is downloaded: leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and gtFine/SPLIT/CITY/*_gtFine_labelIds.png.

The masks' labelIds are mapped to the 19 classes in memory; masks that others have mapped before are refused, since
their ids mean other classes. gtFine/.../*_gtFine_instanceIds.png, where it is there, tells objects apart.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from densenets.config import ReadingRules
from densenets.data.class_list import ClassList, Colour
from densenets.data.decode import climbs, list_files, locate, reason
from densenets.data.faults import USUAL, NoSplit, show
from densenets.data.segmentation import Pairs, SegmentationSplit, Tell, build_split, find_files, refuse_or_tell
from densenets.errors import InputError, Problems, printable

GROUPS = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")


class Label(NamedTuple):
    """group: one of GROUPS, or "void". counted: its instances have numbers. judged: it is one of the 19 classes."""

    name: str
    id: int
    group: str
    counted: bool
    judged: bool
    colour: Colour


# The benchmark's own table, in its order; without "license plate", whose id -1 no mask can hold.
LABELS = (
    Label("unlabeled", 0, "void", False, False, (0, 0, 0)),
    Label("ego vehicle", 1, "void", False, False, (0, 0, 0)),
    Label("rectification border", 2, "void", False, False, (0, 0, 0)),
    Label("out of roi", 3, "void", False, False, (0, 0, 0)),
    Label("static", 4, "void", False, False, (0, 0, 0)),
    Label("dynamic", 5, "void", False, False, (111, 74, 0)),
    Label("ground", 6, "void", False, False, (81, 0, 81)),
    Label("road", 7, "flat", False, True, (128, 64, 128)),
    Label("sidewalk", 8, "flat", False, True, (244, 35, 232)),
    Label("parking", 9, "flat", False, False, (250, 170, 160)),
    Label("rail track", 10, "flat", False, False, (230, 150, 140)),
    Label("building", 11, "construction", False, True, (70, 70, 70)),
    Label("wall", 12, "construction", False, True, (102, 102, 156)),
    Label("fence", 13, "construction", False, True, (190, 153, 153)),
    Label("guard rail", 14, "construction", False, False, (180, 165, 180)),
    Label("bridge", 15, "construction", False, False, (150, 100, 100)),
    Label("tunnel", 16, "construction", False, False, (150, 120, 90)),
    Label("pole", 17, "object", False, True, (153, 153, 153)),
    Label("polegroup", 18, "object", False, False, (153, 153, 153)),
    Label("traffic light", 19, "object", False, True, (250, 170, 30)),
    Label("traffic sign", 20, "object", False, True, (220, 220, 0)),
    Label("vegetation", 21, "nature", False, True, (107, 142, 35)),
    Label("terrain", 22, "nature", False, True, (152, 251, 152)),
    Label("sky", 23, "sky", False, True, (70, 130, 180)),
    Label("person", 24, "human", True, True, (220, 20, 60)),
    Label("rider", 25, "human", True, True, (255, 0, 0)),
    Label("car", 26, "vehicle", True, True, (0, 0, 142)),
    Label("truck", 27, "vehicle", True, True, (0, 0, 70)),
    Label("bus", 28, "vehicle", True, True, (0, 60, 100)),
    Label("caravan", 29, "vehicle", True, False, (0, 0, 90)),
    Label("trailer", 30, "vehicle", True, False, (0, 0, 110)),
    Label("train", 31, "vehicle", True, True, (0, 80, 100)),
    Label("motorcycle", 32, "vehicle", True, True, (0, 0, 230)),
    Label("bicycle", 33, "vehicle", True, True, (119, 11, 32)),
)
JUDGED = tuple(label for label in LABELS if label.judged)
CLASSES = ClassList(
    names=tuple(label.name for label in JUDGED),
    ids=tuple(label.id for label in JUDGED),
    ignored=frozenset(label.id for label in LABELS if not label.judged),
    palette=tuple(label.colour for label in JUDGED),
    groups=(GROUPS, tuple(GROUPS.index(label.group) for label in JUDGED)),
    counted=frozenset(train_id for train_id, label in enumerate(JUDGED) if label.counted),
)
PICTURES, MASKS = "leftImg8bit", "gtFine"
PICTURE, MASK, OBJECTS = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_instanceIds.png"
MISTAKEN = {"_gtFine_labelTrainIds.png": "train ids", "_gtFine_color.png": "colours"}  # in place of MASK


def load_cityscapes(
    root: Path,
    split: str,
    classes: Sequence[str] | None = None,
    rules: ReadingRules = USUAL,
    ignore_ids: Collection[int] = (),
    tell: Tell | None = None,
) -> SegmentationSplit:
    """A split of the tree. Raises InputError with a line for each of the first problems."""
    place = root / PICTURES / split
    names = _names(root, split)
    listed = CLASSES.ignoring(ignore_ids).in_order(classes, place)
    problems = Problems()
    lacking = _refuse_unpaired(root, split, names, problems)
    refuse_or_tell(problems, tell)
    names, problems = [name for name in names if name not in lacking], Problems()
    pictures = find_files(root / PICTURES, [f"{split}/{name}{PICTURE}" for name in names], "picture", rules, problems)
    masks = find_files(root / MASKS, [f"{split}/{name}{MASK}" for name in names], "mask", rules, problems)
    objects = _objects(root, [f"{split}/{name}{OBJECTS}" for name in names], rules, problems)
    problems.refuse()
    return build_split(Pairs(pictures, masks, objects), listed, printable(place), rules, tell)


def splits_of(root: Path) -> list[str]:
    """The splits that have pictures, by name."""
    return _folders(root / PICTURES)


def _folders(place: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in place.iterdir() if entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{printable(place)}: cannot be read: {reason(error)}") from error


def _names(root: Path, split: str) -> list[str]:
    """CITY/CITY_SEQUENCE_FRAME of all pictures, sorted."""
    place = root / PICTURES / split
    if not split or climbs(split) or not place.is_dir():
        known = printable(", ".join(splits_of(root)))
        raise NoSplit(f"{printable(root / PICTURES)}: no split {show(split)}; there are {known or 'none'}")
    names = _shots(place, PICTURE)
    if not names:
        raise InputError(f"{printable(place)}: no CITY/*{PICTURE} [D36]")
    return names


def _shots(place: Path, ending: str) -> list[str]:
    found = [f"{city}/{file}" for city in _folders(place) for file in list_files(place / city)]
    return sorted(name.removesuffix(ending) for name in found if name.endswith(ending))


def _refuse_unpaired(root: Path, split: str, names: list[str], problems: Problems) -> set[str]:
    """Adds a problem for each picture without a mask, which are returned, and each mask without a picture."""
    place = root / MASKS / split
    found = {file for city in _folders(place) for file in (f"{city}/{name}" for name in list_files(place / city))}
    lacking = {name for name in names if f"{name}{MASK}" not in found}
    for name in sorted(lacking):
        problems.add(f"{printable(root / PICTURES / split / name)}{PICTURE}: {_lacking(place, name, found)}")
    for name in sorted({file.removesuffix(MASK) for file in found if file.endswith(MASK)} - set(names)):
        problems.add(f"{printable(place / name)}{MASK}: no picture {printable(name)}{PICTURE} belongs to it [D34]")
    return lacking


def _lacking(place: Path, name: str, found: set[str]) -> str:
    for ending, what in MISTAKEN.items():
        if f"{name}{ending}" in found:
            return (
                f"of its masks there is only {printable(place / name)}{ending}, which holds {what}; labelIds are read, "
                f"and mapped here: {printable(name)}{MASK} [D32]"
            )
    return f"no mask {printable(place / name)}{MASK} [D34]"


def _objects(root: Path, names: list[str], rules: ReadingRules, problems: Problems) -> list[str] | None:
    """The maps that tell objects apart; None where there is none at all."""
    if locate(root / MASKS, names, rules.follow_symlinks).missing.all():
        return None
    return find_files(root / MASKS, names, "map of instances, though other pictures have one [D34]", rules, problems)
