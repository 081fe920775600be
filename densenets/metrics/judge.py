"""Collects a split's detections over batches and processes, and has them judged once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch.distributed as dist

from densenets.contract import Detections, ImageInfo
from densenets.errors import DensenetsError, DivergedError, Problems, printable
from densenets.metrics.coco_map import PER_IMAGE, evaluate_columns
from densenets.metrics.official import Judge, by_pycocotools
from densenets.metrics.parts import PartWriter, part_file, part_files
from densenets.metrics.predictions import Columns, Predictions, from_model, joined

NOTHING = Predictions(np.zeros(0, dtype=np.int64), joined([]))


class Share(NamedTuple):
    """What one process has found. faults: (image id, line) of what it could not take."""

    images: list[int]
    found: Columns
    faults: list[tuple[int, str]]


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
        self.faults: list[tuple[int, str]] = []
        self.judged: dict[str, Any] | None = None
        self.whole = NOTHING

    def reset(self) -> None:
        """Before the first batch of a pass over the split."""
        self._forget()
        if self.part:
            self.part.close()
        if self.folder is not None:
            if self.before is None and _rank() == 0:
                _remove_others(self.folder)
            self.part = PartWriter(part_file(self.folder, _rank()), self.evaluation, go_on=self.before is not None)

    def add(self, detections: Detections, infos: list[ImageInfo]) -> None:
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
                self.part.add(info.image_id, found)

    def result(self) -> dict[str, Any]:
        """The numbers, in every process; each has to ask. Raises in every process what the first one raises."""
        if self.judged is None:
            shares = _on_the_first(Share(self.images, joined(self.columns), self.faults))
            self.judged = _told_to_all(lambda: self._judge(shares))
        return self.judged

    def predictions(self) -> Predictions:
        """Of all processes after `result`, by image id; in the first process, nothing in the others."""
        return self.whole

    def _judge(self, shares: list[Share]) -> dict[str, Any]:
        _refuse_faults([fault for share in shares for fault in share.faults])
        before = self.before or NOTHING
        parts = [before.images.tolist(), *(share.images for share in shares)]
        _refuse_doubles(parts)
        images = np.array(sorted(image for part in parts for image in part), dtype=np.int64)
        self.whole = Predictions(images, joined([before.found, *(share.found for share in shares)]).canonical())
        self.images, self.columns = [], []
        return evaluate_columns(
            self.ground_truth, self.whole.found, seen=images.tolist(), per_image=self.per_image, judge=self.official
        )


def _remove_others(folder: Path) -> None:
    """Parts of an earlier pass that had more processes; each of these empties its own."""
    own = {part_file(folder, rank) for rank in range(dist.get_world_size() if _several() else 1)}
    for path in set(part_files(folder)) - own:
        path.unlink(missing_ok=True)


def _refuse_faults(faults: list[tuple[int, str]]) -> None:
    problems = Problems()
    for _, line in sorted(faults):
        problems.add(line)
    problems.refuse(DivergedError)


def _refuse_doubles(parts: list[list[int]]) -> None:
    """Each image is judged by one process, once: scored twice it would change every number."""
    problems = Problems()
    first: dict[int, str] = {}
    names = ["an earlier process", *(f"process {rank}" for rank in range(len(parts) - 1))]
    for name, part in zip(names, parts, strict=True):
        for image in part:
            if image in first:
                problems.add(f"image {image}: judged by {first[image]} and again by {name} [V14]")
            first.setdefault(image, name)
    problems.refuse()


# Between processes


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _rank() -> int:
    return dist.get_rank() if _several() else 0


def _on_the_first(share: Share) -> list[Share]:
    """The shares of all processes, by rank; none in the others."""
    if not _several():
        return [share]
    shares: list[Any] | None = [None] * dist.get_world_size() if _rank() == 0 else None
    dist.gather_object(share, shares, dst=0)
    return shares or []


def _told_to_all(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` gives in the first process, which alone does it; its error too, whose words the first one tells."""
    if not _several():
        return work()
    told: list[Any] = [None, None]
    fault: Exception | None = None
    if _rank() == 0:
        try:
            told = [work(), None]
        except Exception as error:
            fault, told = error, [None, type(error) if isinstance(error, DensenetsError) else RuntimeError]
    dist.broadcast_object_list(told, src=0)
    if fault is not None:
        raise fault
    if told[1] is not None:
        raise told[1]("")
    return dict(told[0])
