"""Training a detector: data, model, task and trainer meet here."""

import logging
import math
from dataclasses import asdict
from pathlib import Path

import lightning as L
import torch

from densenets import draw
from densenets.build import ModelDescription, build_from, canvas_of, load_state
from densenets.config import TrainDetection
from densenets.data.dataset import DetectionSplit
from densenets.data.loading import check_room
from densenets.data.module import DetectionDataModule
from densenets.errors import InputError, printable
from densenets.heads.ssd import SSD
from densenets.metrics.judge import CocoJudge
from densenets.run.data import open_training, tell_reading
from densenets.run.evaluation import judge_with, report
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
from densenets.run.model import describe, judged_state
from densenets.run.resume import check_same_training, checkpoint_to_resume, origin, steps_done
from densenets.run.trainer import build_trainer, refuse_bad_trainer, stoppable
from densenets.run.workers import telling_of_the_dead
from densenets.storage import remove_stale
from densenets.training.durable import read_checkpoint
from densenets.training.records import Records, clock, read_rows
from densenets.training.saving import Saving
from densenets.training.signals import StopRequest
from densenets.training.task import Task

log = logging.getLogger(__name__)


def train_detection(settings: TrainDetection) -> Outcome:
    """Train, judge the best checkpoint, and leave everything in the run folder."""
    canvas_of(settings.size)
    refuse_bad_trainer(settings)
    checkpoint = checkpoint_to_resume(settings)
    L.seed_everything(settings.seed, verbose=False)
    train, val = open_training(settings)
    description = _describe(settings, train)
    model = _build(settings, description, from_checkpoint=checkpoint is not None)
    if rank() == 0:
        log.info(describe(description, model))
        log.info("%d images to train on, %d to choose by, classes: %s", len(train), len(val), _names(train))
    folder = checkpoint.parent.parent if checkpoint else open_run_folder(settings)
    with new_folder(folder / "checkpoints"), only_one(folder):
        return _train(settings, model, description, train, val, folder, checkpoint)


def _train(
    settings: TrainDetection,
    model: SSD,
    description: ModelDescription,
    train: DetectionSplit,
    val: DetectionSplit,
    folder: Path,
    checkpoint: Path | None,
) -> Outcome:
    data = DetectionDataModule(
        train, val, description.canvas, settings.augment, settings.batch_size, settings.workers, settings.seed
    )
    data.timeout = settings.worker_timeout
    judged = {"model": description.plain(), "data": _judged_on(settings)}
    judge = CocoJudge(val.ground_truth(), val.category_ids, folder, judged)
    records = Records(folder, judge.logged)
    stop = StopRequest()
    saving = Saving(folder / "checkpoints", settings.save_every, stop)
    trainer = build_trainer(settings, folder, [records, saving], judge.logged, steps_done(checkpoint))
    now = origin(settings, train, val, trainer.world_size)
    if checkpoint is not None:
        check_same_training(checkpoint, description, now, settings.allow_config_change)
    steps = settings.epochs * math.ceil(data.batches(trainer.world_size) / settings.accumulate)
    task = Task(model, settings, judge, description.plain(), steps, stop, now)
    _check_batch(model, data, trainer.world_size)
    if trainer.is_global_zero:
        if checkpoint is not None:
            log.info("going on from %s, step %d", checkpoint, steps_done(checkpoint))
        write_config(folder, settings)
        tell_reading([train, val], folder)
        remove_stale(folder)
        remove_stale(folder / "checkpoints")
    with stoppable(saving, trainer), telling_of_the_dead(data, trainer):
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        saving.stop_if_asked(trainer, task)
        if trainer.is_global_zero:
            log.info("trained for %s; judging the best checkpoint", clock(records.seconds))
        return _finish(settings, trainer, task, judge, data, folder, description, records.seconds)


def _check_batch(model: SSD, data: DetectionDataModule, processes: int) -> None:
    """InputError where BatchNorm would have a single value to work on, or shared memory no room for the batches."""
    images = data.images_of_a_step(processes)
    if images * min(rows * columns for rows, columns in model.grids) < 2:
        raise InputError(
            f"--batch-size: {images} image a process: the head's last map is 1x1, where BatchNorm needs two images at "
            "least; take a larger batch or canvas, or more pictures [T04]"
        )
    check_room(data.workers, data.batch_size, data.canvas)


def _build(settings: TrainDetection, description: ModelDescription, from_checkpoint: bool) -> SSD:
    model = build_from(description, weights=None if from_checkpoint else settings.weights)
    model.backbone.freeze(settings.freeze_stages, settings.freeze_norm)
    if settings.compile:
        model.raw = torch.compile(model.raw)  # type: ignore[method-assign]
    return model


def _describe(settings: TrainDetection, train: DetectionSplit) -> ModelDescription:
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
        scale_last=settings.scale_last,
        weights=settings.weights,
        ssd=asdict(settings.ssd),
    )


def _names(split: DetectionSplit) -> str:
    names = [printable(name) for name in split.classes]
    return ", ".join(names if len(names) <= 12 else [*names[:12], f"and {len(names) - 12} more"])


def _judged_on(settings: TrainDetection) -> dict[str, str | None]:
    """The validation split as results.json names it; absolute, for `eval` to find it from anywhere."""
    if settings.val_annotations is not None:
        files = {"annotations": settings.val_annotations, "images": settings.val_images or ""}
        return {"data": None, **{name: str(Path(file).resolve()) for name, file in files.items()}, "split": "val"}
    data = settings.data if settings.data == "streets" else str(Path(settings.data).resolve())
    return {"data": data, "annotations": None, "images": None, "split": settings.val_split}


def _finish(
    settings: TrainDetection,
    trainer: L.Trainer,
    task: Task,
    judge: CocoJudge,
    data: DetectionDataModule,
    folder: Path,
    description: ModelDescription,
    seconds: float,
) -> Outcome:
    """Judge the best checkpoint and write what the run folder still lacks."""
    best = find_checkpoint(str(folder))
    load_state(task.model, judged_state(read_checkpoint(best)), str(best))
    metrics, results = judge_with(trainer, task, judge, data)
    source = {
        "checkpoint": str(best),
        "model": description.plain(),
        "data": _judged_on(settings),
        "seed": task.recipe.seed,
        "epochs": trainer.current_epoch,
        "seconds": round(seconds, 2),
        "produced_by": provenance(trainer.strategy.root_device),
    }
    if not trainer.is_global_zero:
        return Outcome(metrics, "", [])
    outcome = report(metrics, results, data.val, folder, source)
    curves = [folder / "loss.png", folder / "ap.png"]
    draw.curves(read_rows(folder / "metrics.csv"), *curves)
    files = [*outcome.files, *curves, folder / "metrics.csv", folder / "config.yaml", best]
    return Outcome(outcome.results, outcome.text, files)
