"""Any folder of pictures and masks of ids: images/SPLIT/NAME.*, masks/SPLIT/NAME.png, and a class list.

The class list is classes.txt or classes.json in the folder (`read_classes` says how they look); where there is none,
names from elsewhere stand for the ids 0, 1, 2 and so on. 255 is of no class.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from densenets.config import ReadingRules
from densenets.data.class_list import ClassList, named_classes, read_classes
from densenets.data.decode import climbs, list_files
from densenets.data.faults import USUAL, NoSplit, show
from densenets.data.segmentation import Pairs, SegmentationSplit, Tell, build_split, find_files, refuse_or_tell
from densenets.data.voc import PICTURES
from densenets.errors import InputError, Problems, printable

LISTS = ("classes.json", "classes.txt")
MASKS = (".png", ".bmp")


def load_masks(
    root: Path,
    split: str,
    classes: Sequence[str] | None = None,
    rules: ReadingRules = USUAL,
    ignore_ids: Collection[int] = (),
    tell: Tell | None = None,
) -> SegmentationSplit:
    """A split of the folder. Raises InputError with a line for each of the first problems."""
    listed = class_list(root, classes).ignoring(ignore_ids).in_order(classes, root)
    pictures = _by_stem(_folder(root / "images", split), PICTURES)
    masks = _by_stem(root / "masks" / split, (*MASKS, ".jpg", ".jpeg"))  # of a JPEG it is said what is wrong with it
    problems = Problems()
    for stem in sorted({*pictures, *masks}):
        if stem not in masks:
            problems.add(
                f"{_told(root, 'images', split, pictures[stem])}: no mask masks/{split}/{printable(stem)}.png [D34]"
            )
        if stem not in pictures:
            problems.add(
                f"{_told(root, 'masks', split, masks[stem])}: no picture images/{split}/{printable(stem)}.* [D34]"
            )
    refuse_or_tell(problems, tell)
    stems = sorted({*pictures} & {*masks})
    problems = Problems()
    found = Pairs(
        find_files(root / "images", [f"{split}/{pictures[stem]}" for stem in stems], "picture", rules, problems),
        find_files(root / "masks", [f"{split}/{masks[stem]}" for stem in stems], "mask", rules, problems),
    )
    problems.refuse()
    return build_split(found, listed, printable(root / "images" / split), rules, tell)


def splits_of(root: Path) -> list[str]:
    """The splits that have pictures, by name."""
    return sorted(entry.name for entry in (root / "images").iterdir() if entry.is_dir())


def class_list(root: Path, names: Sequence[str] | None) -> ClassList:
    """The folder's own, else of the names given."""
    for file in (root / name for name in LISTS):
        if file.is_file():
            return read_classes(file)
    if names is None:
        raise InputError(
            f"{printable(root)}: no class list: neither {' nor '.join(LISTS)}, nor --classes with a name for each id "
            "from 0 on (and --ignore-ids for ids that are of no class) [D36]"
        )
    return named_classes(names, "--classes")


def _folder(place: Path, split: str) -> Path:
    if split and not climbs(split) and (place / split).is_dir():
        return place / split
    known = printable(", ".join(splits_of(place.parent)))
    raise NoSplit(f"{printable(place)}: no split {show(split)}; there are {known or 'none'}")


def _by_stem(folder: Path, endings: tuple[str, ...]) -> dict[str, str]:
    """Name without its ending -> name, of the files with such endings. Raises InputError where two have one stem."""
    problems, found = Problems(), dict[str, str]()
    for file in sorted(list_files(folder)):
        if file.lower().endswith(endings) and found.setdefault(stem := file.rpartition(".")[0], file) != file:
            problems.add(f"{printable(folder)}: {show(file)} and {show(found[stem])} have one name [D19]")
    problems.refuse()
    return found


def _told(root: Path, *parts: str) -> str:
    return printable(root.joinpath(*parts))
