"""Training, whatever the task: data, model, task and trainer meet here."""

import logging
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import nn

from densenets import draw
from densenets.build import ModelDescription, build_from, canvas_of, load_state
from densenets.config import TrainDetection, Training
from densenets.config.detection import tell_without_effect
from densenets.data.loading import check_room
from densenets.data.module import DataModule
from densenets.errors import InputError, printable
from densenets.heads import COMMANDS, HEADS, heads_of, task_of
from densenets.run.data import list_skips, tell_reading
from densenets.run.evaluation import JUDGED_ON, judge_with
from densenets.run.folder import (
    Outcome,
    find_checkpoint,
    new_folder,
    only_one,
    open_run_folder,
    provenance,
    rank,
    write_config,
)
from densenets.run.kind import Kind
from densenets.run.model import describe, judged_state, listed
from densenets.run.resume import check_same_training, checkpoint_to_resume, origin, steps_done
from densenets.run.start import start_from
from densenets.run.trainer import build_trainer, refuse_bad_trainer, stoppable
from densenets.run.workers import telling_of_the_dead
from densenets.storage import remove_stale
from densenets.training.durable import read_checkpoint
from densenets.training.records import Records, clock, read_rows
from densenets.training.saving import Saving
from densenets.training.signals import StopRequest
from densenets.training.task import Task

COMPILED = ("raw", "raw_with_auxiliary", "maps", "seek")  # what a step calls; each is compiled at its first call
log = logging.getLogger(__name__)


def train(settings: Any, kind: Kind) -> Outcome:
    """Train, judge the best checkpoint, and leave everything in the run folder. settings: of the kind's `Training`."""
    canvas_of(settings.size, "--size")
    if settings.head not in (words := heads_of(kind.task)):
        raise InputError(f"--head: {printable(settings.head)}: expected one of {', '.join(words)}{_other(settings)}")
    refuse_bad_trainer(settings)
    checkpoint = checkpoint_to_resume(settings, kind.task)
    L.seed_everything(settings.seed, verbose=False)
    train, val = kind.open_training(settings)
    description = description_of(settings, train)
    model = _build(settings, description, from_checkpoint=checkpoint is not None)
    if rank() == 0:
        log.info(describe(description, model))
        log.info("%d images to train on, %d to choose by, classes: %s", len(train), len(val), listed(train.classes))
    folder = checkpoint.parent.parent if checkpoint else open_run_folder(settings)
    with new_folder(folder / "checkpoints"), only_one(folder):
        return _train(settings, kind, model, description, train, val, folder, checkpoint)


def _train(
    settings: Any,
    kind: Kind,
    model: nn.Module,
    description: ModelDescription,
    train: Any,
    val: Any,
    folder: Path,
    checkpoint: Path | None,
) -> Outcome:
    data = kind.data(settings, train, val, description)
    data.timeout = settings.worker_timeout
    judged_on = kind.judged_on(settings)
    judge = kind.judge(val, folder, {"model": description.plain(), "data": judged_on})
    records = Records(folder, judge.logged)
    stop = StopRequest()
    saving = Saving(folder / "checkpoints", settings.save_every, stop)
    begun = Begun(settings, folder, [train, val], judged_on)  # first: what it writes is there before a checkpoint is
    trainer = build_trainer(settings, folder, [begun, records, saving], judge.logged, steps_done(checkpoint))
    now = origin(settings, train, val, trainer.world_size)
    if checkpoint is not None:
        check_same_training(checkpoint, description, now, settings.allow_config_change)
    steps = settings.epochs * math.ceil(data.batches(trainer.world_size) / settings.accumulate)
    task = Task(model, settings, judge, description.plain(), steps, stop, now)
    task.net.check_batch(data.images_of_a_step(trainer.world_size))
    check_room(data.workers, data.batch_size, description.canvas)
    if trainer.is_global_zero:
        _tell_unreached(settings, steps)
        _tell_frozen(settings)
        if isinstance(settings, TrainDetection):
            tell_without_effect(settings.head, settings.ssd, settings.rcnn)
        if checkpoint is not None:
            done = steps_done(checkpoint)
            ended = f", the end of epoch {settings.epochs}/{settings.epochs}: already finished; it is judged again"
            log.info("going on from %s, step %d%s", checkpoint, done, ended if done >= steps else "")
        tell_reading([train, val], folder)
        remove_stale(folder)
        remove_stale(folder / "checkpoints")
    with stoppable(saving, trainer), telling_of_the_dead(data, trainer):
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        saving.stop_if_asked(trainer, task)
        if trainer.is_global_zero:
            log.info("trained for %s; judging the best checkpoint", clock(records.seconds))
        source = {
            "model": description.plain(),
            "data": judged_on,
            **kind.seen(settings, model),
            "seed": settings.seed,
            "epochs": trainer.current_epoch,
            "seconds": round(records.seconds, 2),
            "produced_by": provenance(trainer.strategy.root_device),
        }
        return _finish(kind, trainer, task, data, folder, source)


def _other(settings: Any) -> str:
    """The command for a head of the other task, as far as it is one."""
    if settings.head not in HEADS:
        return ""
    return f"; train-{COMMANDS[task_of(settings.head)]} --head {settings.head} trains it"


def _tell_unreached(settings: Training, steps: int) -> None:
    """Warns of a recipe that needs more steps than the training has."""
    few = f"the training has {steps} steps"
    if settings.warmup > steps:
        log.warning("warning: --warmup %d: %s: the learning rate never rises to --lr", settings.warmup, few)
    if settings.ema and (needed := round(1 / (1 - settings.ema))) > steps:
        told = "the average, which is judged and kept, is over about %d steps and never gets that far"
        log.warning(f"warning: --ema %g: %s: {told}", settings.ema, few, needed)


def _tell_frozen(settings: Training) -> None:
    """Warns of layers that are kept as chance made them."""
    stages = [f"--freeze-stages {settings.freeze_stages}"] if settings.freeze_stages else []
    flags = stages + ["--freeze-norm"] * settings.freeze_norm
    if flags and settings.weights is None and settings.start_from is None:
        told = "without --weights: layers are kept as chance made them, and never learn"
        log.warning("warning: %s %s", " ".join(flags), told)


class Begun(L.Callback):
    """Writes down how a training was started as soon as it has learnt from a batch: one that is refused before, by its
    first pictures too, leaves its folder as it was.

    judged_on: the split it is chosen by; every checkpoint tells of it, for a later judging of a run that never ended.
    """

    def __init__(self, settings: Any, folder: Path, splits: list[Any], judged_on: dict[str, Any]) -> None:
        self.settings, self.folder, self.splits, self.judged_on = settings, folder, splits, judged_on
        self.written = False

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.is_global_zero and not self.written:
            write_config(self.folder, self.settings)
            list_skips(self.splits, self.folder)
            self.written = True

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint[JUDGED_ON] = self.judged_on


def _build(settings: Training, description: ModelDescription, from_checkpoint: bool) -> nn.Module:
    model: Any = build_from(description, weights=None if from_checkpoint else settings.weights)
    if settings.start_from is not None and not from_checkpoint:
        start_from(model, description, settings.start_from)
    model.backbone.freeze(settings.freeze_stages, settings.freeze_norm)
    for name in COMPILED if settings.compile else ():
        if hasattr(model, name):
            setattr(model, name, torch.compile(getattr(model, name)))
    return model


def description_of(settings: Any, train: Any) -> ModelDescription:
    return ModelDescription(
        backbone=settings.backbone,
        head=settings.head,
        classes=list(train.classes),
        category_ids=[int(number) for number in train.category_ids],
        canvas=canvas_of(settings.size),
        width=settings.width,
        padding=settings.padding,
        normalize=settings.normalize,
        reduced_tail=settings.reduced_tail,
        scale_last=getattr(settings, "scale_last", False),
        weights=settings.weights or settings.start_from,
        options=asdict(settings.options),
        palette=train.palette.tolist() if hasattr(train, "palette") else None,
    )


def _finish(
    kind: Kind, trainer: L.Trainer, task: Task, data: DataModule, folder: Path, source: dict[str, Any]
) -> Outcome:
    """Judge the best checkpoint and write what the run folder still lacks."""
    best = find_checkpoint(str(folder))
    load_state(task.model, judged_state(read_checkpoint(best)), str(best))
    metrics = judge_with(trainer, task, data)
    if not trainer.is_global_zero:
        return Outcome(metrics, "", [])
    outcome = kind.report(metrics, task.judge, task.model, data, folder, {"checkpoint": str(best), **source})
    curves = [folder / "loss.png", folder / f"{task.judge.logged[0].lower()}.png"]
    draw.curves(read_rows(folder / "metrics.csv"), curves[0], curves[1], task.judge.logged[:2])
    files = [*outcome.files, *curves, folder / "metrics.csv", folder / "config.yaml", best]
    return Outcome(outcome.results, outcome.text, files)
