"""The Lightning data module: which pictures, in which order, loaded by whom."""

from collections.abc import Collection
from functools import partial
from typing import Any, cast

import lightning as L
from lightning.pytorch.loops.progress import _ProcessedTracker as ProcessedTracker
from torch.utils.data import DataLoader

from densenets.data.dataset import DetectionDataset, DetectionSplit
from densenets.data.loading import Watched, build_loader, worker_count
from densenets.data.samples import KeyedDataset, Size, collate_filled
from densenets.data.sampling import EvalBatches, KeyedBatchSampler
from densenets.data.transforms import build_augmentation

Samples = KeyedDataset[Any, Any]


class DataModule(L.LightningDataModule):
    """Loaders for training and validation, whatever the task; the shards of several processes are cut here, not by
    Lightning.

    training: samples of one size of image, which may stand in for each other; None where nothing is trained.
    validation: samples of any sizes; a batch holds images of one size. eval_batch: how many, `batch_size` where None.
    """

    def __init__(
        self,
        training: Samples | None,
        validation: Samples,
        batch_size: int,
        workers: int,
        seed: int,
        eval_batch: int | None = None,
    ) -> None:
        super().__init__()
        self.training, self.validation = training, validation
        self.batch_size, self.workers, self.seed = batch_size, worker_count(workers), seed
        self.eval_batch = eval_batch or batch_size
        self.timeout = 0.0  # seconds to wait for a loading process, 0: for ever
        self.leave_out: Collection[int] = ()  # indices of the validation split that were judged already
        self.watched: list[Watched] = []

    def batches(self, world_size: int) -> int:
        """Training batches of one epoch on each of `world_size` processes."""
        return len(self._order(world_size))

    def images_of_a_step(self, world_size: int) -> int:
        """Images that each process takes at once: fewer than the batch size where there are no more."""
        return self._order(world_size).batch_size

    def train_dataloader(self) -> DataLoader[Any]:
        assert self.training is not None
        rank, world = self._place()
        return self._loader(self.training, batch_sampler=self._order(world, rank))

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of the same shapes whatever the number of processes, filled up by `collate_filled`: what a model says
        of an image may depend on the shape of its batch, but on nothing else in it."""
        batches = EvalBatches(self.validation.image_sizes(), self.eval_batch)
        shard = batches.of(*self._place(), self.leave_out)
        return self._loader(self.validation, batch_sampler=shard, join=partial(collate_filled, fill=batches.fill))

    def _order(self, world_size: int, rank: int = 0) -> KeyedBatchSampler:
        assert self.training is not None
        return KeyedBatchSampler(len(self.training), self.batch_size, self.seed, self._position, rank, world_size)

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

    def _loader(self, dataset: Samples, **order: Any) -> DataLoader[Any]:
        self.watched.append(Watched(dataset, self.workers))
        return build_loader(self.watched[-1], self.workers, self.timeout, **order)

    def at_work(self) -> str:
        """The pictures that the loading processes were at when last heard of."""
        return ", ".join(filter(None, (watched.at_work() for watched in self.watched))) or "unknown"


def detection_data(
    train: DetectionSplit | None,
    val: DetectionSplit,
    canvas: Size,
    recipe: str,
    batch_size: int,
    workers: int,
    seed: int,
    keep_ratio: bool = False,
) -> DataModule:
    """canvas: (H, W) px. recipe: word of augmentation for training; validation only resizes. keep_ratio: of the
    pictures, which then fill the canvas only in part."""

    def dataset(split: DetectionSplit, word: str, substitute: bool) -> DetectionDataset:
        return DetectionDataset(
            split, build_augmentation(word, canvas, keep_ratio), canvas, seed, substitute, keep_ratio
        )

    training = None if train is None else dataset(train, recipe, True)
    validation = dataset(val, "none", False)
    return DataModule(training, validation, batch_size, workers, seed)
