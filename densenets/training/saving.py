"""When a training saves and when it stops: at step boundaries, on all processes alike.

Lightning's own checkpoints of the middle of an epoch repeat or leave out a batch, and a validation that was cut short.
Here a checkpoint says exactly which step it follows: its progress counters are put right as it is written.
"""

import shlex
import signal
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint

from densenets.errors import Stopped, printable
from densenets.training.durable import BEST, LAST
from densenets.training.signals import StopRequest
from densenets.training.together import gathered

UNSTARTED = {"ready": 0, "started": 0, "processed": 0, "completed": 0}
ENTERED = {**UNSTARTED, "ready": 1, "started": 1}  # Lightning then runs the validation from its first batch


class Saving(L.Callback):
    """Writes checkpoints/last.ckpt every `every` optimiser steps (0: never), before validation, and after each epoch.

    What was last.ckpt before becomes previous.ckpt. A stop that any process was asked for ends all of them with
    `Stopped` after the step at hand is saved; a validation is left at once, its epoch's last step being saved already.
    """

    def __init__(self, folder: Path, every: int, stop: StopRequest) -> None:
        self.folder, self.every, self.stop = folder, every, stop
        self.between_steps = False

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        loop = trainer.fit_loop.epoch_loop
        if loop._should_accumulate():
            return
        due = self.every > 0 and trainer.global_step % self.every == 0
        if due or pl_module.asked_to_stop or _validation_follows(trainer):
            self.between_steps = True
            self._save(trainer)
            self.between_steps = False
        if pl_module.asked_to_stop:
            raise self.stopped(pl_module.asked_to_stop, trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._save(trainer)

    def on_validation_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if self.stop.spread():
            raise StopIteration  # Lightning's own word for the end of a validation

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.stop_if_asked(trainer, pl_module)

    def stop_if_asked(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Raises `Stopped` on all processes if any of them was asked; each has to call this. All is saved already."""
        if asked := int(gathered([self.stop.asked], pl_module.device).max()):
            raise self.stopped(asked, trainer)

    def _save(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self.folder / LAST)

    def stopped(self, asked: int, trainer: L.Trainer) -> Stopped:
        """What ends a training that was asked to stop; SLURM's SIGUSR1 counts as SIGTERM, with `again` set."""
        again = f"--resume {shlex.quote(str(self.folder.parent))}"
        told = f"stopped after step {trainer.global_step}; saved: {self.folder / LAST}; go on with: {again}"
        fault = Stopped(printable(told), asked)
        if asked == signal.SIGUSR1:
            fault.exit_code, fault.again = 128 + signal.SIGTERM, True
        return fault

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        loop = checkpoint["loops"]["fit_loop"]
        if self.between_steps or trainer.validating:
            put_right(loop, _validation_follows(trainer))
        else:  # the epoch's end: a validation that was begun twice was one
            progress = loop["epoch_loop.val_loop.batch_progress"]
            progress["total"] = dict(progress["current"])


class Best(ModelCheckpoint):
    """Writes checkpoints/best.ckpt where a number of the validation is the highest so far.

    It does so before the epoch ends: the last.ckpt of that end then knows of it, whenever the process is killed. What
    it knows holds in a folder that was moved, too.
    """

    def __init__(self, folder: Path, number: str) -> None:
        super().__init__(
            folder,
            Path(BEST).stem,
            monitor=number,
            mode="max",
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )

    @property
    def state_key(self) -> str:
        """The one that checkpoints had before this class was."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if (score := state_dict["best_model_score"]) is not None:
            place = str(Path(str(self.dirpath)) / BEST)
            known = {"best_model_path": place, "kth_best_model_path": place, "best_k_models": {place: score}}
            state_dict = {**state_dict, **known}
        super().load_state_dict({**state_dict, "dirpath": self.dirpath})
        self.current_score = state_dict["current_score"]


def _validation_follows(trainer: L.Trainer) -> bool:
    loop = trainer.fit_loop.epoch_loop
    return bool(loop._num_ready_batches_reached() and loop._should_check_val_epoch())


def put_right(loop: dict[str, Any], validation_follows: bool) -> None:
    """Change the counters of a training loop, as Lightning saves them after a step, to what they will be right after.

    validation_follows: a run that resumes begins with the epoch's validation, from its first batch.
    """
    for part in ("total", "current"):
        loop["epoch_loop.batch_progress"][part]["completed"] = loop["epoch_loop.batch_progress"][part]["processed"]
    if validation_follows:
        loop["epoch_loop.val_loop.batch_progress"].update(total=dict(ENTERED), current=dict(UNSTARTED))
    else:
        loop["epoch_loop.state_dict"]["_batches_that_stepped"] += 1
