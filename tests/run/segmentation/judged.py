"""What the tests of runs, of judging and of prediction share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from densenets.config import EvalSegmentation, TrainSegmentation
from densenets.run import evaluate_segmentation

MEANS = ("mIoU", "category_mIoU", "iIoU", "category_iIoU", "pixel_accuracy")
Quick = Callable[..., TrainSegmentation]


def judge(run: Path, **changes: Any) -> dict[str, Any]:
    return evaluate_segmentation(EvalSegmentation(checkpoint=str(run), workers=0, accelerator="cpu", **changes)).results


def numbers(results: dict[str, Any]) -> dict[str, Any]:
    return {name: results[name] for name in (*MEANS, "per_class", "per_category", "confusion")}
