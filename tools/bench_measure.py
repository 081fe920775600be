"""How the bench measures: sides that take turns, peak memory in a process of its own, rows of a table."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

Action = Callable[[], object]
BENCH = Path(__file__).with_name("bench.py")


class Took(NamedTuple):
    """Medians over the rounds, seconds. system: of all threads, inside the system: most of it hands out pages anew."""

    seconds: float
    system: float


def take_turns(rounds: int, *actions: Action) -> list[Took]:
    """Each action once a round, after two rounds to warm up."""
    times: list[list[Took]] = [[] for _ in actions]
    for turn in range(rounds + 2):
        for action, own in zip(actions, times, strict=True):
            started, system = time.perf_counter(), os.times().system
            action()
            if turn >= 2:
                own.append(Took(time.perf_counter() - started, os.times().system - system))
    return [Took(*map(statistics.median, zip(*own, strict=True))) for own in times]


def training_step(model: torch.nn.Module, losses: Callable[[], dict[str, Tensor]]) -> Action:
    """The losses, their gradient, a step of SGD."""
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        sum(losses().values()).backward()  # type: ignore[union-attr]
        optimizer.step()

    return step


def row(what: str, theirs: float, ours: float, unit: str = "ms", scale: float = 1e3) -> str:
    return f"| {what} | {theirs * scale:.1f} {unit} | {ours * scale:.1f} {unit} | {theirs / ours:.2f} |"


# Memory, by Linux's own account


def memory_row(what: str, job: str) -> str:
    """job: of a module's JOBS, which get 0 for the other's side and 1 for ours."""
    theirs, ours = (run_job(job, str(side)) for side in range(2))
    return row(what, theirs, ours, "MiB", 1)


def run_job(job: str, argument: str) -> float:
    """MiB that a job gives, in a process of its own."""
    command = [sys.executable, str(BENCH), "--job", job, argument]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])


def peak_of(action: Action) -> float:
    """MiB that three runs add to what the process holds before."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    before = resident("VmRSS")
    for _ in range(3):
        action()
    return resident("VmHWM") - before


def resident(key: str) -> float:
    """MiB of this process. key: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(key)).split()[1]) / 1024
