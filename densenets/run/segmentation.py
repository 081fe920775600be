"""Segmentation: what is trained and judged on what, mean IoU, folders of predicted masks."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from densenets.build import ModelDescription, build_from, canvas_of, load_state, read_description
from densenets.config import EvalSegmentation, TrainSegmentation
from densenets.contract import ImageInfo, size_told
from densenets.data import open_segmentation
from densenets.data.mask_transforms import MaskAugmentation
from densenets.data.module import DataModule
from densenets.data.segmentation import SegmentationDataset, SegmentationSplit
from densenets.errors import InputError, Problems, printable
from densenets.heads import refuse_other_task
from densenets.heads.segmentation import Segmentation as Head
from densenets.metrics.parts import part_files
from densenets.metrics.prediction_masks import prediction_name, write_prediction
from densenets.metrics.segmentation_judge import Counted, SegmentationJudge, classes_of, read_counted
from densenets.metrics.segmentation_rules import rules_of as scoring
from densenets.run.data import list_skips, naming, rules_of, streets_folder, tell_reading
from densenets.run.evaluation import is_source, judge_checkpoint, refuse_unknown_data
from densenets.run.folder import Outcome, find_checkpoint, new_folder, rank
from densenets.run.labels import has_labels, look_at_masks
from densenets.run.predicted_masks import judge_masks
from densenets.run.segmentation_report import write_report
from densenets.run.training import train
from densenets.run.views import ManyViews
from densenets.training.durable import read_checkpoint
from densenets.training.task import to_unit

log = logging.getLogger(__name__)


def train_segmentation(settings: TrainSegmentation) -> Outcome:
    """Train, judge the best checkpoint, and leave everything in the run folder."""
    return train(settings, Segmentation())


def evaluate_segmentation(settings: EvalSegmentation) -> Outcome:
    """Mean IoU and its kin of a checkpoint, or of predicted masks. Writes to --out where given."""
    if (settings.checkpoint is None) == (settings.predictions is None):
        raise InputError("give either --checkpoint or --predictions")
    for name in ("size", "window", "flip", "output_stride", "submission"):
        if settings.checkpoint is None and getattr(settings, name):
            raise InputError(f"--{name.replace('_', '-')}: goes with --checkpoint: predicted masks are what they are")
    if settings.checkpoint is not None and settings.classes:
        raise InputError("--classes: goes with --predictions: a checkpoint knows its own")
    with new_folder(Path(settings.out) if settings.out is not None else None):
        if settings.checkpoint is not None:
            with new_folder(Path(settings.submission) if settings.submission is not None else None):
                return judge_checkpoint(_as_in_training(settings), settings.checkpoint, Segmentation())
        return judge_masks(settings, Segmentation())


def _as_in_training(settings: EvalSegmentation) -> EvalSegmentation:
    """With the size that the run's validation brought its pictures to, and the ids that were of no class there, unless
    flags name others."""
    checkpoint = settings.checkpoint
    assert checkpoint is not None
    file = find_checkpoint(checkpoint)
    content = read_checkpoint(file)
    head = read_description(content.get("densenets"), str(file)).head
    refuse_other_task(head, "segmentation", checkpoint, "--checkpoint")  # before anything is told of the pictures
    origin = _origin(content)
    ids = origin.get("ignore_ids")
    if settings.ignore_ids is None and ids and is_source("ignore_ids", ids):
        if rank() == 0:
            told = ", ".join(map(str, ids))
            log.info("masks: id %s is of no class, as in the run; --ignore-ids names others", told)
        settings = replace(settings, ignore_ids=ids)
    size = _size_told(origin, settings.size)
    return replace(settings, size=size and list(size))


def size_seen(checkpoint: str, asked: int | list[int] | None = None) -> tuple[int, int] | None:
    """(H, W) px that pictures are brought to before the model sees them; None is their own size.

    asked: what a flag says; without it the run's validation decides, of which every checkpoint tells.
    """
    return _size_told(_origin(read_checkpoint(find_checkpoint(checkpoint))), asked)


def size_of_validation(checkpoint: str) -> tuple[int, int] | None:
    """(H, W) px that the validation of its run brought pictures to; None is their own size, or nobody knows."""
    return _size(_eval_size(_origin(read_checkpoint(find_checkpoint(checkpoint)))))


def _eval_size(origin: dict[str, Any]) -> list[int] | None:
    known = origin.get("eval_size")
    sides: list[int] = known if isinstance(known, list) else [known] if isinstance(known, int) else []
    return sides if sides and all(type(side) is int for side in sides) else None


def _size_told(origin: dict[str, Any], asked: int | list[int] | None) -> tuple[int, int] | None:
    size = _size(asked if asked is not None else _eval_size(origin))
    seen = "their own size" if size is None else size_told(size)
    if rank() == 0:
        said = "as --size says" if asked is not None else "as in the run's validation; --size H W names another"
        log.info("pictures are seen at %s, %s", seen, said)
    return size


def _origin(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The settings that a checkpoint was trained with, as far as it tells of them."""
    origin = checkpoint.get("origin")
    return origin if isinstance(origin, dict) else {}


def open_one(
    settings: TrainSegmentation | EvalSegmentation,
    data: str,
    split: str,
    classes: Sequence[str] | None,
    ignore_ids: Sequence[int],
) -> SegmentationSplit:
    """A split of a folder, or of the default scenes."""
    place = streets_folder(masks=True) if data == "streets" else data
    return open_segmentation(place, split, classes, rules_of(settings), ignore_ids)


class Segmentation:
    """`kind.Kind`, for masks."""

    task = "segmentation"

    def open_training(self, settings: TrainSegmentation) -> tuple[SegmentationSplit, SegmentationSplit]:
        """Classes that the masks of the two splits know by the same ids."""
        ignored = settings.ignore_ids
        with naming("--train-split"):
            train = open_one(settings, settings.data, settings.train_split, settings.classes or None, ignored)
        with naming("--val-split"):
            val = open_one(settings, settings.data, settings.val_split, train.classes, ignored)
        for split, name in ((train, settings.train_split), (val, settings.val_split)):
            look_at_masks(split, _told(settings.data, name), split is train, bool(settings.classes))
        return train, val

    def judged_on(self, settings: TrainSegmentation) -> dict[str, Any]:
        data = settings.data if settings.data == "streets" else str(Path(settings.data).resolve())
        return {"data": data, "split": settings.val_split, "ignore_ids": list(settings.ignore_ids)}

    def data(
        self,
        settings: TrainSegmentation,
        train: SegmentationSplit,
        val: SegmentationSplit,
        description: ModelDescription,
    ) -> DataModule:
        augmentation = MaskAugmentation(settings.augment, description.canvas, settings.scale_range)
        training = SegmentationDataset(train, augmentation, seed=settings.seed, substitute=True)
        validation = SegmentationDataset(val, canvas=_size(settings.eval_size, "--eval-size"))
        sizes = (settings.batch_size, settings.workers, settings.seed, settings.eval_batch)
        return DataModule(training, validation, *sizes)

    def seen(self, settings: TrainSegmentation, model: nn.Module) -> dict[str, Any]:
        assert isinstance(model, Head)
        return {**_seen(model, _size(settings.eval_size, "--eval-size")), "batch_size": settings.eval_batch}

    def judge(self, split: SegmentationSplit, folder: Path, evaluation: dict[str, Any]) -> SegmentationJudge:
        return SegmentationJudge(scoring(split), split.image_ids.tolist(), folder, evaluation)

    def open_judged(
        self, settings: EvalSegmentation, known: dict[str, Any] | None, classes: Sequence[str] | None
    ) -> tuple[SegmentationSplit, dict[str, Any]]:
        known = known or {}
        data = settings.data or known.get("data") or refuse_unknown_data(settings)
        ignored = settings.ignore_ids
        if ignored is None:
            ignored = known.get("ignore_ids") or [] if _same_place(settings.data, known.get("data")) else []
        with naming("--split"):
            split = open_one(settings, data, settings.split, classes, ignored)
        if rank() == 0:
            tell_reading([split], out := Path(settings.out) if settings.out else None)
            list_skips([split], out)
        if settings.submission is None and not has_labels(split):
            raise InputError(
                f"{_told(data, settings.split)}: no labels: no pixel of a class in any mask, as in a test split whose "
                "labels a server has; --checkpoint with --submission DIR writes what it judges [D36]"
            )
        return split, {"data": data, "split": settings.split, "ignore_ids": list(ignored)}

    def adapt(
        self, settings: EvalSegmentation, model: nn.Module, description: ModelDescription
    ) -> tuple[nn.Module, dict[str, Any]]:
        if settings.output_stride is not None:
            model = _at_stride(model, description, settings.output_stride)
        assert isinstance(model, Head)
        window, size = _size(settings.window, "--window"), _size(settings.size)
        changed = {
            **_seen(model, size),
            "scales": list(settings.scales),
            "flip": settings.flip,
            "window": window and list(window),
            "overlap": settings.overlap if window else None,
            "submission": settings.submission,  # what goes on with another would lack the images judged before
        }
        if window is None and not settings.flip and settings.scales == [1.0]:
            return model, changed
        return ManyViews(model, window, settings.overlap, settings.scales, settings.flip), changed

    def judging_data(
        self, settings: EvalSegmentation, split: SegmentationSplit, description: ModelDescription
    ) -> DataModule:
        validation = SegmentationDataset(split, canvas=_size(settings.size))
        return DataModule(None, validation, settings.batch_size, settings.workers, 0)

    def judge_again(
        self,
        settings: EvalSegmentation,
        split: SegmentationSplit,
        out: Path | None,
        evaluation: dict[str, Any],
        before: Counted | None,
    ) -> SegmentationJudge:
        each = None
        if (folder := settings.submission) is not None:
            if rank() == 0 and not (out and part_files(out)):  # else these are of the evaluation that is gone on with
                _refuse_overwriting(Path(folder), split)

            def each(info: ImageInfo, classes: Tensor) -> None:
                write_prediction(Path(folder), info.file, classes, split.category_ids)

        return SegmentationJudge(scoring(split), split.image_ids.tolist(), out, evaluation, before, each)

    def read_before(self, files: Sequence[Path], split: SegmentationSplit) -> tuple[dict[str, Any] | None, Counted]:
        return read_counted(files, scoring(split))

    def report(
        self,
        metrics: dict[str, Any],
        judge: SegmentationJudge,
        net: nn.Module,
        data: DataModule,
        out: Path | None,
        source: dict[str, Any],
    ) -> Outcome:
        samples = data.validation
        assert isinstance(samples, SegmentationDataset)
        return write_report(metrics, samples.split, partial(_predicted, net, samples), out, source)


def _told(data: str, split: str) -> str:
    return f"{printable(data)}, split {printable(split)}"


def _at_stride(model: nn.Module, description: ModelDescription, stride: int) -> nn.Module:
    """The same weights in a net of another output stride."""
    other = build_from(replace(description, options={**description.options, "output_stride": stride}))
    load_state(other, model.state_dict(), "the checkpoint")
    return other.eval()


def _seen(model: Head, size: tuple[int, int] | None) -> dict[str, Any]:
    """How pictures are looked at, once and whole; size: None is their own."""
    stride = model.options.output_stride or model.output_stride
    once = {"scales": [1.0], "flip": False, "window": None, "overlap": None}
    return {"size": size and list(size), "output_stride": stride, **once}


def _size(size: int | list[int] | None, flag: str = "--size") -> tuple[int, int] | None:
    return None if size is None else canvas_of(size, flag)


def _same_place(given: str | None, known: str | None) -> bool:
    """Whether the data that a flag names, if it does, are those of an earlier judging."""
    if given is None or given == known:
        return True
    try:
        return known is not None and Path(given).samefile(known)
    except (OSError, ValueError):  # no such place; a zero byte in a name
        return False


def _refuse_overwriting(folder: Path, split: SegmentationSplit) -> None:
    """Masks without Cityscapes' names are called like the true ones, and might be put in their place."""
    problems = Problems()
    for path in (folder / prediction_name(str(file)) for file in split.files):
        if os.path.lexists(path):
            problems.add(f"--submission: {printable(path)}: is there already; name a new folder")
    problems.refuse()


def _predicted(net: nn.Module, samples: SegmentationDataset, index: int) -> np.ndarray:
    """(H, W) uint8 classes of a picture of the split, in file px."""
    image, _, info, _ = samples[0, index]
    device = next(net.parameters()).device
    with torch.inference_mode():
        logits = net.eval()(to_unit(image[None].to(device)))
    return classes_of(logits[0], info).cpu().numpy()
