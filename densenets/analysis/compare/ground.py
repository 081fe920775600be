"""What all cells stand on, looked at before the first of them trains: the data, every net, every file of weights."""

import contextlib
import json
import logging
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from densenets.analysis.compare.grid import Plan, judging_words, names_data, settings_of
from densenets.build import ModelDescription, build_from, canvas_of
from densenets.command_line import parse
from densenets.config import Compare, EvalDetection, EvalSegmentation, TrainDetection
from densenets.data.cores import cores
from densenets.data.loading import check_room
from densenets.errors import InputError, Problems, printable
from densenets.files import file_name, free_name
from densenets.run.detection import Detection
from densenets.run.evaluation import RESULTS, earlier_data, read_results
from densenets.run.folder import find_checkpoint, name_of, run_of
from densenets.run.kind import Kind
from densenets.run.model import load
from densenets.run.resume import fingerprint
from densenets.run.segmentation import Segmentation
from densenets.run.trainer import refuse_bad_trainer
from densenets.run.training import description_of
from densenets.storage import sha256
from densenets.training.durable import read_checkpoint

KINDS = {"detection": Detection, "segmentation": Segmentation}
EVALUATIONS: dict[str, Any] = {"detection": EvalDetection, "segmentation": EvalSegmentation}
SHOWN = 8  # classes
log = logging.getLogger(__name__)


class UnfitWeights(InputError):
    """A file of --pretrained, which the message names, is not of its net."""


@dataclass
class Ground:
    """judged: the split that all are judged on; source: how results name it. digests: of every split, by its part. val:
    the split that checkpoints are chosen by; None where nothing is trained."""

    judged: Any
    source: dict[str, Any]
    digests: dict[str, str]
    val: Any = None

    def refuse_damaged(self) -> None:
        """Reads every picture and mask that cells are judged on, in full. Raises InputError, a line for each fault: no
        cell gets past them, and the first would tell after hours."""
        problems = Problems()
        with ThreadPoolExecutor(cores()) as pool:
            for split in [self.judged] if self.val in (None, self.judged) else [self.val, self.judged]:
                read, screen = pool.map(partial(_fault_of, split), range(len(split))), Console(stderr=True)
                for line in track(read, "pictures that are judged", len(split), console=screen, transient=True):
                    if line:
                        problems.add(line)
        problems.refuse()


@dataclass
class StandIn:
    """A checkpoint in place of a training. recipe: of its training, without the seed; seed: None where unknown."""

    given: str
    file: Path
    description: ModelDescription
    recipe: dict[str, Any]
    seed: int | None
    epochs: int | None
    data: dict[str, Any] | None


def _fault_of(split: Any, index: int) -> str:
    try:
        split.picture(index)
        if hasattr(split, "truth"):
            split.truth(index)
    except InputError as fault:
        return str(fault)
    return ""


def read_stand_ins(places: Sequence[str]) -> list[StandIn]:
    """Raises InputError for whatever is no checkpoint of a model."""
    found = []
    for place in dict.fromkeys(places):
        file = find_checkpoint(place)
        _, description = load(place)
        origin = read_checkpoint(file).get("origin")
        recipe = dict(origin) if isinstance(origin, dict) else {}
        results = read_results(run / RESULTS) if (run := run_of(file)) else {}
        seed = _whole(recipe.pop("seed", results.get("seed")))
        epochs = _whole(recipe.get("epochs", results.get("epochs")))
        found.append(StandIn(place, file, description, recipe, seed, epochs, earlier_data(place)))
    return found


def _whole(value: object) -> int | None:
    return value if type(value) is int else None


def open_ground(
    settings: Compare, training: Any, plans: Sequence[Plan], others: Sequence[StandIn], task: str
) -> Ground:
    """The data, opened once, and everything that a cell could be refused for. Raises InputError."""
    kind: Kind = KINDS[task]()
    trained = [plan for plan in plans if plan.checkpoint is None]
    if not trained:
        judged, source = _open_as(settings, training, kind, others[0])
        return Ground(judged, source, {"judged data": fingerprint(judged)})
    refuse_bad_trainer(training)
    train, val = kind.open_training(training)
    _try_models(kind, training, trained, train, val)
    judged, source = val, kind.judged_on(training)
    if settings.split not in (None, training.val_split):
        judged, source = _open_judged(settings, training, kind, train.classes)
    splits = {"train data": train, "val data": val, "judged data": judged}
    return Ground(judged, source, {name: fingerprint(split) for name, split in splits.items()}, val)


def data_words(training: Any) -> list[str]:
    """Flags of eval-det or eval-seg that name the data of a training."""
    if isinstance(training, TrainDetection) and training.val_annotations is not None:
        return [f"--annotations={training.val_annotations}", f"--images={training.val_images}"]
    return [f"--data={training.data}"]


def _open_as(settings: Compare, training: Any, kind: Kind, other: StandIn) -> tuple[Any, dict[str, Any]]:
    """The split with the classes of a checkpoint; where it cannot be read so for classes of its own, that is told."""
    try:
        return _open_judged(settings, training, kind, other.description.classes)
    except InputError as fault:
        there: list[str] = []
        with contextlib.suppress(InputError):
            there = list(_open_judged(settings, training, kind, None)[0].classes)
        if {*there} <= {*other.description.classes}:
            raise
        raise InputError(_strange(other, training, there)) from fault


def _open_judged(
    settings: Compare, training: Any, kind: Kind, classes: Sequence[str] | None
) -> tuple[Any, dict[str, Any]]:
    if isinstance(training, TrainDetection) and training.val_annotations and settings.split is not None:
        raise InputError("--split: goes with --data: of annotation files there is one to judge by")
    words = [*judging_words(settings, training), *data_words(training)]
    return kind.open_judged(parse(EVALUATIONS[kind.task], words, "compare"), None, classes)


def refuse_other_classes(ground: Ground, training: Any, others: Sequence[StandIn]) -> None:
    """Models that know other classes than the data, or in another order, cannot be compared."""
    problems = Problems()
    for other in others:
        if list(other.description.classes) != list(ground.judged.classes):
            problems.add(_strange(other, training, ground.judged.classes))
    problems.refuse()


def _strange(other: StandIn, training: Any, classes: Sequence[str]) -> str:
    place, known = printable(_place(training)), other.description.classes
    order = ", in another order" * (sorted(known) == sorted(classes))
    return f"--checkpoints: {printable(other.given)}: knows {_names(known)}; {place} has {_names(classes)}{order}"


def _place(training: Any) -> str:
    """Of the data that all are judged by, as it was given."""
    return str(getattr(training, "val_annotations", None) or training.data)


def _names(classes: Sequence[str]) -> str:
    more = [f"{len(classes) - SHOWN} more"] * (len(classes) > SHOWN)
    return ", ".join([*map(printable, classes[:SHOWN]), *more])


def _try_models(kind: Kind, training: Any, plans: Sequence[Plan], train: Any, val: Any) -> None:
    """Builds each model once: without memory, or with its weights where it starts from some."""
    lines = []
    for plan in {plan.model: plan for plan in plans}.values():
        try:
            _try_model(kind, settings_of(plan, training), train, val)
        except UnfitWeights as fault:
            lines.append(str(fault))
        except InputError as fault:
            lines.append(f"{plan.model}: {fault}")
    problems = Problems()
    for line in dict.fromkeys(lines):  # the same weights may be those of several models
        problems.add(line)
    problems.refuse()


def _try_model(kind: Kind, settings: Any, train: Any, val: Any) -> None:
    canvas_of(settings.size, "--sizes")
    description = description_of(settings, train)
    with torch.device("meta"):
        model: Any = build_from(description)
    if settings.weights is not None:
        model = _with_weights(description, settings.weights)
    model.backbone.freeze(settings.freeze_stages, settings.freeze_norm)
    data = kind.data(settings, train, val, description)
    model.check_batch(data.images_of_a_step(1))
    check_room(data.workers, data.batch_size, description.canvas)


def _with_weights(description: ModelDescription, weights: str) -> Any:
    try:
        return build_from(description, weights=weights)
    except InputError as fault:
        file, told = printable(weights), str(fault)
        told = told if told.startswith(file) else f"{file}: {told}"
        raise UnfitWeights(f"--pretrained: {description.backbone}={told}") from fault


def with_digests(plans: Sequence[Plan]) -> list[Plan]:
    """Each plan with the SHA-256 of the file that it starts from. Raises InputError where there is none."""
    digests: dict[str, str] = {}
    for place in {place for plan in plans if (place := plan.checkpoint or plan.weights)}:
        file = find_checkpoint(place)
        try:
            digests[place] = sha256(file)
        except OSError as fault:
            raise InputError(f"{printable(file)}: cannot be read: {fault.strerror}") from fault
    return [replace(plan, digest=digests.get(plan.checkpoint or plan.weights or "")) for plan in plans]


def plan_stand_ins(settings: Compare, training: Any, others: Sequence[StandIn], taken: Collection[str]) -> list[Plan]:
    """A cell for each checkpoint. Those that differ in their seed alone are one model, called like the first of them.

    taken: names that others have.
    """
    judged = [*judging_words(settings, training), *data_words(training)]
    plans: list[Plan] = []
    names: dict[str, str] = {}
    for other in others:
        name = free_name(file_name(name_of(other.file)), {*taken, *(plan.name for plan in plans)})
        shape = {key: value for key, value in other.description.plain().items() if key != "weights"}
        key = repr((shape, other.recipe, other.seed is None and name, not other.recipe and name))
        known = other.description
        plan = Plan(
            name=name,
            model=names.setdefault(key, name),
            seed=other.seed,
            backbone=known.backbone,
            head=known.head,
            width=known.width,
            size=list(known.canvas),
            weights=known.weights,
            epochs=other.epochs,
            words=[],
            judged=judged,
            checkpoint=other.given,
            padding=known.padding,
            normalize=known.normalize,
            recipe=json.loads(json.dumps(other.recipe, default=str)),
        )
        if any(one.model == plan.model and one.seed == plan.seed for one in plans):
            plan.model = name  # the same training twice is no second seed
        plans.append(plan)
    return plans


def words_of_data(words: Sequence[str], others: Sequence[StandIn]) -> list[str]:
    """Where no flag names data and checkpoints stand alone: the data that the first of them was judged on."""
    if names_data(words) or not others:
        return list(words)
    if not (known := others[0].data):
        raise InputError(
            f"--data is needed: {printable(others[0].given)} does not tell its data; --data FOLDER names them"
        )
    if known.get("annotations"):
        raise InputError("--data: a value is needed: the runs of these checkpoints had annotation files of their own")
    split = known.get("split")
    more = [f"--ignore-ids={known['ignore_ids']}"] if known.get("ignore_ids") else []
    return [*words, f"--data={known['data']}", *([f"--val-split={split}"] if split else []), *more]
