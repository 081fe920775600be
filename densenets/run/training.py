"""Training a detector: data, model, task and trainer meet here."""

import logging
import math
from dataclasses import asdict
from pathlib import Path

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from densenets import draw
from densenets.build import ModelDescription, build_from, canvas_of, load_state, read_description
from densenets.config import TrainDetection
from densenets.data.dataset import DetectionSplit
from densenets.data.module import DetectionDataModule
from densenets.errors import InputError, printable
from densenets.heads.ssd import SSD
from densenets.metrics.judge import CocoJudge
from densenets.run.data import open_training
from densenets.run.evaluation import judge_with, report
from densenets.run.folder import Outcome, find_checkpoint, make_folder, open_run_folder, provenance, rank, write_config
from densenets.run.model import describe, judged_state
from densenets.training.durable import DurableCheckpointIO, read_checkpoint
from densenets.training.recipe import EMA
from densenets.training.records import ProgressBar, Records, clock, read_rows
from densenets.training.task import DetectionTask

log = logging.getLogger(__name__)


def train_detection(settings: TrainDetection) -> Outcome:
    """Train, judge the best checkpoint, and leave everything in the run folder."""
    canvas_of(settings.size)
    _bare_trainer(settings)
    checkpoint = _last_checkpoint(settings)
    L.seed_everything(settings.seed, verbose=False)
    train, val = open_training(settings)
    description = _describe(settings, train)
    if checkpoint is not None:
        _check_fits(checkpoint, description)
    model = _build(settings, description, from_checkpoint=checkpoint is not None)
    if rank() == 0:
        log.info(describe(description, model))
        log.info("%d images to train on, %d to choose by, classes: %s", len(train), len(val), _names(train))
    folder = checkpoint.parent.parent if checkpoint else open_run_folder(settings)
    make_folder(folder)
    write_config(folder, settings)
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
    records = Records(folder)
    trainer = build_trainer(settings, folder, records)
    if len(val) < trainer.world_size:
        raise InputError(f"{len(val)} images to choose by for {trainer.world_size} processes: each needs one at least")
    judge = CocoJudge(val.ground_truth(), val.category_ids)
    steps = settings.epochs * math.ceil(data.batches(trainer.world_size) / settings.accumulate)
    task = DetectionTask(model, settings, judge, description.plain(), steps)
    trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if trainer.is_global_zero:
        log.info("trained for %s; judging the best checkpoint", clock(records.seconds))
    return _finish(trainer, task, judge, data, folder, description, records.seconds)


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


def _last_checkpoint(settings: TrainDetection) -> Path | None:
    """The checkpoint to go on from: a run folder's last one, or one named inside of its checkpoints/."""
    if settings.resume is None:
        return None
    last = Path(settings.resume) / "checkpoints" / "last.ckpt"
    found = last if last.is_file() else find_checkpoint(settings.resume)
    if found.parent.name != "checkpoints":
        raise InputError(f"--resume: {printable(found)}: expected a run folder or a file of its checkpoints folder")
    if settings.out is not None and Path(settings.out).resolve() != found.parent.parent.resolve():
        raise InputError(f"--out: {printable(settings.out)}: a resumed run stays in its folder")
    return found


def _check_fits(checkpoint: Path, description: ModelDescription) -> None:
    """InputError naming the settings in which a checkpoint's model is another one."""
    saved = read_description(read_checkpoint(checkpoint).get("densenets"), str(checkpoint)).plain()
    other = [key for key, value in description.plain().items() if key != "weights" and saved[key] != value]
    if other:
        raise InputError(f"--resume: {printable(checkpoint)}: was made with another {', '.join(other)}")


def _bare_trainer(settings: TrainDetection) -> None:
    """Whether Lightning takes what was asked of it, before anything is loaded."""
    try:
        L.Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=settings.strategy,
            precision=settings.precision,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (TypeError, ValueError, RuntimeError, MisconfigurationException) as fault:
        reason = str(fault).strip().splitlines()[0]
        raise InputError(f"--devices, --accelerator, --strategy, --precision: {printable(reason)}") from fault


def build_trainer(settings: TrainDetection, folder: Path, records: Records) -> L.Trainer:
    """Lightning's trainer for a recipe, with everything it writes inside the run folder."""
    checkpoints = folder / "checkpoints"
    callbacks: list[Callback] = [EMA(settings.ema)] if settings.ema else []
    callbacks += [
        records,
        ProgressBar(),
        ModelCheckpoint(checkpoints, "best", monitor="AP", mode="max", enable_version_counter=False),
        ModelCheckpoint(checkpoints, "last", save_on_train_epoch_end=True, enable_version_counter=False),
    ]
    return L.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=settings.strategy,
        precision=settings.precision,
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip or None,
        check_val_every_n_epoch=settings.validate_every,
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        plugins=[DurableCheckpointIO()],
        callbacks=callbacks,
    )


def _judged_on(settings: TrainDetection) -> dict[str, str | None]:
    """The validation split as results.json names it; absolute, for `eval` to find it from anywhere."""
    if settings.val_annotations is not None:
        files = {"annotations": settings.val_annotations, "images": settings.val_images or ""}
        return {"data": None, **{name: str(Path(file).resolve()) for name, file in files.items()}, "split": "val"}
    data = settings.data if settings.data == "streets" else str(Path(settings.data).resolve())
    return {"data": data, "annotations": None, "images": None, "split": settings.val_split}


def _finish(
    trainer: L.Trainer,
    task: DetectionTask,
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
        "data": _judged_on(task.recipe),
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
