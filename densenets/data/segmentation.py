"""A segmentation split as arrays, and the samples drawn from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from densenets.config import ReadingRules
from densenets.contract import Mask
from densenets.data.class_list import ClassList
from densenets.data.decode import PictureError, locate, read_image
from densenets.data.faults import USUAL, Skip, show
from densenets.data.mask_files import colours_to_labels, read_header, read_mask, to_instances, to_labels
from densenets.data.mask_transforms import MaskAugmentation
from densenets.data.samples import KeyedDataset, Size
from densenets.data.transforms import resize
from densenets.errors import InputError, Problems, printable


@dataclass(frozen=True, eq=False)
class SegmentationSplit:
    """N images with their masks, C classes, in arrays alone, which forked workers share without copying."""

    classes: tuple[str, ...]  # C names in label order
    category_ids: np.ndarray  # (C,) int64: the id of each class in the set's own masks
    palette: np.ndarray  # (C, 3) uint8: the set's own colours, else ones that are all different
    image_ids: np.ndarray  # (N,) int64: the place of the image in the sorted split, from 1
    files: np.ndarray  # (N,) full paths
    masks: np.ndarray  # (N,) full paths
    instances: np.ndarray | None  # (N,) full paths of maps that tell objects apart, where the set has them
    sizes: np.ndarray  # (N, 2) int64, height and width
    train_ids: np.ndarray  # (256,) int16: id in a mask -> 0..C-1, 255 ignored, -1 unknown
    groups: tuple[tuple[str, ...], np.ndarray] | None  # names, and (C,) int64 the group of each class
    counted: np.ndarray  # (C,) bool: classes whose objects `instances` tells apart
    written: dict[tuple[int, int, int], int] | None = None  # colour -> id, where masks hold colours
    skips: tuple[Skip, ...] = ()
    rules: ReadingRules = field(default_factory=ReadingRules)  # by which its pictures are read

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def kept(self) -> int:
        """How many masks were not left out: all of them."""
        return len(self)

    @property
    def remarks(self) -> dict[str, int]:
        """What is remarkable -> how often: nothing in reading masks."""
        return {}

    def picture(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB, the image at `index`; PictureError or InputError as `read_image` says."""
        return read_image(str(self.files[index]), self.sizes[index], self.rules.max_pixels)

    def truth(self, index: int, instances: bool = False) -> Mask:
        """The mask of the image at `index` in file px, with its objects where asked for and where the set has them.

        Raises PictureError where a file cannot be read, InputError where it holds what it must not.
        """
        path = str(self.masks[index])
        pixels = self._pixels(path, index)
        if pixels.ndim == 2:
            ids = to_labels(pixels, self.train_ids, printable(path))
        elif self.written is not None:
            ids = colours_to_labels(pixels, self.written, self.train_ids, printable(path))
        else:
            raise InputError(f"{printable(path)}: {COLOURS} [D32]")
        if not instances or self.instances is None:
            return Mask(torch.from_numpy(ids))
        path = str(self.instances[index])
        numbers = to_instances(self._pixels(path, index), ids, self.train_ids, self.counted, printable(path))
        return Mask(torch.from_numpy(ids), torch.from_numpy(numbers))

    def _pixels(self, path: str, index: int) -> np.ndarray:
        return read_mask(path, self.sizes[index], self.rules.max_pixels, self.written)


COLOURS = "3 channels: a picture of colours, where a mask holds one id a pixel; a class list with colors can map them"


class Pairs(NamedTuple):
    """N files that belong together, as a reader found them; instances: None where the set has none."""

    files: Sequence[str]
    masks: Sequence[str]
    instances: Sequence[str] | None = None

    def only(self, kept: Sequence[bool]) -> "Pairs":
        """Those that are kept."""
        return Pairs(*(None if column is None else [*compress(column, kept)] for column in self))  # type: ignore[arg-type]


Tell = Callable[[str], None]  # gets a line for each pair that cannot be used and is left out


def refuse_or_tell(problems: Problems, tell: Tell | None) -> None:
    """Without `tell` a problem ends the reading."""
    if tell is None:
        problems.refuse()
    for line in problems.lines:
        assert tell is not None
        tell(line)


def find_files(folder: Path, names: Sequence[str], what: str, rules: ReadingRules, problems: Problems) -> list[str]:
    """Full paths of files named relative to a folder; what is missing, or behind a link that leads out, is told."""
    found = locate(folder, names, rules.follow_symlinks)
    for name, missing, outside in zip(names, found.missing.tolist(), found.outside.tolist(), strict=True):
        if missing:
            problems.add(f"{printable(folder)}: {show(name)}: no such {what}")
        if outside:
            problems.add(
                f"{printable(folder / name)}: a link leads out of the folder; --follow-symlinks allows it [D24]"
            )
    return list(found.files.tolist())


def build_split(
    pairs: Pairs, classes: ClassList, where: str, rules: ReadingRules = USUAL, tell: Tell | None = None
) -> SegmentationSplit:
    """A split of files that exist. where: what an error calls it.

    Of each file the header is read; one that cannot be is left to whoever reads the picture, which may be skipped then.
    """
    problems, sizes = Problems(), list[Size | None]()
    for file, mask in zip(pairs.files, pairs.masks, strict=True):
        before, size = problems.count, _size(file, mask, classes, rules, problems)
        sizes.append(size if problems.count == before else None)
    refuse_or_tell(problems, tell)
    pairs = pairs.only([size is not None for size in sizes])
    if not len(pairs.files):
        raise InputError(f"{where}: no images [D36]")
    groups = classes.groups and (classes.groups[0], np.array(classes.groups[1], dtype=np.int64))
    return SegmentationSplit(
        classes=classes.names,
        category_ids=np.array(classes.ids, dtype=np.int64),
        palette=classes.colours(),
        image_ids=np.arange(1, len(pairs.files) + 1),
        files=np.array(pairs.files),
        masks=np.array(pairs.masks),
        instances=None if pairs.instances is None else np.array(pairs.instances),
        sizes=np.array([size for size in sizes if size is not None], dtype=np.int64),
        train_ids=classes.table(),
        groups=groups,
        counted=np.isin(np.arange(len(classes.names)), list(classes.counted)),
        written=classes.written,
        rules=rules,
    )


def _size(file: str, mask: str, classes: ClassList, rules: ReadingRules, problems: Problems) -> Size:
    """Height and width of a mask, which are its picture's; of the picture where the mask cannot be read."""
    size = _size_of_mask(mask, classes, rules, problems)
    try:
        shapes = read_header(file, size, rules.max_pixels).sizes
    except PictureError:
        return size or (1, 1)
    if size is not None and size not in shapes:
        own = f"{shapes[0][1]}x{shapes[0][0]}"
        problems.add(f"{printable(mask)}: {size[1]}x{size[0]}, but its picture {printable(file)} is {own} [D34]")
    return size or shapes[1]


def _size_of_mask(mask: str, classes: ClassList, rules: ReadingRules, problems: Problems) -> Size | None:
    """None where it cannot be read; that it cannot be a mask is a problem."""
    try:
        header = read_header(mask, max_pixels=rules.max_pixels)
    except PictureError:
        return None
    kind = COLOURS if header.kind == "colours" and classes.written is None else header.kind
    if kind not in ("ids", "colours"):
        problems.add(f"{printable(mask)}: {kind} [D32]")
    return header.sizes[0]


class SegmentationDataset(KeyedDataset[tuple[np.ndarray, Mask], Mask]):
    """Pictures and their masks: both on the canvas of the augmentation; without one the picture at `canvas` (H, W), or
    at its own size where that is None, and the mask in file px, with objects where the split has them.

    In training another picture stands in for one that cannot be read, or whose mask cannot.
    """

    split: SegmentationSplit

    def __init__(
        self,
        split: SegmentationSplit,
        augmentation: MaskAugmentation | None = None,
        canvas: Size | None = None,
        seed: int = 0,
        substitute: bool = False,
    ) -> None:
        super().__init__(split, seed, substitute)
        self.augmentation = augmentation
        self.canvas = canvas if augmentation is None else augmentation.canvas

    def read(self, index: int) -> tuple[np.ndarray, Mask]:
        truth = self.split.truth(index, instances=self.augmentation is None)
        return self.split.picture(index), truth

    def draw(self, index: int, files: tuple[np.ndarray, Mask], seed: int) -> tuple[np.ndarray, Mask]:
        image, mask = files
        if self.augmentation is not None:
            image, ids = self.augmentation(image, mask.ids.numpy(), seed)
            return image, Mask(torch.from_numpy(np.ascontiguousarray(ids)))  # a part would travel with the whole
        return image if self.canvas is None else resize(image, *self.canvas), mask

    def image_sizes(self) -> list[Size]:
        if self.canvas is not None:
            return [self.canvas] * len(self)
        return [(height, width) for height, width in self.split.sizes.tolist()]
