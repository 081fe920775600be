"""When another process dies, ends or hangs: one line that says which, in place of a library's traceback."""

import contextlib
import multiprocessing
import os
import re
import time
from collections.abc import Iterator
from typing import Any

import lightning as L
import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback

from densenets.data.module import DataModule
from densenets.errors import DensenetsError, Stopped, WorkerError, printable
from densenets.training.together import distributed

LOADING = re.compile(r"DataLoader (worker|timed out)")
MEMORY = re.compile(r"shared memory|No space left on device|bus error", re.IGNORECASE)
PEERS = re.compile(r"gloo|nccl|connection (closed|reset)|timed? ?out|store|socket", re.IGNORECASE)
ENDED = "densenets/ended"
PATIENCE = 15.0  # seconds


@contextlib.contextmanager
def telling_of_the_dead(data: DataModule, trainer: L.Trainer) -> Iterator[None]:
    """WorkerError (exit code 1) where a loading process or another process of the training is gone or hangs; where
    that one ended with a fault of its own, with that one's exit code."""
    try:
        yield
    except Exception as fault:
        told = _in_words(fault, data)
        if not trainer.is_global_zero:
            _let_the_first_go(trainer, told)
        if told is fault:
            raise
        raise told from fault


class HeedTheOthers(Callback):
    """Ends this process soon after another one ended with a fault, in a validation, where the next word between them
    may be far off; a step of training has one of its own."""

    def on_validation_batch_end(self, *_: Any) -> None:
        if distributed() and (code := _code_of_another()):
            raise _ended(code)


def _in_words(fault: Exception, data: DataModule) -> Exception:
    if not isinstance(fault, RuntimeError):
        return fault
    for child in multiprocessing.active_children():  # one that hangs outside of Python hears no SIGTERM
        child.kill()
    line = next(iter(str(fault).strip().splitlines()), "")
    if LOADING.search(str(fault)) and MEMORY.search(str(fault)):
        return WorkerError(f"shared memory is full: {line}; fewer --workers need less [T22]")
    if LOADING.search(str(fault)):
        code = "T20" if "timed out" in line else "T19"
        return WorkerError(f"a loading process died or hangs: {line}; at work on: {data.at_work()} [{code}]")
    if distributed() and PEERS.search(str(fault)):
        if code_of_another := _code_of_another():
            return _ended(code_of_another)
        words = line.partition("]")[2] or line  # in front stands a place in the library's source
        return WorkerError(f"another process is gone: {printable(words.partition('.')[0].strip())} [T23]")
    return fault


def _ended(code: int) -> WorkerError:
    fault = WorkerError("another process ended with the fault that stands above [T23]")
    fault.exit_code = code
    return fault


def _code_of_another() -> int:
    """The exit code that another process said it ends with; 0 where none did, or where nobody can tell any more."""
    try:
        store = dist.distributed_c10d._get_default_store()
        return int(store.get(ENDED)) if store.check([ENDED]) else 0
    except RuntimeError:
        return 0


def _let_the_first_go(trainer: L.Trainer, fault: Exception) -> None:
    """Lightning kills the process that started the others as soon as one of them ends with a code other than 0. So
    what ends all of them ends that one first; and of a fault that is this one's own it is told, which it hears of in
    `HeedTheOthers` or, where it waits for this one, by the connection closing."""
    if distributed() and not isinstance(fault, Stopped):
        code = fault.exit_code if isinstance(fault, DensenetsError) else 1
        with contextlib.suppress(RuntimeError):  # the first one may be gone already
            dist.distributed_c10d._get_default_store().set(ENDED, str(code))
            if dist.get_backend() == "gloo":
                dist.destroy_process_group()
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if not isinstance(environment, LightningEnvironment):  # torchrun or SLURM started all of them
        return
    first, end = os.getppid(), time.monotonic() + PATIENCE
    while os.getppid() == first and time.monotonic() < end:
        time.sleep(0.05)
