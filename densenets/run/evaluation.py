"""Judging: a checkpoint or a predictions file against a split."""

import json
import logging
import time
from collections.abc import Sequence
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
from densenets.run.data import open_one, rules_of, tell_reading
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
    beside = _results_beside(Path(settings.predictions))
    model = beside.get("model")
    classes = model.get("classes") if isinstance(model, dict) else None
    split, source = _open(settings, beside.get("data"), classes)
    results = read_predictions(settings.predictions)
    metrics = evaluate(split.ground_truth(), results)
    told = {"predictions": settings.predictions, "data": source, "produced_by": provenance(CPU)}
    return report(metrics, results, split, Path(settings.out) if settings.out else None, told)


def _results_beside(predictions: Path) -> dict[str, Any]:
    """results.json beside a predictions file, where it is one of ours: the model's classes and the data.

    Where a data set's own files give no category ids (VOC), they follow from the model's classes.
    """
    try:
        content = json.loads((predictions.parent / "results.json").read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _data_of_run(checkpoint: str) -> dict[str, Any] | None:
    """What the run of a checkpoint was judged on."""
    folder = find_checkpoint(checkpoint).parent.parent
    data = _results_beside(folder / "predictions.json").get("data")
    return data if isinstance(data, dict) else None


def _open(
    settings: EvalDetection, known: Any, classes: Sequence[str] | None
) -> tuple[DetectionSplit, dict[str, str | None]]:
    """The split that the flags name, or for want of them the run's own data; and how to name it in a result."""
    asked = {"data": settings.data, "annotations": settings.annotations, "images": settings.images}
    if not any(asked.values()) and isinstance(known, dict):
        asked = {name: known.get(name) for name in asked}
    source = {**asked, "data": None if asked["annotations"] else asked["data"] or "streets", "split": settings.split}
    places = (source["data"] or "", settings.split, asked["annotations"], asked["images"])
    split = open_one(*places, rules_of(settings), classes)
    tell_reading([split], Path(settings.out) if settings.out else None)
    return split, source


def _judge_checkpoint(settings: EvalDetection) -> Outcome:
    assert settings.checkpoint is not None
    model, description = load(settings.checkpoint)
    split, data_source = _open(settings, _data_of_run(settings.checkpoint), description.classes)
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
        "data": data_source,
        "batch_size": settings.batch_size,
        "seconds": round(time.monotonic() - started, 2),
        "produced_by": provenance(trainer.strategy.root_device),
    }
    return report(metrics, results, split, Path(settings.out) if settings.out else None, source)


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
