"""Judging: a checkpoint or a predictions file against a split."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch

from densenets.config import EvalDetection, TrainDetection
from densenets.data.dataset import DetectionSplit
from densenets.data.module import DetectionDataModule
from densenets.errors import InputError
from densenets.metrics.coco_map import Result, evaluate, format_table, read_predictions, write_predictions
from densenets.metrics.judge import CocoJudge
from densenets.run.data import open_one
from densenets.run.folder import Outcome, find_checkpoint, make_folder, provenance, write_json
from densenets.run.model import describe, load
from densenets.run.pictures import write_sheet
from densenets.training.records import ProgressBar
from densenets.training.task import DetectionTask

CPU = torch.device("cpu")
log = logging.getLogger(__name__)


def evaluate_detection(settings: EvalDetection) -> Outcome:
    """COCO's numbers of a checkpoint, or of a predictions file. Writes to --out where given."""
    if (settings.checkpoint is None) == (settings.predictions is None):
        raise InputError("give either --checkpoint or --predictions")
    if settings.out is not None:
        make_folder(Path(settings.out))
    return _judge_file(settings) if settings.predictions is not None else _judge_checkpoint(settings)


def _judge_file(settings: EvalDetection) -> Outcome:
    assert settings.predictions is not None
    classes = _classes_of(Path(settings.predictions))
    split = open_one(settings.data, settings.split, settings.annotations, settings.images, classes)
    results = read_predictions(settings.predictions)
    metrics = evaluate(split.ground_truth(), results)
    source = {"predictions": settings.predictions, "data": _named(settings), "produced_by": provenance(CPU)}
    return report(metrics, results, split, Path(settings.out) if settings.out else None, source)


def _classes_of(predictions: Path) -> list[str] | None:
    """The classes of the model behind a predictions file, where results.json stands beside it as we write it.

    Where a data set's own files give no category ids (VOC), they follow from the model's classes.
    """
    try:
        return [str(name) for name in json.loads((predictions.parent / "results.json").read_text())["model"]["classes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _judge_checkpoint(settings: EvalDetection) -> Outcome:
    assert settings.checkpoint is not None
    model, description = load(settings.checkpoint)
    split = open_one(settings.data, settings.split, settings.annotations, settings.images, description.classes)
    for name in ("score_threshold", "nms_iou"):
        if (value := getattr(settings, name)) is not None:
            setattr(model.options, name, value)
    log.info(describe(description, model))
    judge = CocoJudge(split.ground_truth(), split.category_ids)
    task = DetectionTask(model, TrainDetection(), judge, description.plain())
    data = DetectionDataModule(None, split, description.canvas, "none", settings.batch_size, settings.workers, 0)
    trainer = L.Trainer(
        accelerator=settings.accelerator,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[ProgressBar()],
    )
    started = time.monotonic()
    metrics, results = judge_with(trainer, task, judge, data)
    source = {
        "checkpoint": str(find_checkpoint(settings.checkpoint)),
        "model": description.plain(),
        "data": _named(settings),
        "batch_size": settings.batch_size,
        "seconds": round(time.monotonic() - started, 2),
        "produced_by": provenance(trainer.strategy.root_device),
    }
    return report(metrics, results, split, Path(settings.out) if settings.out else None, source)


def _named(settings: EvalDetection) -> str:
    return settings.annotations or f"{settings.data} {settings.split}"


def judge_with(
    trainer: L.Trainer, task: DetectionTask, judge: CocoJudge, data: DetectionDataModule
) -> tuple[dict[str, Any], list[Result]]:
    """The numbers and the results of the validation split, through the trainer's processes."""
    trainer.validate(task, datamodule=data, verbose=False)
    return judge.result(), judge.results()


def report(
    metrics: dict[str, Any], results: list[Result], split: DetectionSplit, out: Path | None, source: dict[str, Any]
) -> Outcome:
    """results.json, predictions.json and the sheet in `out`; the table for the user."""
    left_out = {"partial": True, "skipped": split.skipped} if split.skipped else {}
    content = {**metrics, **left_out, **source}
    text = format_table(metrics)
    if out is None:
        return Outcome(content, text, [])
    files = [out / "results.json", out / "predictions.json", out / "validation.png"]
    write_predictions(files[1], results)
    write_sheet(split, results, files[2])
    write_json(files[0], content)
    return Outcome(content, text, files)
