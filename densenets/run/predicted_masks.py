"""Judging masks that are there already, whoever wrote them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from densenets.config import EvalSegmentation
from densenets.data.segmentation import SegmentationSplit
from densenets.errors import InputError, printable
from densenets.metrics.parts import part_files, read_lines
from densenets.metrics.prediction_masks import judge_folder
from densenets.metrics.segmentation_judge import read_counted, told
from densenets.metrics.segmentation_rules import rules_of as scoring
from densenets.run.evaluation import RESULTS, read_results, said_earlier
from densenets.run.folder import Outcome, provenance
from densenets.run.kind import Kind
from densenets.run.pictures import sheet_rows
from densenets.run.segmentation_report import write_report

CPU = torch.device("cpu")
log = logging.getLogger(__name__)


def judge_masks(settings: EvalSegmentation, kind: Kind) -> Outcome:
    """A folder of PNGs, or what an evaluation left that broke off behind its last image. kind: of segmentation."""
    assert settings.predictions is not None
    place = Path(settings.predictions)
    files = part_files(place)
    earlier = said_earlier(_evaluation_of(files) if files else read_results(place / RESULTS))
    names = earlier.classes if files else settings.classes  # in whose order the parts have counted
    if not names and settings.data is None:  # which are then those of the earlier judging, with its classes
        names = earlier.classes
    if files and earlier.data and settings.split != earlier.data.get("split", settings.split):
        own = printable(earlier.data["split"])
        raise InputError(f"--split: {printable(settings.split)}: {printable(place)} is of the split {own} [V04]")
    split, source = kind.open_judged(settings, earlier.data, names or None)
    kept: dict[int, np.ndarray] = {}
    shown = {*sheet_rows(split)}

    def keep(index: int, classes: Tensor) -> None:
        if index in shown:
            kept[index] = classes.numpy()

    metrics = _judged_parts(place, files, split) if files else dict(judge_folder(place, split, keep))
    about = {"predictions": settings.predictions, "data": source, "produced_by": provenance(CPU)}
    out = Path(settings.out) if settings.out else None
    return write_report(metrics, split, kept.__getitem__ if kept else None, out, about)


def _evaluation_of(files: Sequence[Path]) -> dict[str, Any]:
    """What part files say they belong to."""
    return read_lines(files, lambda _: True, "counts")[0] or {}


def _judged_parts(place: Path, files: Sequence[Path], split: SegmentationSplit) -> dict[str, Any]:
    """What an evaluation that did not end had counted, where that is all of the split."""
    rules = scoring(split)
    _, counted = read_counted(files, rules)
    log.info("%d part files of an evaluation that did not end: %d images", len(files), len(counted.images))
    known = split.image_ids.tolist()
    if strange := {*counted.images} - {*known}:
        raise InputError(f"{printable(place)}: image {min(strange)} is not in the ground truth [V04]")
    if missing := len(known) - len(counted.images):
        raise InputError(
            f"{printable(place)}: {missing} images of the split are not judged yet; the same eval-seg goes on [V06]"
        )
    return told(counted, rules)
