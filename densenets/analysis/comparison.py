"""The words of a comparison: what its cells left behind, as the ranking and the report take it.

A comparison is a grid of models, each trained from one or several seeds; a model with a seed is a cell. Everything here
is made of plain types, so that it travels as JSON (`to_plain`, `from_plain`).
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

EXACT = 9  # decimals of a score; numbers that are the same up to them are equal, however they were summed up
State = Literal["waiting", "running", "done", "failed"]


@dataclass
class Interval:
    """A number and the ends of its interval, where it would lie had other images been drawn, and of several seeds other
    ones; None: undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass
class Cell:
    """One training, or a checkpoint that stands in for it.

    folder: its run folder, as a path below the comparison's. seconds: of training. fault: the line it failed with.
    scores: the numbers of its results.json. curves: the rows of its metrics.csv. commands: that repeat it, by words.
    where: the machine and its load, as far as `seconds` depend on them; nothing where that is unknown. warnings: of its
    training, each once.
    """

    name: str
    model: str
    seed: int | None
    folder: str
    state: State
    seconds: float | None = None
    fault: str | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    curves: list[dict[str, Any]] = field(default_factory=list)
    commands: list[list[str]] = field(default_factory=list)
    where: str = ""
    warnings: list[str] = field(default_factory=list)


@dataclass
class Model:
    """One row of the ranking.

    canvas: height and width in px; measured: of the pictures that its costs and its latency are of, None: unknown. A
    segmenter is measured as it is judged, not at the size of its crops. weights: name of the file that its backbone
    started from; None: from scratch. scores: means over the seeds with intervals over images, of "AP", "AP50", ... or
    "mIoU", .... spread: of the seeds' numbers, (least, most), where there are several. per_class: likewise AP or IoU.
    error_types: AP50 that each kind of error costs, detection only. costs: "parameters", "madds", "file_bytes",
    "activation_bytes", "peak_bytes"; latency: "p50", "p90", "p99" in ms at batch 1 and the p50 of its parts "pre",
    "network", "post". rank: from 1; None where the model has no number. ties: names of the models whose difference to
    this one lies inside its interval. stands_in: its cells are checkpoints that the comparison did not train; same_as:
    names of cells whose checkpoint is one of these to the last bit, so that their numbers do not bear each other out.
    differs: what of their recipe is known to be other than the protocol, as the recipe has it. padding, normalize: the
    rules that the net sees its pictures by.
    """

    name: str
    task: str
    backbone: str
    head: str
    width: float
    canvas: tuple[int, int]
    weights: str | None
    cells: list[Cell]
    scores: dict[str, Interval] = field(default_factory=dict)
    spread: dict[str, tuple[float, float]] = field(default_factory=dict)
    per_class: dict[str, Interval] = field(default_factory=dict)
    error_types: dict[str, float] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    latency: dict[str, float] = field(default_factory=dict)
    rank: int | None = None
    ties: list[str] = field(default_factory=list)
    stands_in: bool = False
    differs: dict[str, Any] = field(default_factory=dict)
    padding: str = "torch"
    normalize: str = "imagenet"
    measured: tuple[int, int] | None = None
    same_as: list[str] = field(default_factory=list)


@dataclass
class Difference:
    """The number of `first` less that of `second`, on the same images and draws. tie: its interval holds 0."""

    first: str
    second: str
    difference: Interval
    tie: bool


@dataclass
class Picture:
    """One image seen by all: JPEG files below the comparison's folder. predictions: by the models' names. empty: names
    of the models that have no box to draw in it."""

    title: str
    truth: str
    predictions: dict[str, str]
    empty: list[str] = field(default_factory=list)


@dataclass
class Comparison:
    """All that the report shows.

    ranked_by: the score that the rank goes by ("AP" or "mIoU"). level: part of the draws inside an interval, such as
    0.95. draws: of the bootstrap. data, split: what was judged. protocol: what was equal for every cell, in words and
    numbers. machine: on which every latency here was measured; None where none was. commands: that repeat the whole, in
    the order they were given. produced_by: versions, as in results.json. boxes_from: the least score of a box in the
    pictures, of detection. colours: of the classes in the pictures, as "#rrggbb", of segmentation. uneven_classes:
    those that count in the mean of some cells alone: the truth has none, and others predict nothing of them. split_use:
    what else the split was to the trainings: "trained" on, "chosen" by, or nothing that is known.
    """

    task: str
    data: str
    split: str
    images: int
    classes: list[str]
    ranked_by: str
    level: float
    draws: int
    models: list[Model]
    differences: list[Difference]
    pictures: list[Picture]
    protocol: dict[str, Any]
    machine: dict[str, Any] | None
    commands: list[list[str]]
    produced_by: dict[str, Any]
    boxes_from: float | None = None
    colours: list[str] = field(default_factory=list)
    uneven_classes: list[str] = field(default_factory=list)
    split_use: str = ""

    @property
    def uneven_seeds(self) -> dict[str, list[int]]:
        """By models that were trained here: the seeds that are done, where not all have the same; else nothing."""
        found = {
            model.name: [cell.seed for cell in model.cells if cell.state == "done" and cell.seed is not None]
            for model in self.models
            if not model.stands_in
        }
        found = {name: seeds for name, seeds in found.items() if seeds}
        return found if len({frozenset(seeds) for seeds in found.values()}) > 1 else {}

    @property
    def seconds_compare(self) -> bool:
        """Whether all cells were trained under one load of one machine; their seconds have no place in a ranking
        else."""
        places = {cell.where for model in self.models for cell in model.cells if cell.seconds is not None}
        return len(places) == 1 and "" not in places

    def to_plain(self) -> dict[str, Any]:
        """Dicts, lists, numbers and text alone."""
        return asdict(self)

    @staticmethod
    def from_plain(content: dict[str, Any]) -> "Comparison":
        """The inverse of `to_plain`; of an older comparison, which knew its last `command` alone, too."""
        content = dict(content)
        if "command" in content:
            content["commands"] = [content.pop("command")]
        models = [_model(model) for model in content["models"]]
        differences = [
            Difference(**{**row, "difference": Interval(**row["difference"])}) for row in content["differences"]
        ]
        pictures = [Picture(**row) for row in content["pictures"]]
        return Comparison(**{**content, "models": models, "differences": differences, "pictures": pictures})


def _model(content: dict[str, Any]) -> Model:
    intervals = {
        name: {key: Interval(**value) for key, value in content[name].items()} for name in ("scores", "per_class")
    }
    spread = {name: (float(low), float(high)) for name, (low, high) in content["spread"].items()}
    sizes = {name: (int(size[0]), int(size[1])) for name in ("canvas", "measured") if (size := content.get(name))}
    cells = [Cell(**cell) for cell in content["cells"]]
    return Model(**{**content, **intervals, **sizes, "spread": spread, "cells": cells})
