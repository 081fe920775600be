"""The processes that load pictures: how many, how they take signals, what they are at, and the memory they need."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from densenets.contract import Batch
from densenets.data.cores import cores
from densenets.data.samples import KeyedDataset, Sample, collate
from densenets.errors import InputError, printable

SHARED = "/dev/shm"  # where batches pass from process to process
PREFETCH = 2  # batches that each process holds ready
GRACE = 30  # seconds that a loading process lives on after SIGTERM: its training still finishes a step


def worker_count(asked: int) -> int:
    """-1: one a core that torch does not need: half of them on a CPU-only machine, 8 at most."""
    if asked >= 0:
        return asked
    return min(8, cores() if torch.cuda.is_available() else max(1, cores() // 2))


def outlive_signals(_: int = 0) -> None:
    """A terminal or a batch system signals the whole group of processes, but the step at hand still needs its batch."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))  # SIGALRM's own action ends the process
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    parent, told = os.getppid(), sys.excepthook
    sys.excepthook = lambda *fault: told(*fault) if os.getppid() == parent else None  # of a killed one nobody asks


class Watched(Dataset[Sample[Any]]):
    """A dataset that notes, in memory shared by all processes, which picture each of them is at.

    at: (processes, 2) int64 epoch and index, -1 before the first.
    """

    def __init__(self, dataset: KeyedDataset[Any, Any], workers: int) -> None:
        self.dataset = dataset
        self.at: Tensor = torch.full((max(1, workers), 2), -1, dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Sample[Any]:
        worker = get_worker_info()
        self.at[worker.id if worker else 0] = torch.tensor(key)
        return self.dataset[key]

    def at_work(self) -> str:
        """The pictures in hand, for an error that says who died over what; empty where no process has begun."""
        rows = [(number, index) for number, (_, index) in enumerate(self.at.tolist()) if index >= 0]
        files = self.dataset.split.files
        return ", ".join(f"{printable(files[index])} (process {number})" for number, index in rows)


def build_loader(
    dataset: Watched, workers: int, timeout: float, join: Callable[..., Batch[Any]] = collate, **order: Any
) -> DataLoader[Any]:
    """timeout: seconds to wait for a batch of a loading process, 0: for ever. join: makes a batch of samples."""
    return DataLoader(
        dataset,
        num_workers=workers,
        collate_fn=join,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        prefetch_factor=PREFETCH if workers else None,
        timeout=timeout if workers else 0,
        worker_init_fn=outlive_signals,
        **order,
    )


def check_room(workers: int, batch_size: int, canvas: tuple[int, int]) -> None:
    """InputError where the batches that loading processes hold ready do not fit into shared memory."""
    if not workers or not Path(SHARED).is_dir():
        return
    needed = workers * PREFETCH * batch_size * canvas[0] * canvas[1] * 3
    space = os.statvfs(SHARED)
    free = space.f_bavail * space.f_frsize
    if needed > free:
        raise InputError(
            f"{SHARED}: {needed >> 20} MiB needed for batches of {workers} loading processes, {free >> 20} MiB free; "
            "fewer --workers or a smaller --batch-size need less [T22]"
        )
