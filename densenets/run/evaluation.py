"""Judging a checkpoint against a split, whatever the task; an evaluation that broke off is gone on with."""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import lightning as L
import numpy as np
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from densenets.build import ModelDescription
from densenets.config import Evaluation, Training
from densenets.data.module import DataModule
from densenets.errors import InputError, printable
from densenets.files import check_file
from densenets.metrics.parts import part_file, part_files, remove_parts
from densenets.run.folder import Outcome, find_checkpoint, provenance, rank, read_config, run_of, write_json
from densenets.run.kind import Kind
from densenets.run.model import describe, load
from densenets.run.workers import HeedTheOthers, telling_of_the_dead
from densenets.training.durable import read_checkpoint
from densenets.training.records import ProgressBar
from densenets.training.signals import take_signals_from
from densenets.training.task import Task

RESULTS = "results.json"
JUDGED_ON = "judged_on"  # of a checkpoint: the split that it was chosen by, as results.json names it
DIGESTS = ("weights", "images")  # of an evaluation: which differ, is all that they tell
SHOWN = 60  # characters of a value
log = logging.getLogger(__name__)


def judge_checkpoint(settings: Any, checkpoint: str, kind: Kind) -> Outcome:
    """The numbers of a checkpoint; files in --out where given."""
    trainer = build_trainer(settings)
    model, description = load(checkpoint, kind.task)
    net, changed = kind.adapt(settings, model, description)
    split, data_source = kind.open_judged(settings, earlier_data(checkpoint), description.classes)
    if rank() == 0:
        log.info(describe(description, model))
    out = Path(settings.out) if settings.out else None
    evaluation = _evaluation(model, description, data_source, split, {**changed, "batch_size": settings.batch_size})
    before = _judged_before(out, evaluation, kind, split) if out else None
    judge = kind.judge_again(settings, split, out, evaluation, before)
    task = Task(net, Training(), judge, description.plain())
    data = kind.judging_data(settings, split, description)
    data.leave_out = [] if before is None else np.flatnonzero(np.isin(split.image_ids, before.images)).tolist()
    started = time.monotonic()
    with telling_of_the_dead(data, trainer), _no_empty_part(out):
        metrics = judge_with(trainer, task, data)
    if not trainer.is_global_zero:
        return Outcome(metrics, "", [])
    source = {
        "checkpoint": str(find_checkpoint(checkpoint)),
        "model": description.plain(),
        "data": data_source,
        **changed,
        "batch_size": settings.batch_size,
        "processes": trainer.world_size,
        "seconds": round(time.monotonic() - started, 2),
        "produced_by": provenance(trainer.strategy.root_device),
    }
    return kind.report(metrics, judge, net, data, out, source)


def build_trainer(settings: Evaluation) -> L.Trainer:
    """Lightning's trainer for judging alone. Raises InputError for words that Lightning does not take."""
    try:
        trainer = L.Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=settings.strategy,
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            callbacks=[ProgressBar(), HeedTheOthers()],
        )
    except (TypeError, ValueError, RuntimeError, MisconfigurationException) as fault:
        reason = str(fault).strip().splitlines()[0]
        raise InputError(f"--devices, --accelerator, --strategy: {printable(reason)}") from fault
    take_signals_from(trainer)
    return trainer


def judge_with(trainer: L.Trainer, task: Task, data: DataModule) -> dict[str, Any]:
    """The numbers of the validation split through the trainer's processes, in each of them."""
    trainer.validate(task, datamodule=data, verbose=False)
    return task.judge.result()


def _evaluation(
    model: nn.Module,
    description: ModelDescription,
    data: dict[str, Any],
    split: Any,
    changed: dict[str, Any],
) -> dict[str, Any]:
    """What is judged by what, to the bit: predictions of two evaluations that agree in it belong together."""
    digest, images = hashlib.sha256(), hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    for column in (split.category_ids, split.image_ids, split.sizes):
        images.update(column.tobytes())
    images.update("\0".join(split.files.tolist()).encode(errors="surrogateescape"))
    content = {"model": description.plain(), "weights": digest.hexdigest(), "data": data, **changed}
    told: dict[str, Any] = json.loads(json.dumps({**content, "images": images.hexdigest()}))
    return told


def _judged_before(out: Path, evaluation: dict[str, Any], kind: Kind, split: Any) -> Any:
    """What the same evaluation had judged when it broke off; None for nothing. Raises InputError where `out` holds
    another's parts."""
    files = part_files(out)
    earlier, judged = kind.read_before(files, split)
    if earlier is not None and earlier != evaluation:
        if len(judged.images):
            other = ", ".join(_differences(earlier, evaluation))
            raise InputError(
                f"{printable(files[0])}: left by an evaluation with another {other}; remove it and its like, "
                "or name another --out"
            )
        if rank() == 0:  # it was killed before its first image
            remove_parts(out)
    if len(judged.images) and rank() == 0:
        log.info("%d images were judged already; going on with the rest", len(judged.images))
    return judged


def _differences(earlier: object, now: object, name: str = "") -> list[str]:
    """What differs, by the names of the innermost: "data.split (train, now val)"."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        inner = {key: f"{name}.{key}".lstrip(".") for key in {**now, **earlier}}
        return [line for key, told in inner.items() for line in _differences(earlier.get(key), now.get(key), told)]
    if earlier == now:
        return []
    if name in DIGESTS:
        return [name]
    before, after = ("none" if value in (None, [], {}) else printable(value)[:SHOWN] for value in (earlier, now))
    return [f"{printable(name)} ({before}, now {after})"]


@contextlib.contextmanager
def _no_empty_part(out: Path | None) -> Iterator[None]:
    """Where the judging inside ends before this process' first image, its part in `out` says nothing and goes."""
    try:
        yield
    except BaseException:
        path = None if out is None else part_file(out, rank())
        with contextlib.suppress(OSError):
            if path is not None and path.read_bytes().count(b"\n") < 2:
                path.unlink()
        raise


# What an earlier judging said of itself


class Earlier(NamedTuple):
    """What an evaluation says of itself. classes: of its model; where a data set's own files give no category ids
    (VOC), they follow from them. data: flags -> words, or a list of ids. empty: images without detections."""

    classes: list[str] | None
    data: dict[str, Any] | None
    empty: list[int]


def said_earlier(content: dict[str, Any]) -> Earlier:
    """From a file that anybody may have written: what is of another kind does not count."""
    model, data, empty = (content.get(name) for name in ("model", "data", "without_detections"))
    classes = model.get("classes") if isinstance(model, dict) else None
    return Earlier(
        classes if isinstance(classes, list) and {*map(type, classes)} == {str} else None,
        data if isinstance(data, dict) and all(is_source(*item) for item in data.items()) else None,
        empty if isinstance(empty, list) and {*map(type, empty)} == {int} else [],
    )


def is_source(name: str, value: object) -> bool:
    """Whether a word of `data` is of its kind."""
    if name == "ignore_ids":
        return isinstance(value, list) and all(type(number) is int and 0 <= number <= 255 for number in value)
    return value is None or isinstance(value, str)


def read_results(file: Path) -> dict[str, Any]:
    """A results.json; nothing where there is none, or another's."""
    try:
        check_file(file)
        content = json.loads(file.read_text())
    except (InputError, OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def earlier_data(checkpoint: str) -> dict[str, Any] | None:
    """What the run of a checkpoint was judged on, or is to be. Its results tell, or while it has none the checkpoint
    itself, or the run's settings; None where nobody does, as of a single file of an older version."""
    file = find_checkpoint(checkpoint)
    run = run_of(file)
    tellers: list[Callable[[], object]] = [
        lambda: read_results(run / RESULTS).get("data") if run else None,
        lambda: read_checkpoint(file).get(JUDGED_ON),
        lambda: _data_of(read_config(run)) if run else None,
    ]
    found = (said_earlier({"data": tell()}).data or {} for tell in tellers)
    return next((data for data in found if data.get("data") or data.get("annotations")), None)


def _data_of(config: dict[str, Any]) -> dict[str, Any]:
    """The split that a training chooses by, from its config.yaml; where its places are relative, they are from here."""
    if config.get("val_annotations") is not None:
        return {"annotations": config["val_annotations"], "images": config.get("val_images"), "split": "val"}
    told = {"data": config.get("data"), "split": config.get("val_split")}
    return {**told, "ignore_ids": config["ignore_ids"]} if config.get("ignore_ids") else told


def refuse_unknown_data(settings: Any) -> NoReturn:
    """What is judged does not say by which data, and no flag does."""
    place = printable(settings.checkpoint or settings.predictions)
    raise InputError(f"--data is needed: {place} does not tell its data; --data FOLDER names them, or --data streets")


def write_results(out: Path, content: dict[str, Any]) -> Path:
    """results.json in `out`."""
    write_json(out / RESULTS, content)
    return out / RESULTS
