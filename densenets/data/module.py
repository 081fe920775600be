"""The Lightning data module: which pictures, in which order, loaded by whom."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.loops.progress import _ProcessedTracker as ProcessedTracker
from torch.utils.data import DataLoader

from densenets.contract import Batch
from densenets.data.dataset import DetectionDataset, DetectionSplit, Sample, collate
from densenets.data.loading import Watched, build_loader, worker_count
from densenets.data.sampling import EvalSampler, KeyedBatchSampler
from densenets.data.transforms import build_augmentation


class DetectionDataModule(L.LightningDataModule):
    """Loaders for training and validation; the shards of several processes are cut here, not by Lightning.

    canvas: (H, W) px. recipe: word of augmentation for training; validation only resizes.
    """

    def __init__(
        self,
        train: DetectionSplit | None,
        val: DetectionSplit,
        canvas: tuple[int, int],
        recipe: str,
        batch_size: int,
        workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.train, self.val, self.canvas, self.recipe = train, val, canvas, recipe
        self.batch_size, self.workers, self.seed = batch_size, worker_count(workers), seed
        self.timeout = 0.0  # seconds to wait for a loading process, 0: for ever
        self.leave_out: Collection[int] = ()  # indices of the validation split that were judged already
        self.watched: list[Watched] = []

    def batches(self, world_size: int) -> int:
        """Training batches of one epoch on each of `world_size` processes."""
        assert self.train is not None
        return len(KeyedBatchSampler(len(self.train), self.batch_size, self.seed, lambda: (0, 0), 0, world_size))

    def images_of_a_step(self, world_size: int) -> int:
        """Images that each process takes at once: fewer than the batch size where there are no more."""
        assert self.train is not None
        return KeyedBatchSampler(len(self.train), self.batch_size, self.seed, lambda: (0, 0), 0, world_size).batch_size

    def train_dataloader(self) -> DataLoader[Any]:
        assert self.train is not None
        augmentation = build_augmentation(self.recipe, self.canvas)
        dataset = DetectionDataset(self.train, augmentation, self.canvas, self.seed, substitute=True)
        rank, world = self._place()
        sampler = KeyedBatchSampler(len(dataset), self.batch_size, self.seed, self._position, rank, world)
        return self._loader(dataset, batch_sampler=sampler)

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of equal size whatever the number of processes, filled up by `collate_filled`: what a model says of
        an image may depend on the shape of its batch, but on nothing else in it."""
        augmentation = build_augmentation("none", self.canvas)
        dataset = DetectionDataset(self.val, augmentation, self.canvas, self.seed, substitute=False)
        size = min(self.batch_size, len(dataset))
        batches = EvalSampler(len(dataset), *self._place(), self.leave_out).in_batches(size)
        return self._loader(dataset, batch_sampler=batches, join=partial(collate_filled, size=size, canvas=self.canvas))

    def _position(self) -> tuple[int, int]:
        """(epoch, batches taken of it) when an epoch's iterator is made.

        `processed`, not `current_epoch`: of a resumed run that one is still behind at this moment. Between two epochs
        the batches counted are still those of the one before.
        """
        if self.trainer is None:
            return 0, 0
        epochs = cast(ProcessedTracker, self.trainer.fit_loop.epoch_progress.current)
        batches = cast(ProcessedTracker, self.trainer.fit_loop.epoch_loop.batch_progress.current)
        return epochs.processed, batches.processed if epochs.started > epochs.processed else 0

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _loader(self, dataset: DetectionDataset, **order: Any) -> DataLoader[Any]:
        self.watched.append(Watched(dataset, self.workers))
        return build_loader(self.watched[-1], self.workers, self.timeout, **order)

    def at_work(self) -> str:
        """The pictures that the loading processes were at when last heard of."""
        return ", ".join(filter(None, (watched.at_work() for watched in self.watched))) or "unknown"


def collate_filled(samples: Sequence[Sample], size: int, canvas: tuple[int, int]) -> Batch:
    """A batch of `size` images, filled up with the last one (black where there is none); infos tell how many count."""
    if not samples:
        return Batch(torch.zeros(size, 3, *canvas, dtype=torch.uint8), [], [])
    batch = collate([*samples, *[samples[-1]] * (size - len(samples))])
    return batch._replace(targets=batch.targets[: len(samples)], infos=batch.infos[: len(samples)])
