"""The Lightning module of detection: losses in training, detections in validation."""

import math
from collections.abc import Callable
from typing import Any, Protocol, cast

import lightning as L
import torch
from torch import Tensor, nn

from densenets.config import TrainDetection
from densenets.contract import Batch, Detections, Detector, ImageInfo
from densenets.errors import DivergedError, printable
from densenets.training.recipe import build_optimizer, learning_rate


class Judge(Protocol):
    """Collects the detections of a split and gives its numbers; `metrics` has the real one."""

    def reset(self) -> None: ...

    def add(self, detections: Detections, infos: list[ImageInfo]) -> None: ...

    def result(self) -> dict[str, Any]: ...


class DetectionTask(L.LightningModule):
    """Trains a `Detector` by its recipe and hands its detections to a judge.

    description: plain types that make the model again; travels in every checkpoint. total_steps: of the optimiser, over
    the whole training. (Lightning's own estimate of them would start the loaders before a checkpoint is restored, at
    the wrong place.)
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: TrainDetection,
        judge: Judge,
        description: dict[str, Any],
        total_steps: int = 1,
    ) -> None:
        super().__init__()
        self.total_steps = total_steps
        self.model = model
        self.recipe, self.judge, self.description = recipe, judge, description
        self.skipped: list[str] = []

    @property
    def detector(self) -> Detector:
        return cast(Detector, self.model)

    def on_train_epoch_start(self) -> None:
        if self.current_epoch + 1 == self.trainer.max_epochs:
            self.trainer.check_val_every_n_epoch = 1  # the last epoch is always judged

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.skipped.extend(batch.skipped)
        losses = self.detector.losses(to_unit(batch.images), batch.targets)
        total = cast(Tensor, sum(losses.values()))
        if not torch.isfinite(total):
            raise DivergedError(self._divergence(losses, batch))
        count = len(batch.infos)
        for name, value in {"loss": total, **{f"loss_{name}": value for name, value in losses.items()}}.items():
            self.log(name, value.detach(), prog_bar=True, on_step=True, on_epoch=True, batch_size=count)
        return total

    def _divergence(self, losses: dict[str, Tensor], batch: Batch) -> str:
        terms = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.items())
        images = ", ".join(printable(info.file) for info in batch.infos)
        return f"step {self.global_step}: the loss is not finite ({terms}); images of the batch: {images}"

    def on_validation_epoch_start(self) -> None:
        self.judge.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.judge.add(self.model(to_unit(batch.images)), batch.infos)

    def on_validation_epoch_end(self) -> None:
        for name, value in self.judge.result().items():
            if name.startswith("A"):  # COCO's twelve are AP.. and AR..; one that is undefined is logged as NaN
                number = math.nan if value is None else float(value)
                self.log(name, torch.tensor(number, dtype=torch.float64).float(), prog_bar=name in ("AP", "AP50"))

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.model, self.recipe)
        factor: Callable[[int], float] = learning_rate(self.recipe, self.total_steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["densenets"] = self.description


def to_unit(images: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) as loaded -> float32 in [0, 1], channels_last."""
    if images.dtype == torch.uint8:
        images = images.float().div_(255)
    return images.contiguous(memory_format=torch.channels_last)
