"""Collects a split's detections over batches and processes, and has them judged once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from densenets.contract import Detections, ImageInfo
from densenets.errors import printable
from densenets.metrics.coco_map import PER_IMAGE, evaluate_columns, names
from densenets.metrics.official import Judge, by_pycocotools
from densenets.metrics.parts import PartWriter
from densenets.metrics.predictions import Columns, Predictions, from_model, joined, plain
from densenets.metrics.processes import Fault, on_the_first, own_part, refuse_doubles, refuse_faults, told_to_all

NOTHING = Predictions(np.zeros(0, dtype=np.int64), joined([]))


class Share(NamedTuple):
    """What one process has found. faults: what it could not take."""

    images: list[int]
    found: Columns
    faults: list[Fault]


class CocoJudge:
    """COCO's numbers of one split, from any number of processes.

    Each process keeps its detections as columns, and with `folder` writes them there as they come, see `parts`. The
    first one joins them by image id and computes the numbers, which all processes get.

    ground_truth: COCO form, see `coco_map.evaluate_columns`. category_ids: the file's id of each label.
    evaluation: plain types that say what is judged by what. before: what an earlier process judged of the same;
    the parts in `folder` are gone on with.
    """

    def __init__(
        self,
        ground_truth: dict[str, Any],
        category_ids: Sequence[int] | np.ndarray,
        folder: Path | None = None,
        evaluation: dict[str, Any] | None = None,
        before: Predictions | None = None,
        per_image: int = PER_IMAGE,
        official: Judge = by_pycocotools,
    ) -> None:
        self.ground_truth, self.category_ids = ground_truth, [int(number) for number in category_ids]
        self.folder, self.evaluation, self.before = folder, evaluation or {}, before
        self.per_image, self.official = per_image, official
        self.part: PartWriter | None = None
        self._forget()

    def _forget(self) -> None:
        self.images: list[int] = []
        self.columns: list[Columns] = []
        self.faults: list[Fault] = []
        self.judged: dict[str, Any] | None = None
        self.whole = NOTHING

    @property
    def logged(self) -> Sequence[str]:
        """COCO's twelve, AP first."""
        return names(self.per_image)

    def reset(self) -> None:
        """Before the first batch of a pass over the split."""
        self._forget()
        if self.part:
            self.part.close()
        if self.folder is not None:
            self.part = own_part(self.folder, self.evaluation, go_on=self.before is not None)

    def add(self, detections: Detections, infos: list[ImageInfo], targets: Sequence[object] = ()) -> None:
        """One batch: canvas px become file px here. Rows beyond the infos are filling and are dropped.

        A box or score that is not finite is a fault of the model, told by `result` for all images of all processes.
        """
        moved = [output.detach().cpu() for output in detections]
        for info, boxes, labels, scores in zip(infos, *(output[: len(infos)] for output in moved), strict=True):
            if not (boxes.isfinite().all() and scores.isfinite().all()):
                line = (
                    f"{printable(info.file)}: image {info.image_id}: the model gave a box or score that is not finite"
                )
                self.faults.append((info.image_id, f"{line} [V03]"))
                continue
            filled = scores > 0
            in_file = info.to_file(boxes[filled].float())
            found = from_model(in_file, labels[filled], scores[filled].float(), info.image_id, self.category_ids)
            self.images.append(info.image_id)
            self.columns.append(found)
            if self.part:
                self.part.add(info.image_id, plain(found))

    def result(self) -> dict[str, Any]:
        """The numbers, in every process; each has to ask. Raises in every process what the first one raises."""
        if self.judged is None:
            shares = on_the_first(Share(self.images, joined(self.columns), self.faults))
            self.judged = told_to_all(lambda: self._judge(shares))
        return self.judged

    def predictions(self) -> Predictions:
        """Of all processes after `result`, by image id; in the first process, nothing in the others."""
        return self.whole

    def _judge(self, shares: list[Share]) -> dict[str, Any]:
        refuse_faults([fault for share in shares for fault in share.faults])
        before = self.before or NOTHING
        refuse_doubles(before.images.tolist(), [share.images for share in shares])
        images = np.sort(np.array([*before.images, *(i for share in shares for i in share.images)], dtype=np.int64))
        self.whole = Predictions(images, joined([before.found, *(share.found for share in shares)]).canonical())
        self.images, self.columns = [], []
        return evaluate_columns(
            self.ground_truth, self.whole.found, seen=images.tolist(), per_image=self.per_image, judge=self.official
        )
