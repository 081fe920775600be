"""Pascal VOC's segmentation: ImageSets/Segmentation/SPLIT.txt, JPEGImages/ID.*, SegmentationClass/ID.png (palette)."""

from collections.abc import Collection, Sequence
from itertools import compress
from pathlib import Path

from densenets.config import ReadingRules
from densenets.data.class_list import ClassList, distinct_colour, read_classes
from densenets.data.faults import USUAL
from densenets.data.segmentation import Pairs, SegmentationSplit, Tell, build_split, find_files, refuse_or_tell
from densenets.data.voc import picture_files, split_names
from densenets.errors import Problems, printable

NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
CLASSES = ClassList(NAMES, tuple(range(len(NAMES))), palette=tuple(map(distinct_colour, range(len(NAMES)))))


def splits_of(root: Path) -> list[str]:
    """The splits that have a list; of VOC's own the further ones (trainval) are none."""
    names = [path.stem for path in (root / "ImageSets" / "Segmentation").glob("*.txt")]
    return [name for name in names if name in ("train", "val", "test")] or names


def load_voc_masks(
    root: Path,
    split: str,
    classes: Sequence[str] | None = None,
    rules: ReadingRules = USUAL,
    ignore_ids: Collection[int] = (),
    tell: Tell | None = None,
) -> SegmentationSplit:
    """A split of VOC's own 21 classes; a classes.txt or classes.json in the folder names others."""
    names = sorted(split_names(root, split, "Segmentation"))
    own = next((file for file in (root / "classes.json", root / "classes.txt") if file.is_file()), None)
    listed = (read_classes(own) if own else CLASSES).ignoring(ignore_ids).in_order(classes, root)
    problems = Problems()
    pairs = _pairs(root, names, rules, problems)
    refuse_or_tell(problems, tell)
    if problems.count:  # what is not there was told; what is else wrong refuses the others
        there = [Path(file).is_file() and Path(mask).is_file() for file, mask in zip(*pairs[:2], strict=True)]
        problems = Problems()
        pairs = _pairs(root, [*compress(names, there)], rules, problems)
        problems.refuse()
    where = printable(root / "ImageSets" / "Segmentation" / f"{split}.txt")
    return build_split(pairs, listed, where, rules, tell)


def _pairs(root: Path, names: Sequence[str], rules: ReadingRules, problems: Problems) -> Pairs:
    files = picture_files(root, names, rules, problems).tolist()
    masks = find_files(root / "SegmentationClass", [f"{name}.png" for name in names], "mask [D34]", rules, problems)
    return Pairs(files, masks)
