"""Which image comes when: a function of the seed and of how far the training is, never of state."""

import struct
from collections.abc import Callable, Iterator
from hashlib import blake2b

import numpy as np

Key = tuple[int, int]  # (epoch, index of the image)


class KeyedBatchSampler:
    """Training batches of one process: every rank gets the same number of them, each full.

    position: how many batches this training has taken so far; asked when an iterator is made, which then gives the
    rest of that epoch. Nothing is remembered, so a resumed run continues as an unbroken one would.
    What does not fill a batch on every rank is left out of that epoch; a set smaller than one such batch gives one
    batch of what there is, and with fewer images than ranks some images go to several.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        position: Callable[[], int],
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
        epoch, done = divmod(self.position(), self.batches)
        return self._rest(epoch, done)

    def _rest(self, epoch: int, done: int) -> Iterator[list[Key]]:
        every = self.batch_size * self.world_size
        order = np.resize(epoch_order(self.length, self.seed, epoch), self.batches * every)
        mine = order.reshape(self.batches, self.batch_size, self.world_size)[:, :, self.rank]
        for batch in mine[done:].tolist():
            yield [(epoch, index) for index in batch]


class EvalSampler:
    """Every image once over all ranks, without padding: shards may differ by one in length. Keys of epoch 0."""

    def __init__(self, length: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices = range(rank, length, world_size)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Key]:
        return ((0, index) for index in self.indices)


def keyed_hash(*numbers: int) -> int:
    """The first 8 bytes of blake2b over the numbers (each a signed 64 bit): the same everywhere, in every process."""
    return int.from_bytes(blake2b(struct.pack(f"<{len(numbers)}q", *numbers)).digest()[:8], "little")


def epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """(length,) the images in the order of an epoch."""
    return np.random.default_rng(keyed_hash(seed, epoch)).permutation(length)
