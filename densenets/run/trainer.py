"""Lightning's trainer as a recipe asks for it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from densenets.config import Training
from densenets.errors import DensenetsError, InputError, Stopped, printable
from densenets.run.slurm import requeue, without_requeue
from densenets.run.workers import HeedTheOthers
from densenets.training.durable import DurableCheckpointIO
from densenets.training.recipe import EMA, SameStatistics
from densenets.training.records import ProgressBar
from densenets.training.saving import Best, Saving
from densenets.training.signals import take_signals_from


class LateLogger(TensorBoardLogger):
    """Makes its folder with the first numbers, though Lightning asks for the writer of its file before it trains: a
    training that is refused leaves none."""

    begun = False

    @property
    def experiment(self) -> Any:
        return super().experiment if self.begun else None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.begun = True
        super().log_metrics(metrics, step)

    def save(self) -> None:
        if self.begun:
            super().save()


def refuse_bad_trainer(settings: Training) -> None:
    """Whether Lightning takes what was asked of it, before anything is loaded."""
    try:
        L.Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=settings.strategy,
            precision=settings.precision,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (TypeError, ValueError, RuntimeError, MisconfigurationException) as fault:
        reason = str(fault).strip().splitlines()[0]
        raise InputError(f"--devices, --accelerator, --strategy, --precision: {printable(reason)}") from fault


def build_trainer(
    settings: Training, folder: Path, watching: list[Callback], judged: Sequence[str], steps: int
) -> L.Trainer:
    """Lightning's trainer for a recipe, with everything it writes inside the run folder.

    judged: the judge's numbers, the one that chooses the best checkpoint first. steps: done already.
    """
    callbacks: list[Callback] = [SameStatistics(), *([EMA(settings.ema)] if settings.ema else []), *watching]
    callbacks += [ProgressBar(judged[:2]), HeedTheOthers(), Best(folder / "checkpoints", judged[0])]
    trainer = L.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=settings.strategy,
        precision=settings.precision,
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip or None,
        check_val_every_n_epoch=settings.validate_every,
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
        logger=LateLogger(folder, name="", version="tensorboard", purge_step=steps or None),
        plugins=[DurableCheckpointIO(settings.on_save_error), *without_requeue()],
        callbacks=callbacks,
    )
    take_signals_from(trainer)
    return trainer


@contextlib.contextmanager
def stoppable(saving: Saving, trainer: L.Trainer) -> Iterator[None]:
    """Signals ask the training inside to stop; under SLURM the job is queued again where the signal meant that."""
    saving.stop.listen()
    try:
        yield
    except DensenetsError as fault:
        if isinstance(fault, Stopped) and fault.again and trainer.is_global_zero:
            requeue()
        raise
    finally:
        saving.stop.leave()
