"""Work shared out to processes that end with their parent, however it ends."""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

from densenets.errors import DensenetsError

J = TypeVar("J")
R = TypeVar("R")


@contextlib.contextmanager
def drawn_by_many(draw: Callable[[J], R], jobs: Sequence[J], workers: int) -> Iterator[Iterator[tuple[int, R]]]:
    """(number, draw(jobs[number])) of all jobs, in the order in which they are done; by this process if workers is 1.

    What `draw` raises is raised here.
    """
    if workers <= 1:
        yield ((number, draw(job)) for number, job in enumerate(jobs))
        return
    helpers, receivers = _start(draw, list(enumerate(jobs)), workers)
    try:
        yield _collect(receivers, len(jobs))
    finally:
        for helper in helpers:
            helper.terminate()
        for helper in helpers:
            helper.join()


def _start(draw: Callable, jobs: list[tuple[int, Any]], workers: int) -> tuple[list[BaseProcess], list[Connection]]:
    """Forked where that is possible: a fresh interpreter would import the caller's program once more."""
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    helpers: list[BaseProcess] = []
    receivers: list[Connection] = []
    for k in range(workers):
        receiver, sender = context.Pipe(duplex=False)
        receivers.append(receiver)
        helper = context.Process(target=_help, args=(draw, jobs[k::workers], sender, receivers), daemon=True)  # type: ignore[attr-defined]
        helper.start()
        sender.close()
        helpers.append(helper)
    return helpers, receivers


def _help(draw: Callable, jobs: list[tuple[int, Any]], sender: Connection, receivers: list[Connection]) -> None:
    """What a helper does. It keeps no end of a pipe that is its parent's, so that it cannot outlive it unseen."""
    for receiver in receivers:
        receiver.close()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        try:
            for number, job in jobs:
                sender.send((number, draw(job)))
        except BrokenPipeError:
            raise
        except Exception as error:
            sender.send((-1, error))


def _collect(receivers: list[Connection], count: int) -> Iterator[tuple[int, Any]]:
    left, done = list(receivers), 0
    while left:
        for receiver in cast(list[Connection], wait(left)):  # on Windows of another class
            try:
                number, result = receiver.recv()
            except EOFError:
                left.remove(receiver)
                continue
            if isinstance(result, Exception):
                raise result
            done += 1
            yield number, result
    if done < count:
        raise DensenetsError("a process that drew street scenes was killed; was there too little memory?")
