"""Collects a split's detections over batches and processes, and has them judged once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch.distributed as dist

from densenets.contract import Detections, ImageInfo
from densenets.errors import DivergedError, printable
from densenets.metrics.coco_map import Result, evaluate, to_results


class CocoJudge:
    """COCO's numbers of one split.

    ground_truth: COCO form, see `coco_map.evaluate`. category_ids: the file's id of each label.
    """

    def __init__(self, ground_truth: dict[str, Any], category_ids: Sequence[int] | np.ndarray) -> None:
        self.ground_truth, self.category_ids = ground_truth, [int(number) for number in category_ids]
        self.found: dict[int, list[Result]] = {}

    def reset(self) -> None:
        self.found = {}

    def add(self, detections: Detections, infos: list[ImageInfo]) -> None:
        """One batch: canvas px become file px here."""
        moved = [output.detach().float().cpu() if output.is_floating_point() else output.cpu() for output in detections]
        for info, boxes, labels, scores in zip(infos, *moved, strict=True):
            if not (boxes.isfinite().all() and scores.isfinite().all()):
                raise DivergedError(f"{printable(info.file)}: the model gave a box or score that is not finite [V03]")
            filled = scores > 0
            in_file = info.to_file(boxes[filled]).numpy()
            self.found[info.image_id] = to_results(
                in_file, labels[filled].numpy(), scores[filled].numpy(), info.image_id, self.category_ids
            )

    def results(self) -> list[Result]:
        """Of all processes, by image id."""
        merged = self._merged()
        return [result for image_id in sorted(merged) for result in merged[image_id]]

    def result(self) -> dict[str, Any]:
        merged = self._merged()
        return evaluate(self.ground_truth, [r for i in sorted(merged) for r in merged[i]], seen=merged.keys())

    def _merged(self) -> dict[int, list[Result]]:
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return self.found
        parts: list[dict[int, list[Result]]] = [{} for _ in range(dist.get_world_size())]
        dist.all_gather_object(parts, self.found)
        return {image_id: found for part in parts for image_id, found in part.items()}
