"""Detection: what is trained and judged on what, COCO's numbers, predictions files."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from densenets.build import ModelDescription, class_of
from densenets.config import EvalDetection, TrainDetection
from densenets.data.dataset import DetectionSplit
from densenets.data.module import DataModule, detection_data
from densenets.errors import InputError, Problems, printable
from densenets.metrics.coco_map import evaluate_columns, format_table
from densenets.metrics.judge import CocoJudge
from densenets.metrics.official import find_judge
from densenets.metrics.parts import part_files, read_parts, remove_parts
from densenets.metrics.predictions import Predictions, check_columns, read_predictions, write_predictions
from densenets.run.data import list_skips, naming, open_one, open_training, rules_of, tell_reading
from densenets.run.evaluation import (
    RESULTS,
    judge_checkpoint,
    read_results,
    refuse_unknown_data,
    said_earlier,
    write_results,
)
from densenets.run.folder import Outcome, new_folder, provenance, rank
from densenets.run.pictures import write_sheet
from densenets.run.training import train

CPU = torch.device("cpu")
FILE = "predictions.json"
log = logging.getLogger(__name__)


def train_detection(settings: TrainDetection) -> Outcome:
    """Train, judge the best checkpoint, and leave everything in the run folder."""
    return train(settings, Detection())


def evaluate_detection(settings: EvalDetection) -> Outcome:
    """COCO's numbers of a checkpoint, or of predictions. Writes to --out where given."""
    if (settings.checkpoint is None) == (settings.predictions is None):
        raise InputError("give either --checkpoint or --predictions")
    if settings.partial and settings.predictions is None:
        raise InputError("--partial: goes with --predictions: a checkpoint is judged on every image")
    kind = Detection(settings.judge)
    with new_folder(Path(settings.out) if settings.out is not None else None):
        if settings.checkpoint is not None:
            return judge_checkpoint(settings, settings.checkpoint, kind)
        return _judge_file(settings, kind)


class Detection:
    """`kind.Kind`, for boxes. judge: the program that computes the numbers, as `find_judge` knows it."""

    task = "detection"

    def __init__(self, judge: str = "pycocotools") -> None:
        self.word, self.official = judge, find_judge(judge)

    def open_training(self, settings: TrainDetection) -> tuple[DetectionSplit, DetectionSplit]:
        return open_training(settings)

    def judged_on(self, settings: TrainDetection) -> dict[str, Any]:
        if settings.val_annotations is not None:
            files = {"annotations": settings.val_annotations, "images": settings.val_images or ""}
            return {"data": None, **{name: str(Path(file).resolve()) for name, file in files.items()}, "split": "val"}
        data = settings.data if settings.data == "streets" else str(Path(settings.data).resolve())
        return {"data": data, "annotations": None, "images": None, "split": settings.val_split}

    def data(
        self, settings: TrainDetection, train: DetectionSplit, val: DetectionSplit, description: ModelDescription
    ) -> DataModule:
        canvas, keep_ratio = _seen_on(description)
        return detection_data(
            train, val, canvas, settings.augment, settings.batch_size, settings.workers, settings.seed, keep_ratio
        )

    def seen(self, settings: TrainDetection, model: nn.Module) -> dict[str, Any]:
        return {}  # on the canvas of the model, which its description tells

    def judge(self, split: DetectionSplit, folder: Path, evaluation: dict[str, Any]) -> CocoJudge:
        return CocoJudge(split.ground_truth(), split.category_ids, folder, evaluation)

    def open_judged(
        self, settings: EvalDetection, known: dict[str, Any] | None, classes: Sequence[str] | None
    ) -> tuple[DetectionSplit, dict[str, Any]]:
        asked = {"data": settings.data, "annotations": settings.annotations, "images": settings.images}
        if not any(asked.values()):
            asked = {name: (known or {}).get(name) for name in asked}
            if not (asked["data"] or asked["annotations"]):
                refuse_unknown_data(settings)
        source = {**asked, "data": None if asked["annotations"] else asked["data"]}
        source["split"] = settings.split
        places = (source["data"] or "", settings.split, asked["annotations"], asked["images"])
        with naming("--split"):
            split = open_one(*places, rules_of(settings), classes)
        if rank() == 0:
            tell_reading([split], out := Path(settings.out) if settings.out else None)
            list_skips([split], out)
        return split, source

    def adapt(
        self, settings: EvalDetection, model: nn.Module, description: ModelDescription
    ) -> tuple[nn.Module, dict[str, Any]]:
        options: Any = model.options
        for name in ("score_threshold", "nms_iou"):
            if (value := getattr(settings, name)) is not None:
                setattr(options, name, value)
        return model, {name: getattr(options, name) for name in ("score_threshold", "nms_iou")}

    def judging_data(self, settings: EvalDetection, split: DetectionSplit, description: ModelDescription) -> DataModule:
        canvas, keep_ratio = _seen_on(description)
        return detection_data(None, split, canvas, "none", settings.batch_size, settings.workers, 0, keep_ratio)

    def judge_again(
        self,
        settings: EvalDetection,
        split: DetectionSplit,
        out: Path | None,
        evaluation: dict[str, Any],
        before: Predictions | None,
    ) -> CocoJudge:
        most = settings.max_detections
        return CocoJudge(split.ground_truth(), split.category_ids, out, evaluation, before, most, self.official)

    def read_before(self, files: Sequence[Path], split: DetectionSplit) -> tuple[dict[str, Any] | None, Predictions]:
        parts = read_parts(files)
        return parts.evaluation, parts.predictions

    def report(
        self,
        metrics: dict[str, Any],
        judge: CocoJudge,
        net: nn.Module,
        data: DataModule,
        out: Path | None,
        source: dict[str, Any],
    ) -> Outcome:
        split = data.validation.split
        assert isinstance(split, DetectionSplit)
        return _report(metrics, judge.predictions(), split, out, {**source, "judge": self.word})


def _seen_on(description: ModelDescription) -> tuple[tuple[int, int], bool]:
    """The canvas, and whether pictures keep their ratio on it."""
    return description.canvas, class_of(description.head).keep_ratio


def _report(
    metrics: dict[str, Any], judged: Predictions, split: DetectionSplit, out: Path | None, source: dict[str, Any]
) -> Outcome:
    """results.json, predictions.json and the sheet in `out`; the table for the user."""
    left_out = {"partial": True, "skipped": split.skipped} if split.skipped else {}
    empty = np.setdiff1d(judged.images, judged.found.image).tolist()
    content = {**metrics, **left_out, "without_detections": empty, **source}
    text = format_table(content)
    if out is None:
        return Outcome(content, text, [])
    files = [out / RESULTS, out / FILE, out / "validation.png"]
    write_predictions(files[1], judged.found.canonical())
    write_sheet(split, judged.found, files[2])
    write_results(out, content)
    if "checkpoint" in source:  # all that the parts hold is in the files now
        remove_parts(out)
    return Outcome(content, text, files)


# Predictions


def _judge_file(settings: EvalDetection, kind: Detection) -> Outcome:
    assert settings.predictions is not None
    place = Path(settings.predictions)
    files = part_files(place) if place.is_dir() else [place] if place.suffix == ".jsonl" else []
    parts = read_parts(files) if files else None
    file = place / FILE if place.is_dir() else place
    earlier = said_earlier((parts.evaluation or {}) if parts else _results_beside(file))
    _refuse_other_split(settings, earlier.data)
    split, source = kind.open_judged(settings, earlier.data, earlier.classes)
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
        judge=kind.official,
    )
    if silent:
        metrics = {**metrics, "partial": True, "counts": {**metrics["counts"], "without_predictions": silent}}
    told = {"predictions": settings.predictions, "data": source, "judge": kind.word, "produced_by": provenance(CPU)}
    return _report(metrics, judged, split, Path(settings.out) if settings.out else None, told)


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
    return read_results(predictions.parent / RESULTS) if predictions.name == FILE else {}


def _refuse_other_split(settings: EvalDetection, known: dict[str, str | None] | None) -> None:
    """Images of two splits may have the same ids: predictions of the one would be judged by the other."""
    if known is None or known.get("annotations") or settings.annotations:
        return
    if settings.data in (None, known.get("data")) and settings.split != known.get("split", settings.split):
        raise InputError(
            f"--split: {printable(settings.split)}: {printable(settings.predictions)} is of the split "
            f"{printable(known['split'])}; --split {printable(known['split'])} judges it [V04]"
        )
