"""The Lightning module of both tasks: losses in training, predictions for a judge in validation."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import lightning as L
import torch
from torch import Tensor, nn

from densenets.config import Training
from densenets.contract import Batch, Detector, ImageInfo, Segmenter
from densenets.errors import DivergedError, printable
from densenets.training.recipe import build_optimizer, learning_rate
from densenets.training.signals import StopRequest
from densenets.training.together import gathered


class Judge(Protocol):
    """Collects the predictions of a split and gives its numbers; `metrics` has the real ones."""

    @property
    def logged(self) -> Sequence[str]:
        """Names of `result` that are followed over the epochs, each a number or None. The first one chooses the best
        checkpoint; it and the second stand in the progress bar."""
        ...

    def reset(self) -> None: ...

    def add(self, outputs: Any, infos: list[ImageInfo], targets: list[Any]) -> None: ...

    def result(self) -> dict[str, Any]: ...


class Task(L.LightningModule):
    """Trains a `Detector` or a `Segmenter` by its recipe and hands its predictions to a judge.

    description: plain types that make the model again; travels in every checkpoint. total_steps: of the optimiser, over
    the whole training (Lightning's own estimate of them would start the loaders before a checkpoint is restored, at
    the wrong place). stop: asks it to end at the next step. origin: what a resumed run must have in common with this
    one, see `run.resume`.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Training,
        judge: Judge,
        description: dict[str, Any],
        total_steps: int = 1,
        stop: StopRequest | None = None,
        origin: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.total_steps = total_steps
        self.model = model
        self.recipe, self.judge, self.description = recipe, judge, description
        self.skipped: list[str] = []
        self.stop, self.origin = stop or StopRequest(), origin or {}
        self.asked_to_stop = 0  # what all processes agreed on in the last step
        self.sums: dict[str, float] = {}  # of the losses over the epoch's images, all processes together
        self.seen = 0.0  # images
        self.judged: dict[str, float] = {}  # the last validation's numbers; Lightning keeps them as float32

    @property
    def net(self) -> Detector | Segmenter:
        return cast(Detector | Segmenter, self.model)

    def on_train_start(self) -> None:
        self._judge_the_last_epoch()  # the next hook does not run where an epoch is resumed

    def on_train_epoch_start(self) -> None:
        self.sums, self.seen = {}, 0.0
        self._judge_the_last_epoch()

    def _judge_the_last_epoch(self) -> None:
        if self.current_epoch + 1 == self.trainer.max_epochs:
            self.trainer.check_val_every_n_epoch = 1

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Whatever a step draws depends on its place alone, not on what was drawn before."""
        step = self.current_epoch * int(self.trainer.num_training_batches) + batch_idx
        torch.manual_seed((self.recipe.seed << 31) + step * self.trainer.world_size + self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.skipped.extend(batch.skipped)
        losses = self.net.losses(to_unit(batch.images), batch.targets)
        total = cast(Tensor, sum(losses.values()))
        self._agree({"loss": total, **{f"loss_{name}": value for name, value in losses.items()}}, batch)
        return total

    def _agree(self, losses: dict[str, Tensor], batch: Batch) -> None:
        """Add the step's losses up over all processes; stop all of them where one diverged or was asked to stop."""
        values = torch.stack([value.detach().double() for value in losses.values()])
        sound = bool(values.isfinite().all())
        rows = gathered([*values.tolist(), len(batch.infos), self.stop.asked], self.device)
        if not rows.isfinite().all():
            other = f"step {self.global_step}: the loss of another process is not finite [T03]"
            raise DivergedError(other if sound else self._divergence(losses, batch))
        self.asked_to_stop = int(rows[:, -1].max())
        added = (rows[:, :-2] * rows[:, -2:-1]).sum(dim=0).tolist()
        self.sums = {name: self.sums.get(name, 0.0) + more for name, more in zip(losses, added, strict=True)}
        self.seen += float(rows[:, -2].sum())
        for name, value in losses.items():
            self.log(f"{name}_step", value.detach(), prog_bar=True, on_step=True, on_epoch=False)

    def means(self) -> dict[str, float]:
        """The losses of the epoch so far: means over its images, of all processes."""
        return {name: value / self.seen for name, value in self.sums.items()} if self.seen else {}

    def on_train_epoch_end(self) -> None:
        for name, value in self.means().items():
            self.log(name, torch.tensor(value, dtype=torch.float64).float())

    def _divergence(self, losses: dict[str, Tensor], batch: Batch) -> str:
        terms = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.items())
        images = ", ".join(printable(info.file) for info in batch.infos)
        return f"step {self.global_step}: the loss is not finite ({terms}) [T01]; images of the batch: {images}"

    def on_validation_epoch_start(self) -> None:
        # The numbers that are logged are the same in all processes, which is not what Lightning expects.
        warnings.filterwarnings("ignore", ".*sync_dist=True.*")
        self.judge.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if batch.infos:  # else all of it is filling, which another process' images make necessary
            self.judge.add(self.model(to_unit(batch.images)), batch.infos, batch.targets)

    def on_validation_epoch_end(self) -> None:
        numbers = self.judge.result()
        for place, name in enumerate(self.judge.logged):
            number = math.nan if numbers[name] is None else float(numbers[name])  # undefined
            self.judged[name] = number
            self.log(name, torch.tensor(number, dtype=torch.float64).float(), prog_bar=place < 2)

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.model, self.recipe)
        factor: Callable[[int], float] = learning_rate(self.recipe, self.total_steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["densenets"] = self.description
        checkpoint["origin"] = self.origin
        checkpoint["losses"] = {"sums": self.sums, "seen": self.seen}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        losses = checkpoint.get("losses", {})
        self.sums, self.seen = dict(losses.get("sums", {})), float(losses.get("seen", 0.0))


def to_unit(images: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) as loaded -> float32 in [0, 1], channels_last."""
    if images.dtype == torch.uint8:
        images = images.float().div_(255)
    return images.contiguous(memory_format=torch.channels_last)
