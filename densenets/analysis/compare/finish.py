"""The end of a comparison: scores with intervals, error types, costs, latency, pictures, the report. Each is stored."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from densenets.analysis.compare import protocol
from densenets.analysis.compare.cells import Work, models_of
from densenets.analysis.compare.gallery import choose, draw_cell, draw_truth, key_of
from densenets.analysis.compare.grid import SOURCE, Plan
from densenets.analysis.compare.progress import watched
from densenets.analysis.compare.scoring import (
    OF_CLASS,
    RANKED_BY,
    from_plain,
    matched_of,
    rank,
    samples_of,
    score,
)
from densenets.analysis.compare.stored import stored
from densenets.analysis.compare.table import ranking
from densenets.analysis.comparison import Comparison, Model, Picture
from densenets.analysis.error_types import error_types
from densenets.analysis.matching import Matched
from densenets.analysis.profile import costs, latencies, machine
from densenets.analysis.profile.latency import WARMUP, doubtful
from densenets.analysis.report import write_report
from densenets.analysis.uncertainty import Samples
from densenets.build import ModelDescription
from densenets.config import Compare
from densenets.data.decode import read_image
from densenets.errors import DensenetsError, InputError, printable
from densenets.run.device import device_of
from densenets.run.evaluation import RESULTS, read_results
from densenets.run.folder import Outcome, provenance, write_json
from densenets.run.model import load
from densenets.storage import sha256

TIMED = 8  # pictures that the latency is measured on
log = logging.getLogger(__name__)


class Found(NamedTuple):
    """What follows from one cell alone. costs: None where another cell of its model has them."""

    samples: Samples
    errors: dict[str, float]
    costs: dict[str, float] | None


def finish(work: Work) -> Outcome:
    """Everything that follows from the cells that are done; results.json, the report and its files. Cells that turn out
    to be damaged are `work.lost`."""
    found = _find(work)
    models = models_of(work)
    for model in models:
        all_costs = [found[cell.name].costs for cell in model.cells if cell.name in found]
        model.costs = next((costs for costs in all_costs if costs is not None), {})
    first, same = _first_done(work, models), _same(work)
    for model in models:
        model.same_as = same.get(model.name, [])
        if model.name in first:
            model.measured = _size(work, first[model.name]) or model.canvas
    where = _time(work, models)
    comparison = _compared(work, models, found, where)
    write_json(work.out / RESULTS, comparison.to_plain())
    files = write_report(comparison, work.out)
    return Outcome(comparison.to_plain(), ranking(comparison), [work.out / RESULTS, *files, work.out / protocol.FILE])


def _find(work: Work) -> dict[str, Found]:
    """By the cells' names; one whose files are gone, or are others than its results tell of, has failed."""
    found: dict[str, Found] = {}
    known: set[str] = set()
    for plan in watched(work.done, f"scores of {work.settings.draws} draws, and costs"):
        log.info("%s: %d draws of the images", plan.name, work.settings.draws)
        try:
            _refuse_another(work, plan)
            costs = None if plan.model in known else _costs(work, plan)
            matched = cache(partial(matched_of, plan.results(work.out), work.ground.judged))  # once, if at all
            found[plan.name] = Found(_samples(work, plan, matched), _error_types(work, plan, matched), costs)
        except (DensenetsError, OSError) as fault:
            work.lose(plan, fault)
            log.warning("%s: %s", plan.name, work.lost[plan.name])
        else:
            known.add(plan.model)
    return found


def _refuse_another(work: Work, plan: Plan) -> None:
    """Raises InputError where the checkpoint is gone, or where the file in its place is not the one that was judged."""
    file = work.checkpoint(plan)
    if plan.checkpoint is not None and plan.digest is not None and sha256(file) != plan.digest:
        raise InputError(f"{printable(file)}: is not the file that was judged")


def _same(work: Work) -> dict[str, list[str]]:
    """By models that stand in: the cells whose very checkpoint they are."""
    found: dict[str, list[str]] = {}
    strangers = [plan for plan in work.done if plan.checkpoint is not None]
    if not strangers:
        return found
    digests = {sha256(work.checkpoint(plan)): plan.name for plan in work.done if plan.checkpoint is None}
    for plan in strangers:
        if cell := digests.get(plan.digest or ""):
            log.warning("warning: %s: is the very checkpoint of %s, not another training", plan.name, cell)
            found.setdefault(plan.model, []).append(cell)
    return found


def _compared(work: Work, models: list[Model], found: dict[str, Found], where: dict[str, Any] | None) -> Comparison:
    settings, split = work.settings, work.ground.judged
    means = {}
    for model in models:
        if cells := [found[cell.name] for cell in model.cells if cell.name in found]:
            means[model.name] = score(model, [cell.samples for cell in cells], work.task, settings.level)
            names = cells[0].errors
            model.error_types = {name: sum(cell.errors[name] for cell in cells) / len(cells) for name in names}
    ranked_by = RANKED_BY[work.task]
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
        protocol=work.agreed.alike,
        machine=where,
        commands=work.agreed.commands,
        produced_by=provenance(torch.device("cpu")),
        split_use=_use(work),
        uneven_classes=_uneven(work, [one.samples for one in found.values()], split.classes),
        **key_of(work.task, split),
    )


def _use(work: Work) -> str:
    """See `Comparison.split_use`."""
    alike = work.agreed.alike
    recipes = [alike, *(plan.recipe for plan in work.done if plan.checkpoint is not None)]
    for use, part in (("trained", "train data"), ("chosen", "val data")):
        if any(recipe.get(part) == alike["judged data"] for recipe in recipes):
            return use
    return ""


def _uneven(work: Work, cells: Sequence[Samples], classes: Sequence[str]) -> list[str]:
    """See `Comparison`: a class that is in no truth is of the mean of mIoU where a cell predicts it."""
    known = {name: {one.per_class[name].values[OF_CLASS[work.task]] is None for one in cells} for name in classes}
    return [name for name, undefined in known.items() if len(undefined) > 1]


# What each model scores


def _origin(work: Work, plan: Plan) -> dict[str, Any]:
    """What the scores of a cell follow from."""
    source, alike = sha256(plan.results(work.out) / SOURCE[work.task]), work.agreed.alike
    return {"source": source, "judged": alike["judged data"], "densenets": alike["densenets"]}


def _samples(work: Work, plan: Plan, matched: Callable[[], Matched]) -> Any:
    draws, judged = work.settings.draws, work.ground.judged
    found = stored(
        work.out,
        f"draws-{plan.name}",
        {**_origin(work, plan), "draws": draws},
        partial(samples_of, work.task, plan.results(work.out), judged, draws, matched),
    )
    return from_plain(found, OF_CLASS[work.task])


def _error_types(work: Work, plan: Plan, matched: Callable[[], Matched]) -> dict[str, float]:
    """Detection only."""
    if work.task != "detection":
        return {}
    return dict(stored(work.out, f"errors-{plan.name}", _origin(work, plan), lambda: error_types(matched())))


# What each model costs


def _seen(work: Work, plan: Plan, description: ModelDescription) -> ModelDescription:
    """With the canvas that the model is judged at: a segmenter sees pictures larger than its crops."""
    size = _size(work, plan)
    return description if size is None else replace(description, canvas=size)


def _size(work: Work, plan: Plan) -> tuple[int, int] | None:
    """That a segmenter sees pictures at; None: the canvas that a detector has."""
    if work.task == "detection":
        return None
    size = read_results(plan.results(work.out) / RESULTS).get("size") or work.ground.judged.sizes[0].tolist()
    return int(size[0]), int(size[1])


def _first_done(work: Work, models: Sequence[Model]) -> dict[str, Plan]:
    """The cell that stands for each model where its weights do not matter, or where one is to be shown."""
    return {plan.model: plan for plan in reversed(work.done) if plan.model in {model.name for model in models}}


def timed_on(settings: Compare, accelerator: str) -> torch.device | None:
    """What the latency is measured on; None where none is. Raises InputError for a device that is not there."""
    try:
        return device_of(accelerator) if settings.rounds else None
    except InputError as fault:
        raise InputError(f"{fault}; --rounds 0 measures no latency") from fault


def _costs(work: Work, plan: Plan) -> dict[str, float]:
    """Memory is a machine's own, so that all are weighed anew on another one."""
    threads = work.settings.threads
    net, known = load(str(work.checkpoint(plan)))
    description = _seen(work, plan, known)
    origin = {
        "model": {**description.plain(), "weights": None},
        "machine": machine(torch.device("cpu"), threads),
        "threads": threads,
        "torch": str(torch.__version__),
    }
    find = partial(costs, net, description, threads=threads)
    return dict(stored(work.out, f"costs-{plan.model}", origin, find))


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
    found: dict[str, list[tuple[str, bool]]] = {}
    for name, plan in watched([*first.items()], "pictures"):
        origin = {**_origin(work, plan), "checkpoint": sha256(work.checkpoint(plan)), "rows": rows}
        places = (work.out, folders[name], plan.results(work.out), work.checkpoint(plan))
        find = partial(draw_cell, work.task, split, rows, *places)
        origin |= {"place": folders[name], **key_of(work.task, split)}
        found[name] = stored(work.out, f"pictures-{name}", origin, find, partial(_are_there, work.out))
    titles = [Path(str(split.files[row])).name for row in rows]
    return [
        Picture(title, truth[place], {name: seen[place][0] for name, seen in found.items()}, _empty(found, place))
        for place, title in enumerate(titles)
    ]


def _empty(found: Mapping[str, Sequence[tuple[str, bool]]], place: int) -> list[str]:
    return [name for name, seen in found.items() if seen[place][1]]


def _are_there(out: Path, seen: Sequence[tuple[str, bool]]) -> bool:
    return all((out / file).is_file() for file, _ in seen)
