"""The end of a comparison: scores with intervals, error types, costs, latency, pictures, the report. Each is stored."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from densenets.analysis.compare import protocol
from densenets.analysis.compare.gallery import choose, draw_cell, draw_truth
from densenets.analysis.compare.grid import RESULTS, Plan
from densenets.analysis.compare.ground import Ground
from densenets.analysis.compare.scoring import (
    OF_CLASS,
    RANKED_BY,
    SOURCE,
    from_plain,
    predictions_of,
    rank,
    samples_of,
    score,
)
from densenets.analysis.compare.stored import stored
from densenets.analysis.compare.supervisor import read_state
from densenets.analysis.compare.table import ranking
from densenets.analysis.comparison import Cell, Comparison, Model, Picture
from densenets.analysis.error_types import error_types
from densenets.analysis.profile import costs, latencies, machine
from densenets.analysis.profile.latency import WARMUP, doubtful
from densenets.analysis.report import write_report
from densenets.build import ModelDescription, canvas_of
from densenets.config import Compare
from densenets.data.decode import read_image
from densenets.errors import InputError
from densenets.run.device import device_of
from densenets.run.evaluation import read_results
from densenets.run.folder import Outcome, find_checkpoint, provenance, write_json
from densenets.run.model import load
from densenets.storage import sha256
from densenets.training.records import read_rows

TIMED = 8  # pictures that the latency is measured on
log = logging.getLogger(__name__)


@dataclass
class Work:
    """What an end is about: the flags, the trainings' settings, and every cell, done or not."""

    settings: Compare
    training: Any
    task: str
    ground: Ground
    plans: Sequence[Plan]
    out: Path

    @property
    def done(self) -> list[Plan]:
        return [plan for plan in self.plans if self.state(plan) == "done"]

    def state(self, plan: Plan) -> str:
        found = str(read_state(plan.folder(self.out)).get("state", "waiting"))
        return found if found != "done" or (plan.results(self.out) / RESULTS).is_file() else "waiting"

    def checkpoint(self, plan: Plan) -> Path:
        return find_checkpoint(plan.checkpoint or str(plan.folder(self.out)))


def finish(work: Work) -> Outcome:
    """Everything that follows from the cells that are done; results.json, the report and its files."""
    models = _models(work)
    _cost(work, models)
    where = _time(work, models)
    comparison = _compared(work, models, where)
    write_json(work.out / RESULTS, comparison.to_plain())
    files = write_report(comparison, work.out)
    return Outcome(comparison.to_plain(), ranking(comparison), [work.out / RESULTS, *files, work.out / protocol.FILE])


def _compared(work: Work, models: list[Model], where: dict[str, Any] | None) -> Comparison:
    settings, split = work.settings, work.ground.judged
    means = {}
    for model in models:
        plans = [plan for plan in work.done if plan.model == model.name]
        if not plans:
            continue
        log.info("%s: %d draws of the images", model.name, settings.draws)
        means[model.name] = score(model, [_samples(work, plan) for plan in plans], work.task, settings.level)
        model.error_types = _error_types(work, plans)
    ranked_by = RANKED_BY[work.task]
    content = protocol.read(work.out) or {}
    return Comparison(
        task=work.task,
        data=str(work.ground.source.get("data") or work.ground.source.get("annotations") or ""),
        split=str(work.ground.source.get("split")),
        images=len(split),
        classes=list(split.classes),
        ranked_by=ranked_by,
        level=settings.level,
        draws=settings.draws,
        models=models,
        differences=rank(models, means, ranked_by, settings.level),
        pictures=_pictures(work, models),
        protocol=content["alike"],
        machine=where,
        commands=content["commands"],
        produced_by=provenance(torch.device("cpu")),
    )


# Models and their cells


def _models(work: Work) -> list[Model]:
    """In the order of the plans, each with all of its cells."""
    found: dict[str, Model] = {}
    for plan in work.plans:
        if plan.model not in found:
            canvas = canvas_of(plan.size)
            weights = Path(plan.weights).name if plan.weights else None
            found[plan.model] = Model(
                plan.model, work.task, plan.backbone, plan.head, plan.width, canvas, weights, cells=[]
            )
        found[plan.model].cells.append(_cell(work, plan))
    return list(found.values())


def _cell(work: Work, plan: Plan) -> Cell:
    folder, state = plan.folder(work.out), read_state(plan.folder(work.out))
    results = read_results(plan.results(work.out) / RESULTS)
    run = folder if plan.checkpoint is None else find_checkpoint(plan.checkpoint).parent.parent
    seconds = read_results(run / RESULTS).get("seconds")
    word: Any = work.state(plan)
    return Cell(
        name=plan.name,
        model=plan.model,
        seed=plan.seed,
        folder=str(folder.relative_to(work.out)),
        state=word,
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        fault=str(state.get("fault", "")) or None if word == "failed" else None,
        scores={name: value for name, value in results.items() if _is_score(name, value)} if word == "done" else {},
        curves=list(read_rows(run / "metrics.csv")),
        commands=[["densenets", *words] for words, _ in plan.steps(work.out)],
    )


def _is_score(name: str, value: object) -> bool:
    return (value is None or type(value) is float) and (
        name.startswith("A") or "IoU" in name or name.endswith("accuracy")
    )


# What each model scores


def _origin(work: Work, plan: Plan) -> dict[str, Any]:
    """What the scores of a cell follow from."""
    source = sha256(plan.results(work.out) / SOURCE[work.task])
    alike = (protocol.read(work.out) or {})["alike"]
    return {"source": source, "judged": alike["judged data"], "densenets": alike["densenets"]}


def _samples(work: Work, plan: Plan) -> Any:
    draws, judged = work.settings.draws, work.ground.judged
    found = stored(
        work.out,
        f"draws-{plan.name}",
        {**_origin(work, plan), "draws": draws},
        partial(samples_of, work.task, plan.results(work.out), judged, draws),
    )
    return from_plain(found, OF_CLASS[work.task])


def _error_types(work: Work, plans: Sequence[Plan]) -> dict[str, float]:
    """Means over the seeds."""
    if work.task != "detection":
        return {}
    judged, found = work.ground.judged, []
    for plan in plans:
        find = partial(_errors_of, plan.results(work.out), judged)
        found.append(stored(work.out, f"errors-{plan.name}", _origin(work, plan), find))
    return {name: sum(row[name] for row in found) / len(found) for name in found[0]}


def _errors_of(folder: Path, judged: Any) -> dict[str, float]:
    return error_types(judged.ground_truth(), predictions_of(folder, judged))


# What each model costs


def _seen(work: Work, plan: Plan, description: ModelDescription) -> ModelDescription:
    """With the canvas that the model is judged at: a segmenter sees pictures larger than its crops."""
    if work.task == "detection":
        return description
    size = read_results(plan.results(work.out) / RESULTS).get("size") or work.ground.judged.sizes[0].tolist()
    return replace(description, canvas=(int(size[0]), int(size[1])))


def _first_done(work: Work, models: Sequence[Model]) -> dict[str, Plan]:
    """The cell that stands for each model where its weights do not matter, or where one is to be shown."""
    return {plan.model: plan for plan in reversed(work.done) if plan.model in {model.name for model in models}}


def timed_on(settings: Compare, accelerator: str) -> torch.device | None:
    """What the latency is measured on; None where none is. Raises InputError for a device that is not there."""
    try:
        return device_of(accelerator) if settings.rounds else None
    except InputError as fault:
        raise InputError(f"{fault}; --rounds 0 measures no latency") from fault


def _cost(work: Work, models: Sequence[Model]) -> None:
    threads = work.settings.threads
    for name, plan in _first_done(work, models).items():
        net, known = load(str(work.checkpoint(plan)))
        description = _seen(work, plan, known)
        origin = {
            "model": {**description.plain(), "weights": None},
            "threads": threads,
            "torch": str(torch.__version__),
        }
        model = next(one for one in models if one.name == name)
        model.costs = stored(work.out, f"costs-{name}", origin, partial(costs, net, description, threads=threads))


def _time(work: Work, models: Sequence[Model]) -> dict[str, Any] | None:
    """Latencies of all models in turns, on this machine or not at all: where what is stored is of another machine, of
    other models or doubtful, all are measured anew. The machine and how it measured; None where nothing is measured."""
    first, device = _first_done(work, models), timed_on(work.settings, work.training.accelerator)
    if device is None or not first:
        return None
    rows = choose(work.ground.judged, TIMED)
    names = [Path(str(work.ground.judged.files[row])).name for row in rows]
    how = {"rounds": work.settings.rounds, "rounds_before_them": WARMUP, "pictures_in_turns": names}
    where = {**machine(device, work.settings.threads), **how}
    digests = {name: sha256(work.checkpoint(plan)) for name, plan in first.items()}
    origin = {"models": digests, "machine": where, "judged": work.ground.digests}
    found = stored(work.out, "latency", origin, partial(_latencies, work, first, device, rows), _trusted)
    for model in models:
        model.latency = dict(found.get(model.name, {}))
    return where


def _trusted(found: dict[str, dict[str, float]]) -> bool:
    return not any(doubtful(latency) for latency in found.values())


def _latencies(
    work: Work, first: dict[str, Plan], device: torch.device, rows: Sequence[int]
) -> dict[str, dict[str, float]]:
    log.info("latency: %d rounds of %d models in turns", work.settings.rounds, len(first))
    nets = {}
    for name, plan in first.items():
        net, description = load(str(work.checkpoint(plan)))
        nets[name] = (net.to(device), _seen(work, plan, description))
    images = [read_image(work.ground.judged.files[row]) for row in rows]
    return latencies(nets, images, work.settings.rounds, work.settings.threads, device=device)


# What each model sees


def _pictures(work: Work, models: Sequence[Model]) -> list[Picture]:
    """The same images for all: JPEG files below OUT/pictures, the truth and each model's prediction."""
    split, first = work.ground.judged, _first_done(work, models)
    rows = choose(split, work.settings.pictures)
    (work.out / "pictures").mkdir(exist_ok=True)
    folders = {model.name: f"pictures/{number}" for number, model in enumerate(models)}
    truth = draw_truth(split, rows, work.out, "pictures/truth")
    found: dict[str, list[str]] = {}
    for name, plan in first.items():
        origin = {**_origin(work, plan), "checkpoint": sha256(work.checkpoint(plan)), "rows": rows}
        places = (work.out, folders[name], plan.results(work.out), work.checkpoint(plan))
        find = partial(draw_cell, work.task, split, rows, *places)
        found[name] = stored(work.out, f"pictures-{name}", {**origin, "place": folders[name]}, find)
    titles = [Path(str(split.files[row])).name for row in rows]
    return [
        Picture(title, truth[place], {name: files[place] for name, files in found.items()})
        for place, title in enumerate(titles)
    ]
