"""Which image comes when: a function of the seed and of how far the training is, never of state."""

import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from hashlib import blake2b
from itertools import groupby

import numpy as np

Key = tuple[int, int]  # (epoch, index of the image)


class KeyedBatchSampler:
    """Training batches of one process: every rank gets the same number of them, each full.

    position: the epoch that this training is in and how many of its batches it has taken; asked when an iterator is
    made, which then gives the rest of that epoch. Nothing is remembered: a resumed run continues as an unbroken one.
    What does not fill a batch on every rank is left out of that epoch; a set smaller than one such batch gives one
    batch of what there is, and with fewer images than ranks some images go to several.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        position: Callable[[], tuple[int, int]],
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.length, self.seed, self.position = length, seed, position
        self.rank, self.world_size = rank, world_size
        self.batch_size = min(batch_size, max(1, length // world_size))
        self.batches = max(1, length // (self.batch_size * world_size))

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self.batches

    def __iter__(self) -> Iterator[list[Key]]:
        return self._rest(*self.position())

    def _rest(self, epoch: int, done: int) -> Iterator[list[Key]]:
        every = self.batch_size * self.world_size
        order = np.resize(epoch_order(self.length, self.seed, epoch), self.batches * every)
        mine = order.reshape(self.batches, self.batch_size, self.world_size)[:, :, self.rank]
        for batch in mine[done:].tolist():
            yield [(epoch, index) for index in batch]


class EvalBatches:
    """Every image once over all ranks, without padding, in batches of one size of image each. Keys of epoch 0.

    Every rank gets as many batches, one at least: one that made a step less than another would leave it waiting.
    sizes: (H, W) of each image. fill: (H, W) -> how many images a batch of that size has at most; neither the ranks
    nor `leave_out`, the indices that need not come, change it.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], batch_size: int) -> None:
        self.sizes = sizes
        self.fill = {size: min(batch_size, count) for size, count in Counter(sizes).items()}

    def of(self, rank: int = 0, world_size: int = 1, leave_out: Collection[int] = ()) -> list[list[Key]]:
        """The batches of one rank; the last ones may be short or empty."""
        shards = self._shards(world_size, leave_out)
        longest = max(1, *map(len, shards))
        return shards[rank] + [[] for _ in range(longest - len(shards[rank]))]

    def _shards(self, world_size: int, leave_out: Collection[int]) -> list[list[list[Key]]]:
        left = set(leave_out)
        place = {size: number for number, size in enumerate(self.fill)}
        wanted = [index for index in range(len(self.sizes)) if index not in left]
        wanted.sort(key=lambda index: place[self.sizes[index]])  # stable: in order within one size
        return [self._cut(wanted[rank::world_size]) for rank in range(world_size)]

    def _cut(self, indices: list[int]) -> list[list[Key]]:
        batches: list[list[Key]] = []
        for size, group in groupby(indices, key=self.sizes.__getitem__):
            keys = [(0, index) for index in group]
            batches += [keys[first : first + self.fill[size]] for first in range(0, len(keys), self.fill[size])]
        return batches


def keyed_hash(*numbers: int) -> int:
    """The first 8 bytes of blake2b over the numbers (each a signed 64 bit): the same everywhere, in every process."""
    return int.from_bytes(blake2b(struct.pack(f"<{len(numbers)}q", *numbers)).digest()[:8], "little")


def epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """(length,) the images in the order of an epoch."""
    return np.random.default_rng(keyed_hash(seed, epoch)).permutation(length)
