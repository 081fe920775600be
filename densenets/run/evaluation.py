"""Judging: a checkpoint, a predictions file, or what an evaluation left that broke off, against a split."""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from densenets.build import ModelDescription
from densenets.config import EvalDetection, TrainDetection
from densenets.data.dataset import DetectionSplit
from densenets.data.module import DetectionDataModule
from densenets.errors import InputError, Problems, printable
from densenets.files import check_file
from densenets.heads.ssd import SSD
from densenets.metrics.coco_map import evaluate_columns, format_table
from densenets.metrics.judge import NOTHING, CocoJudge
from densenets.metrics.official import Judge, find_judge
from densenets.metrics.parts import part_files, read_parts, remove_parts
from densenets.metrics.predictions import Predictions, check_columns, read_predictions, write_predictions
from densenets.run.data import open_one, rules_of, tell_reading
from densenets.run.folder import Outcome, find_checkpoint, new_folder, provenance, rank, write_json
from densenets.run.model import describe, load
from densenets.run.pictures import write_sheet
from densenets.run.workers import HeedTheOthers, telling_of_the_dead
from densenets.training.records import ProgressBar
from densenets.training.signals import take_signals_from
from densenets.training.task import Task

CPU = torch.device("cpu")
FILE = "predictions.json"
log = logging.getLogger(__name__)


def evaluate_detection(settings: EvalDetection) -> Outcome:
    """COCO's numbers of a checkpoint, or of predictions. Writes to --out where given."""
    if (settings.checkpoint is None) == (settings.predictions is None):
        raise InputError("give either --checkpoint or --predictions")
    if settings.partial and settings.predictions is None:
        raise InputError("--partial: goes with --predictions: a checkpoint is judged on every image")
    official = find_judge(settings.judge)
    with new_folder(Path(settings.out) if settings.out is not None else None):
        judge = _judge_file if settings.predictions is not None else _judge_checkpoint
        return judge(settings, official)


# Predictions


def _judge_file(settings: EvalDetection, official: Judge) -> Outcome:
    assert settings.predictions is not None
    place = Path(settings.predictions)
    files = part_files(place) if place.is_dir() else [place] if place.suffix == ".jsonl" else []
    parts = read_parts(files) if files else None
    file = place / FILE if place.is_dir() else place
    earlier = _earlier((parts.evaluation or {}) if parts else _results_beside(file))
    _refuse_other_split(settings, earlier.data)
    split, source = _open(settings, earlier.data, earlier.classes)
    if parts:
        log.info(
            "%d part files of an evaluation that did not end: %d images", len(files), len(parts.predictions.images)
        )
        judged, silent = parts.predictions, 0
        _refuse_unknown(judged.images, split, place)
        check_columns(judged.found, judged.images.tolist(), split.category_ids.tolist(), f"{printable(place)}: ")
    else:
        judged, silent = _read_file(file, split, earlier.empty, settings.partial)
    metrics = evaluate_columns(
        split.ground_truth(),
        judged.found,
        seen=judged.images.tolist(),
        partial=settings.partial,
        per_image=settings.max_detections,
        judge=official,
    )
    if silent:
        metrics = {**metrics, "partial": True, "counts": {**metrics["counts"], "without_predictions": silent}}
    told = {"predictions": settings.predictions, "data": source, "produced_by": provenance(CPU)}
    return report(metrics, judged, split, Path(settings.out) if settings.out else None, told)


def _read_file(file: Path, split: DetectionSplit, empty: list[int], partial: bool) -> tuple[Predictions, int]:
    """What a COCO file says of all images of the split, and of how many it says nothing.

    An image without a detection does not stand in such a file, nor does one that was never judged. `empty`: the former,
    where they are known; any other is an error, or with `partial` counts as one without a detection.
    """
    images = split.image_ids.tolist()
    found = read_predictions(file, set(images), set(split.category_ids.tolist()))
    told = {*found.image.tolist(), *empty}
    silent = [image for image in images if image not in told]
    problems = Problems()
    for image in silent if not partial else []:
        problems.add(
            f"{printable(file)}: image {image}: no prediction; --partial takes it as one without detections [V06]"
        )
    problems.refuse()
    return Predictions(split.image_ids, found), len(silent)


def _refuse_unknown(images: np.ndarray, split: DetectionSplit, place: Path) -> None:
    problems = Problems()
    for image in images[~np.isin(images, split.image_ids)].tolist():
        problems.add(f"{printable(place)}: image {image} is not in the ground truth [V04]")
    problems.refuse()


def _results_beside(predictions: Path) -> dict[str, Any]:
    """results.json beside a predictions file of ours; nothing beside one of another name, which may be another's."""
    try:
        check_file(file := predictions.parent / "results.json")
        content = json.loads(file.read_text())
    except (InputError, OSError, ValueError, RecursionError):
        return {}
    return content if predictions.name == FILE and isinstance(content, dict) else {}


class Earlier(NamedTuple):
    """What an evaluation says of itself. classes: of its model; where a data set's own files give no category ids
    (VOC), they follow from them. data: flags -> words. empty: images without detections."""

    classes: list[str] | None
    data: dict[str, str | None] | None
    empty: list[int]


def _earlier(content: dict[str, Any]) -> Earlier:
    """From a file that anybody may have written: what is of another kind does not count."""
    model, data, empty = (content.get(name) for name in ("model", "data", "without_detections"))
    classes = model.get("classes") if isinstance(model, dict) else None
    return Earlier(
        classes if isinstance(classes, list) and {*map(type, classes)} == {str} else None,
        data if isinstance(data, dict) and {*map(type, data.values())} <= {str, type(None)} else None,
        empty if isinstance(empty, list) and {*map(type, empty)} == {int} else [],
    )


def _refuse_other_split(settings: EvalDetection, known: dict[str, str | None] | None) -> None:
    """Images of two splits may have the same ids: predictions of the one would be judged by the other."""
    if known is None or known.get("annotations") or settings.annotations:
        return
    if settings.data in (None, known.get("data")) and settings.split != known.get("split", settings.split):
        raise InputError(
            f"--split: {printable(settings.split)}: {printable(settings.predictions)} is of the split "
            f"{printable(known['split'])}; --split {printable(known['split'])} judges it [V04]"
        )


def _data_of_run(checkpoint: str) -> dict[str, str | None] | None:
    """What the run of a checkpoint was judged on."""
    folder = find_checkpoint(checkpoint).parent.parent
    return _earlier(_results_beside(folder / FILE)).data


def _open(
    settings: EvalDetection, known: dict[str, str | None] | None, classes: Sequence[str] | None
) -> tuple[DetectionSplit, dict[str, str | None]]:
    """The split that the flags name, or for want of them the run's own data; and how to name it in a result."""
    asked = {"data": settings.data, "annotations": settings.annotations, "images": settings.images}
    if not any(asked.values()) and known:
        asked = {name: known.get(name) for name in asked}
    source = {**asked, "data": None if asked["annotations"] else asked["data"] or "streets", "split": settings.split}
    places = (source["data"] or "", settings.split, asked["annotations"], asked["images"])
    split = open_one(*places, rules_of(settings), classes)
    if rank() == 0:
        tell_reading([split], Path(settings.out) if settings.out else None)
    return split, source


# A checkpoint


def _judge_checkpoint(settings: EvalDetection, official: Judge) -> Outcome:
    assert settings.checkpoint is not None
    trainer = build_trainer(settings)
    model, description = load(settings.checkpoint)
    for name in ("score_threshold", "nms_iou"):
        if (value := getattr(settings, name)) is not None:
            setattr(model.options, name, value)
    split, data_source = _open(settings, _data_of_run(settings.checkpoint), description.classes)
    if rank() == 0:
        log.info(describe(description, model))
    out = Path(settings.out) if settings.out else None
    evaluation = _evaluation(settings, model, description, data_source, split)
    before = _judged_before(out, evaluation) if out else None
    judge = CocoJudge(
        split.ground_truth(), split.category_ids, out, evaluation, before, settings.max_detections, official
    )
    task = Task(model, TrainDetection(), judge, description.plain())
    data = DetectionDataModule(None, split, description.canvas, "none", settings.batch_size, settings.workers, 0)
    data.leave_out = np.flatnonzero(np.isin(split.image_ids, (before or NOTHING).images)).tolist()
    started = time.monotonic()
    with telling_of_the_dead(data, trainer):
        metrics, judged = judge_with(trainer, task, judge, data)
    if not trainer.is_global_zero:
        return Outcome(metrics, "", [])
    source = {
        "checkpoint": str(find_checkpoint(settings.checkpoint)),
        "model": description.plain(),
        "data": data_source,
        "batch_size": settings.batch_size,
        "processes": trainer.world_size,
        "judge": settings.judge,
        "seconds": round(time.monotonic() - started, 2),
        "produced_by": provenance(trainer.strategy.root_device),
    }
    return report(metrics, judged, split, out, source)


def build_trainer(settings: EvalDetection) -> L.Trainer:
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


def _evaluation(
    settings: EvalDetection,
    model: SSD,
    description: ModelDescription,
    data: dict[str, str | None],
    split: DetectionSplit,
) -> dict[str, Any]:
    """What is judged by what, to the bit: predictions of two evaluations that agree in it belong together."""
    digest, images = hashlib.sha256(), hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    for column in (split.category_ids, split.image_ids, split.sizes):
        images.update(column.tobytes())
    images.update("\0".join(split.files.tolist()).encode(errors="surrogateescape"))
    options = {name: getattr(model.options, name) for name in ("score_threshold", "nms_iou")}
    content = {"model": description.plain(), "weights": digest.hexdigest(), "data": data, **options}
    content["images"] = images.hexdigest()
    told: dict[str, Any] = json.loads(json.dumps({**content, "batch_size": settings.batch_size}))
    return told


def _judged_before(out: Path, evaluation: dict[str, Any]) -> Predictions:
    """What the same evaluation had judged when it broke off. Raises InputError where `out` holds another's parts."""
    files = part_files(out)
    earlier, judged = read_parts(files)
    if earlier is not None and earlier != evaluation:
        other = [name for name in evaluation if earlier.get(name) != evaluation[name]]
        raise InputError(
            f"{printable(files[0])}: left by an evaluation with another {', '.join(other)}; remove it and its like, "
            "or name another --out"
        )
    if len(judged.images) and rank() == 0:
        log.info("%d images were judged already; going on with the rest", len(judged.images))
    return judged


def judge_with(
    trainer: L.Trainer, task: Task, judge: CocoJudge, data: DetectionDataModule
) -> tuple[dict[str, Any], Predictions]:
    """The numbers of the validation split through the trainer's processes, and in the first one the predictions."""
    trainer.validate(task, datamodule=data, verbose=False)
    return judge.result(), judge.predictions()


def report(
    metrics: dict[str, Any], judged: Predictions, split: DetectionSplit, out: Path | None, source: dict[str, Any]
) -> Outcome:
    """results.json, predictions.json and the sheet in `out`; the table for the user."""
    left_out = {"partial": True, "skipped": split.skipped} if split.skipped else {}
    empty = np.setdiff1d(judged.images, judged.found.image).tolist()
    content = {**metrics, **left_out, "without_detections": empty, **source}
    text = format_table(content)
    if out is None:
        return Outcome(content, text, [])
    files = [out / "results.json", out / FILE, out / "validation.png"]
    write_predictions(files[1], judged.found.canonical())
    write_sheet(split, judged.found, files[2])
    write_json(files[0], content)
    if "checkpoint" in source:  # all that the parts hold is in the files now
        remove_parts(out)
    return Outcome(content, text, files)
