"""The Lightning data module: which pictures, in which order, loaded by whom."""

import os
from collections.abc import Callable
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.loops.progress import _ProcessedTracker as ProcessedTracker
from torch.utils.data import DataLoader

from densenets.data.dataset import DetectionDataset, DetectionSplit, collate
from densenets.data.sampling import EvalSampler, KeyedBatchSampler
from densenets.data.transforms import build_augmentation


def worker_count(asked: int) -> int:
    """-1: one a core that torch does not need: half of them on a CPU-only machine, 8 at most."""
    if asked >= 0:
        return asked
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores if torch.cuda.is_available() else max(1, cores // 2))


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

    def batches(self, world_size: int) -> int:
        """Training batches of one epoch on each of `world_size` processes."""
        assert self.train is not None
        return len(KeyedBatchSampler(len(self.train), self.batch_size, self.seed, lambda: 0, 0, world_size))

    def train_dataloader(self) -> DataLoader[Any]:
        assert self.train is not None
        augmentation = build_augmentation(self.recipe, self.canvas)
        dataset = DetectionDataset(self.train, augmentation, self.canvas, self.seed, substitute=True)
        rank, world = self._place()
        sampler = KeyedBatchSampler(
            len(dataset), self.batch_size, self.seed, self._position_of(lambda: len(sampler)), rank, world
        )
        return self._loader(dataset, batch_sampler=sampler)

    def val_dataloader(self) -> DataLoader[Any]:
        augmentation = build_augmentation("none", self.canvas)
        dataset = DetectionDataset(self.val, augmentation, self.canvas, self.seed, substitute=False)
        return self._loader(dataset, sampler=EvalSampler(len(dataset), *self._place()), batch_size=self.batch_size)

    def _position_of(self, batches: Callable[[], int]) -> Callable[[], int]:
        """How many batches the training has taken when an epoch's iterator is made.

        `processed`, not `current_epoch`: of a resumed run that one is still an epoch behind at this moment.
        """
        if self.trainer is None:
            return lambda: 0
        loop = self.trainer.fit_loop
        return lambda: cast(ProcessedTracker, loop.epoch_progress.current).processed * batches()

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _loader(self, dataset: DetectionDataset, **order: Any) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            num_workers=self.workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
            **order,
        )
