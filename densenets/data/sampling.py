"""Which image comes when: a function of the seed and of how far the training is, never of state."""

import struct
from collections.abc import Callable, Collection, Iterator
from hashlib import blake2b

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


class EvalSampler:
    """Every image once over all ranks, without padding: shards may differ by one in length. Keys of epoch 0.

    leave_out: indices that need not come.
    """

    def __init__(self, length: int, rank: int = 0, world_size: int = 1, leave_out: Collection[int] = ()) -> None:
        left = set(leave_out)
        wanted = [index for index in range(length) if index not in left]
        self.indices = wanted[rank::world_size]
        self.longest = len(wanted[::world_size])  # shard of any rank

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Key]:
        return ((0, index) for index in self.indices)

    def in_batches(self, size: int) -> list[list[Key]]:
        """As many batches on every rank, one at least, the last ones short or empty: a rank that made a step less than
        another would leave it waiting."""
        keys = list(self)
        return [keys[first : first + size] for first in range(0, max(1, self.longest), size)]


def keyed_hash(*numbers: int) -> int:
    """The first 8 bytes of blake2b over the numbers (each a signed 64 bit): the same everywhere, in every process."""
    return int.from_bytes(blake2b(struct.pack(f"<{len(numbers)}q", *numbers)).digest()[:8], "little")


def epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """(length,) the images in the order of an epoch."""
    return np.random.default_rng(keyed_hash(seed, epoch)).permutation(length)
