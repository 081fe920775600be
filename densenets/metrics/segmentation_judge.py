"""Collects the counts of a split over batches and processes, and has them scored once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from densenets.contract import ImageInfo, Mask
from densenets.errors import Problems, printable
from densenets.metrics.image_counts import pixels_of, rows_of
from densenets.metrics.parts import PartWriter, read_lines
from densenets.metrics.processes import Fault, on_the_first, own_part, refuse_doubles, refuse_faults, told_to_all
from densenets.metrics.segmentation_iou import (
    Counts,
    Rules,
    Total,
    added,
    count,
    from_plain,
    nothing,
    plain,
    scores,
)


class Counted(NamedTuple):
    """What was judged so far: the images' ids, their sum, and what each of them adds, see `image_counts.pixels_of`."""

    images: list[int]
    counts: Counts
    each: Sequence[np.ndarray]


class Share(NamedTuple):
    """What one process has counted. faults: what it could not take."""

    counted: Counted
    faults: list[Fault]


class SegmentationJudge:
    """The scores of one split, from any number of processes, see `segmentation_iou.scores`.

    Each process adds up its own images' counts, whatever their number in the same memory but for a row for each object
    and three for each image, and with `folder` writes those of each image there as they come, see `parts`. The first
    one adds the processes up.
    All of it is whole numbers, so that no split of the images over processes changes a bit.

    images: the ids of all images of the split. evaluation: plain types that say what is judged by what. before: what an
    earlier process judged of the same; the parts in `folder` are gone on with. each: gets the (H, W) uint8 classes
    of every image at its file's size, on the model's device.
    """

    logged = ("mIoU", "pixel_accuracy", "category_mIoU", "iIoU", "category_iIoU")

    def __init__(
        self,
        rules: Rules,
        images: Sequence[int],
        folder: Path | None = None,
        evaluation: dict[str, Any] | None = None,
        before: Counted | None = None,
        each: Callable[[ImageInfo, Tensor], None] | None = None,
    ) -> None:
        self.rules, self.split = rules, [int(image) for image in images]
        self.folder, self.evaluation, self.before, self.each = folder, evaluation or {}, before, each
        self.part: PartWriter | None = None
        self._forget()

    def _forget(self) -> None:
        self.images: list[int] = []
        self.pixels: list[np.ndarray] = []
        self.total = Total(self.rules)
        self.faults: list[Fault] = []
        self.judged: dict[str, Any] | None = None

    def reset(self) -> None:
        """Before the first batch of a pass over the split."""
        self._forget()
        if self.part:
            self.part.close()
        if self.folder is not None:
            self.part = own_part(self.folder, self.evaluation, go_on=self.before is not None)

    def add(self, logits: Tensor, infos: list[ImageInfo], targets: Sequence[Mask]) -> None:
        """One batch: (N, C, h, w) logits of the canvas, brought to each file's size before a class is chosen.

        Images beyond the infos are filling and are dropped. A logit that is not finite is a fault of the model, told by
        `result` for all images of all processes.
        """
        for info, values, target in zip(infos, logits.detach()[: len(infos)], targets[: len(infos)], strict=True):
            if not all_finite(values):
                line = f"{printable(info.file)}: image {info.image_id}: the model gave a logit that is not finite [V03]"
                self.faults.append((info.image_id, line))
                continue
            prediction = classes_of(values, info)
            if self.each:  # before the image counts as judged, which an evaluation that breaks off would not repeat
                self.each(info, prediction)
            self._take(info.image_id, count(prediction, _moved(target, prediction.device), self.rules))

    def _take(self, image: int, counts: Counts) -> None:
        self.images.append(image)
        self.pixels.append(pixels_of(counts.matrix))
        self.total.add(counts)
        if self.part:
            self.part.add(image, plain(counts))

    def result(self) -> dict[str, Any]:
        """The scores, in every process; each has to ask. Raises in every process what the first one raises."""
        if self.judged is None:
            shares = on_the_first(Share(Counted(self.images, self.total.counts(), self.pixels), self.faults))
            self.judged = told_to_all(lambda: self._judge(shares))
        return self.judged

    def _judge(self, shares: list[Share]) -> dict[str, Any]:
        refuse_faults([fault for share in shares for fault in share.faults])
        before = self.before or Counted([], nothing(self.rules), [])
        refuse_doubles(before.images, [share.counted.images for share in shares])
        parts = [before, *(share.counted for share in shares)]
        _refuse_unseen({*self.split}.difference(*(part.images for part in parts)))
        whole = added([part.counts for part in parts], self.rules)
        images, each = [i for part in parts for i in part.images], [i for part in parts for i in part.each]
        return told(Counted(images, whole, each), self.rules)


def _refuse_unseen(images: set[int]) -> None:
    problems = Problems()
    for image in sorted(images):
        problems.add(f"image {image}: not judged [V06]")
    problems.refuse()


def _moved(target: Mask, device: torch.device) -> Mask:
    return Mask(target.ids.to(device), None if target.instances is None else target.instances.to(device))


def all_finite(logits: Tensor) -> bool:
    """(..., C, H, W). Read in the order of memory: where that is channels_last, a CPU takes 17 times as long else."""
    dense = logits if logits.is_contiguous() else logits.movedim(-3, -1)
    return bool(torch.stack(dense.aminmax()).isfinite().all())  # both are NaN where any is


def classes_of(logits: Tensor, info: ImageInfo) -> Tensor:
    """(H, W) uint8 class of each px of the file, on the logits' device; of equal logits the first."""
    in_file = info.logits_to_file(logits)
    return in_file.max(dim=0).indices.to(torch.uint8)  # argmax takes four times as long on a CPU


def told(counted: Counted, rules: Rules) -> dict[str, Any]:
    """`scores`; "counts": images, pixels that have a class, objects; "images": what `image_counts` writes."""
    counts = counted.counts
    numbers = {"images": len(counted.images), "pixels": int(counts.matrix.sum()), "objects": len(counts.objects)}
    return {**scores(counts, rules), "counts": numbers, "images": rows_of(counted.images, counted.each)}


def read_counted(files: Sequence[Path], rules: Rules) -> tuple[dict[str, Any] | None, Counted]:
    """What an evaluation that broke off left, and what it says of itself; None where no file got so far.

    Raises InputError, see `parts.read_lines`.
    """
    total = Total(rules)

    def take(line: dict[str, Any]) -> np.ndarray | None:
        counts = from_plain(line, rules)
        if counts is not None:
            total.add(counts)  # at once: all images' matrices would be too much
        return None if counts is None else pixels_of(counts.matrix)

    evaluation, images, each = read_lines(files, take, "cells, pixels and objects")
    return evaluation, Counted(images, total.counts(), each)
