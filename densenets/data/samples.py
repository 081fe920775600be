"""Samples drawn from a split, whatever the task: by whom they may be decided, what stands in for an unreadable one,
and how they become a batch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from densenets.config import ReadingRules
from densenets.contract import Batch, ImageInfo, Target
from densenets.data.decode import AnimationError, PictureError
from densenets.data.faults import allowed_skips, too_many
from densenets.data.sampling import keyed_hash
from densenets.errors import InputError

REPLACEMENTS = 8  # pictures tried in place of one that cannot be read, before the training stops

Size = tuple[int, int]  # height and width
Read = TypeVar("Read")


class Sample(NamedTuple, Generic[Target]):
    """One image (3, H, W) uint8 with its target; skipped: a line for each picture tried before this one."""

    image: Tensor
    target: Target
    info: ImageInfo
    skipped: tuple[str, ...] = ()


class Split(Protocol):
    """What the splits of all tasks have. image_ids: (N,) int64; files: (N,) full paths; sizes: (N, 2) int64, height
    and width in file px."""

    @property
    def image_ids(self) -> np.ndarray: ...
    @property
    def files(self) -> np.ndarray: ...
    @property
    def sizes(self) -> np.ndarray: ...
    @property
    def rules(self) -> ReadingRules: ...
    def __len__(self) -> int: ...


def shown_size(size: Size, canvas: Size, keep_ratio: bool) -> Size:
    """(h, w) px of the canvas (H, W) that a picture of `size` fills: all, or with its ratio kept as much as fits."""
    if not keep_ratio:
        return canvas
    factor = min(canvas[0] / size[0], canvas[1] / size[1])
    height, width = (max(1, round(side * factor)) for side in size)
    return min(height, canvas[0]), min(width, canvas[1])


def placed(file: object, size: Size, canvas: Size, keep_ratio: bool = False, image_id: int = 0) -> ImageInfo:
    """A whole picture of `size` (H, W) px on the canvas (H, W), from its top left corner on; see `shown_size`."""
    height, width = shown_size(size, canvas, keep_ratio)
    return ImageInfo(image_id, str(file), *size, (width / size[1], height / size[0]))


def info_of(split: Split, index: int, canvas: Size, keep_ratio: bool = False) -> ImageInfo:
    """The image at `index` of a split, whole on the canvas (H, W)."""
    height, width = split.sizes[index].tolist()
    return placed(split.files[index], (height, width), canvas, keep_ratio, int(split.image_ids[index]))


class KeyedDataset(Dataset[Sample[Target]], Generic[Read, Target], ABC):
    """Samples by (epoch, index): what is drawn depends on (seed, epoch, image id), never on worker or process.

    substitute: in training another picture takes the place of one that cannot be read and the fault travels along in
    `skipped`, unless the split is read strictly; more of them than --max-skip allows are an InputError. They are
    counted over all processes that load for this dataset, though not over the ranks of a distributed training. In
    evaluation (False) the fault is raised. An animation, and a picture of another size than stated, are always raised.
    keep_ratio: whether `draw` leaves a picture's ratio as it is where it changes nothing else, see `shown_size`.
    """

    def __init__(self, split: Split, seed: int, substitute: bool, keep_ratio: bool = False) -> None:
        self.split: Split = split
        self.keep_ratio = keep_ratio
        self.seed = seed
        self.substitute = substitute
        self._unreadable = torch.zeros(len(split), dtype=torch.bool).share_memory_()  # the loading processes' too

    @abstractmethod
    def read(self, index: int) -> Read:
        """The files of the image at `index`. Raises PictureError where another image may stand in for it."""

    @abstractmethod
    def draw(self, index: int, files: Read, seed: int) -> tuple[np.ndarray, Target]:
        """The (H, W, 3) uint8 image and its target, from what was read; all chance comes from `seed`."""

    @abstractmethod
    def image_sizes(self) -> list[Size]:
        """The size of the image of each sample."""

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, key: tuple[int, int]) -> Sample[Target]:
        epoch, index = key
        image_id = int(self.split.image_ids[index])
        index, files, skipped = self._readable(epoch, index, image_id)
        image, target = self.draw(index, files, keyed_hash(self.seed, epoch, image_id))
        info = info_of(self.split, index, (image.shape[0], image.shape[1]), self.keep_ratio)
        return Sample(torch.from_numpy(image).permute(2, 0, 1), target, info, skipped)

    def _readable(self, epoch: int, index: int, image_id: int) -> tuple[int, Read, tuple[str, ...]]:
        """The image at `index`, or the first that can be read of those that stand in for it."""
        faults: dict[int, str] = {}
        for attempt in range(1, REPLACEMENTS + 2):
            if index not in faults:
                try:
                    return index, self.read(index), tuple(faults.values())
                except PictureError as fault:
                    self._count(index, fault)
                    faults[index] = str(fault)
            index = keyed_hash(self.seed, epoch, image_id, attempt) % len(self.split)
        raise InputError(f"{next(iter(faults.values()))} (and {REPLACEMENTS} pictures tried in its place)")

    def _count(self, index: int, fault: PictureError) -> None:
        """Raises the fault of the picture at `index` where it may not be skipped, or is one too many."""
        rules = self.split.rules
        if not self.substitute or rules.strict or isinstance(fault, AnimationError):
            raise fault
        self._unreadable[index] = True
        count = int(self._unreadable.sum())
        if count > allowed_skips(len(self), rules.max_skip):
            raise InputError(f"{fault}; {too_many(count, len(self), 'pictures', rules)}, if no more follow [D41]")


def collate(samples: Sequence[Sample[Target]], size: int = 0) -> Batch[Target]:
    """A batch whose images lie in memory as channels_last, as they were decoded; up to `size` of them are filling."""
    images = [sample.image.permute(1, 2, 0) for sample in samples]
    images += images[-1:] * (size - len(samples))
    targets = [sample.target for sample in samples]
    skipped = tuple(line for sample in samples for line in sample.skipped)
    return Batch(torch.stack(images).permute(0, 3, 1, 2), targets, [sample.info for sample in samples], skipped)


def collate_filled(samples: Sequence[Sample[Target]], fill: Mapping[Size, int]) -> Batch[Target]:
    """A batch filled up with its last image; infos tell how many count. Without samples all of it is black filling.

    fill: (H, W) of the images -> how many a batch of them has.
    """
    if samples:
        shape = samples[0].image.shape
        return collate(samples, fill[shape[1], shape[2]])
    smallest = min(fill)
    return Batch(torch.zeros(fill[smallest], 3, *smallest, dtype=torch.uint8), [], [])
