"""What a run writes down while it goes on: metrics.csv, a line an epoch, the pictures it had to skip."""

import csv
import json
import logging
import math
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch.distributed as dist
from lightning.pytorch.callbacks import RichProgressBar

log = logging.getLogger(__name__)
FIRST_COLUMNS = ("epoch", "step", "lr", "seconds")


class ProgressBar(RichProgressBar):
    """Lightning's bar on stderr, with the losses of the step and the last AP."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=1, console_kwargs={"stderr": True})

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        known = super().get_metrics(trainer, pl_module)
        losses = {name.removesuffix("_step"): value for name, value in known.items() if name.endswith("_step")}
        return losses | {name: known[name] for name in ("AP", "AP50") if name in known}


class Records(L.Callback):
    """metrics.csv in the run folder, one row an epoch; a resumed run keeps the rows up to where it starts."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "metrics.csv"
        self.skipped_path = folder / "skipped.jsonl"
        self.rows: list[dict[str, Any]] = []
        self.first = 0  # epoch at which this process started
        self.started = self.seconds_before = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started, self.first = time.monotonic(), trainer.current_epoch
        self.rows = [row for row in read_rows(self.path) if row["epoch"] < trainer.current_epoch]
        self.seconds_before = float(self.rows[-1]["seconds"]) if self.rows else 0.0

    @property
    def seconds(self) -> float:
        """Of training, those before a resume included."""
        return float(self.rows[-1]["seconds"]) if self.rows else 0.0

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Runs after the validation of the epoch, so that its numbers stand in the same row."""
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        row: dict[str, Any] = {"epoch": trainer.current_epoch, "step": trainer.global_step, "lr": rate}
        row["seconds"] = round(self.seconds_before + time.monotonic() - self.started, 2)
        judged = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        skipped = _of_all_processes(getattr(pl_module, "skipped", []))
        for name, value in sorted(trainer.callback_metrics.items()):
            old = not judged and name.startswith("A")  # of an earlier epoch
            if not name.endswith(("_step", "_epoch")) and not old and math.isfinite(float(value)):
                row[name] = float(value)
        self.rows.append(row)
        if trainer.is_global_zero:
            write_rows(self.path, self.rows)
            self._write_skipped(skipped)
            log.info(self._line(trainer, row))

    def _line(self, trainer: L.Trainer, row: dict[str, Any]) -> str:
        done, total = row["epoch"] + 1, trainer.max_epochs or 0
        here = done - self.first  # epochs of this process
        left = (time.monotonic() - self.started) / here * (total - done)
        numbers = [f"{name} {row[name]:.3f}" for name in ("loss", "AP", "AP50") if name in row]
        return f"epoch {done}/{total}  {'  '.join(numbers)}  {clock(row['seconds'])} gone, about {clock(left)} left"

    def _write_skipped(self, lines: list[str]) -> None:
        if not lines:
            return
        log.warning("skipped %d unreadable pictures this epoch; list: %s", len(lines), self.skipped_path)
        with self.skipped_path.open("a") as handle:
            handle.writelines(json.dumps({"error": line}) + "\n" for line in lines)


def _of_all_processes(lines: list[str]) -> list[str]:
    """The lines of every process, taken out of their lists."""
    own = lines[:]
    lines.clear()
    if not (dist.is_available() and dist.is_initialized()):
        return own
    parts: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, own)
    return [line for part in parts for line in part]


def clock(seconds: float) -> str:
    """123.4 -> "2:03"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """metrics.csv as numbers; a cell that is empty is missing from its row."""
    if not path.is_file():
        return []
    with path.open(newline="") as handle:
        rows = [{k: float(v) for k, v in row.items() if v not in ("", None)} for row in csv.DictReader(handle)]
    return [{**row, "epoch": int(row["epoch"]), "step": int(row["step"])} for row in rows]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """All rows under one head, put in place in one move."""
    others = sorted({name for row in rows for name in row} - set(FIRST_COLUMNS))
    beside = path.with_suffix(".tmp")
    with beside.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, [*FIRST_COLUMNS, *others])
        writer.writeheader()
        writer.writerows(rows)
    beside.replace(path)
