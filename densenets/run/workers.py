"""When another process dies or hangs: one line that says which, in place of a library's traceback."""

import contextlib
import multiprocessing
import re
from collections.abc import Iterator

from densenets.data.module import DetectionDataModule
from densenets.errors import WorkerError, printable
from densenets.training.together import distributed

LOADING = re.compile(r"DataLoader (worker|timed out)")
MEMORY = re.compile(r"shared memory|No space left on device|bus error", re.IGNORECASE)
PEERS = re.compile(r"gloo|nccl|connection (closed|reset)|timed? ?out|store|socket", re.IGNORECASE)


@contextlib.contextmanager
def telling_of_the_dead(data: DetectionDataModule) -> Iterator[None]:
    """WorkerError (exit code 1) where a loading process or another process of the training is gone or hangs."""
    try:
        yield
    except RuntimeError as fault:
        for child in multiprocessing.active_children():  # one that hangs outside of Python hears no SIGTERM
            child.kill()
        line = next(iter(str(fault).strip().splitlines()), "")
        if LOADING.search(str(fault)) and MEMORY.search(str(fault)):
            raise WorkerError(f"shared memory is full: {line}; fewer --workers need less [T22]") from fault
        if LOADING.search(str(fault)):
            code = "T20" if "timed out" in line else "T19"
            raise WorkerError(
                f"a loading process died or hangs: {line}; at work on: {data.at_work()} [{code}]"
            ) from fault
        if distributed() and PEERS.search(str(fault)):
            words = line.partition("]")[2] or line  # in front stands a place in the library's source
            told = printable(words.partition(".")[0].strip())
            raise WorkerError(f"another process is gone: {told} [T23]") from fault
        raise
