"""Latency of one picture at batch 1, from its pixels in memory to boxes or classes in its own px, and of its parts.

What is timed is what `predict` does with a picture (`run.prediction.detect` and `segment`). Its parts: "pre" brings the
picture to the canvas and to floats in [0, 1]; "network" is the net, of a two-stage detector both stages with what lies
between them; "post" is all behind it: scores, boxes, NMS, file px; or logits to the file's size and the best class.
"""

import contextlib
import gc
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from densenets.analysis.profile.parts import followed, seams
from densenets.build import ModelDescription
from densenets.errors import printable
from densenets.heads import task_of
from densenets.run.prediction import detect, segment

log = logging.getLogger(__name__)
Models = Mapping[str, tuple[nn.Module, ModelDescription]]
THRESHOLD = 0.3  # of scores, as `predict` has it
DRIFT = 0.1  # a change of the median within a measurement, from which it is told
BUSY = 0.9  # cores that the process had, below which it is told
WARMUP = 10  # rounds that do not count
TAIL = 100  # rounds, below which the slowest of a hundred is a guess
SEED = 0


class Took(NamedTuple):
    """Seconds of one picture. processor: that the process had cores for, all threads together."""

    total: float
    pre: float
    network: float
    post: float
    processor: float


def look(model: nn.Module, description: ModelDescription, picture: np.ndarray, device: torch.device) -> None:
    """One prediction of a picture (H, W, 3) uint8. A segmenter sees it at the description's canvas."""
    if task_of(description.head) == "detection":
        detect(model, picture, device, THRESHOLD, "picture")
    else:
        segment(model, picture, device, "picture", description.canvas)


def latencies(
    models: Models,
    images: Sequence[np.ndarray],
    rounds: int = 100,
    threads: int = 1,
    *,
    warmup: int = WARMUP,
    device: torch.device | None = None,
) -> dict[str, dict[str, float]]:
    """Of each model "p50", "p90" and, of TAIL rounds or more, "p99" of a picture in ms, the medians of its parts "pre",
    "network" and "post", and what tells whether to trust them: "drift", by how much the median of the last third of the
    rounds exceeds that of the first, as a part of it; "cores", as many as the process had on average while the clock
    ran, on a quiet machine hardly less than 1.

    A round times every model once on the same picture, so that a machine that slows down slows all of them, each round
    in another order, so that none always follows the same one; `doubts` are logged as warnings. images: (H, W, 3)
    uint8, taken in turn. models: in evaluation mode on `device` (the processor where not given). threads: of the
    processor.

    Raises DivergedError for a model whose outputs are not finite.
    """
    with so_many_threads(threads):
        taken = timings(models, images, rounds, warmup, device or torch.device("cpu"))
    found = {name: _summary(rows) for name, rows in taken.items()}
    for line in doubts(found):
        log.warning("warning: %s", line)
    return found


def timings(
    models: Models, images: Sequence[np.ndarray], rounds: int, warmup: int, device: torch.device
) -> dict[str, list[Took]]:
    """One row a round; see `latencies`."""
    names = list(models)
    taken: dict[str, list[Took]] = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        watches = {name: Watch(device) for name in names}
        for name, (model, _) in models.items():
            stack.enter_context(seams(model, watches[name].pass_by))
        stack.enter_context(_no_collection())
        order, begun = np.random.default_rng(SEED), time.perf_counter()
        for turn in range(warmup + rounds):
            if turn and turn == warmup:  # a bar that moves would take time from what is measured
                seconds = (time.perf_counter() - begun) / warmup * rounds
                log.info("%d rounds of %d models will take about %.0f s", rounds, len(names), seconds)
            for name in (names[at] for at in order.permutation(len(names))):
                took = watches[name].time(*models[name], images[turn % len(images)])
                if turn >= warmup:
                    taken[name].append(took)
    return taken


class Watch:
    """Times the predictions of one model."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.times: list[float] = []

    def pass_by(self, place: str = "") -> None:
        self.times.append(now(self.device))

    def time(self, model: nn.Module, description: ModelDescription, picture: np.ndarray) -> Took:
        self.times, processor = [], time.process_time()
        self.pass_by()
        look(model, description, picture, self.device)
        self.pass_by()
        start, begun, through, end = self.times
        return Took(end - start, begun - start, through - begun, end - through, time.process_time() - processor)


def now(device: torch.device) -> float:
    """Seconds, once the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _summary(rows: Sequence[Took]) -> dict[str, float]:
    total, pre, network, post, processor = np.array(rows).T
    ranks = (50, 90, 99) if len(rows) >= TAIL else (50, 90)
    seconds = {f"p{rank}": float(np.percentile(total, rank)) for rank in ranks}
    seconds |= {name: float(np.median(part)) for name, part in (("pre", pre), ("network", network), ("post", post))}
    figures = {name: value * 1e3 for name, value in seconds.items()}
    return {**figures, "drift": _drift(total), "cores": float(processor.sum() / total.sum())}


def _drift(total: np.ndarray) -> float:
    third = max(1, len(total) // 3)
    return float(np.median(total[-third:]) / np.median(total[:third]) - 1)


def doubtful(latency: Mapping[str, float]) -> bool:
    """Whether it is not to be trusted: a drift beyond DRIFT, a core that others had too."""
    return _drifts(latency) or _shared(latency)


def _drifts(latency: Mapping[str, float]) -> bool:
    return abs(latency.get("drift", 0)) > DRIFT


def _shared(latency: Mapping[str, float]) -> bool:
    return latency.get("cores", 1) < BUSY


def doubts(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A line for each reason why a latency is `doubtful`."""
    lines = []
    for name, latency in found.items():
        if _drifts(latency):
            lines.append(
                f"{printable(name)}: the last third of the rounds took {latency['drift']:+.0%} against the first: the "
                "machine changes its speed; measure again on a cool and quiet one"
            )
        if _shared(latency):
            lines.append(
                f"{printable(name)}: the process had a core for {latency['cores']:.0%} of the time only: others use "
                "the machine; measure again on a quiet one"
            )
    return lines


def shares(model: nn.Module, image: torch.Tensor, rounds: int = 10) -> dict[str, float]:
    """The part of a prediction's time that each part of the model takes; together 1. Medians over the rounds, two more
    to warm up.

    image: (1, 3, H, W) as the model takes it. The clock is read at every layer, so that these are no latencies.
    """
    rows = [_spent(model, image) for _ in range(rounds + 2)][2:]
    medians = {name: float(np.median([row.get(name, 0.0) for row in rows])) for name in rows[0]}
    return {name: seconds / sum(medians.values()) for name, seconds in medians.items()}


def _spent(model: nn.Module, image: torch.Tensor) -> dict[str, float]:
    spent: dict[str, float] = {}
    at = ("", now(image.device))

    def enter(part: str) -> None:
        nonlocal at
        time = now(image.device)
        spent[at[0]] = spent.get(at[0], 0.0) + time - at[1]
        at = (part, now(image.device))

    with torch.inference_mode(), followed(model, enter):
        model(image)
        enter("")
    spent.pop("")
    return spent


@contextlib.contextmanager
def so_many_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Python's collector does not go through all that was imported while a clock runs."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
