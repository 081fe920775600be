"""What a run writes down while it goes on: metrics.csv, a line an epoch, the pictures it had to skip."""

import contextlib
import csv
import io
import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar

from densenets.errors import InputError, StorageError, printable
from densenets.storage import write_durably

log = logging.getLogger(__name__)
BAR = 64  # characters of the bar itself, with its counts and times
FIRST_COLUMNS = ("epoch", "step", "lr", "seconds")


class ProgressBar(RichProgressBar):
    """Lightning's bar on stderr, with the losses of the step and the last of the numbers `shown`."""

    def __init__(self, shown: Sequence[str] = ()) -> None:
        super().__init__(refresh_rate=1, console_kwargs={"stderr": True})
        self.shown = shown

    def _get_train_description(self, current_epoch: int) -> str:
        """Lightning's own counts from 0; this from 1, as the lines and the pictures of a run."""
        total = self.trainer.max_epochs
        text = f"Epoch {current_epoch + 1}" + ("" if total is None else f"/{total}")
        return f"{text:{len(self.validation_description)}}"  # of equal length: else the bar would jump

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        known = super().get_metrics(trainer, pl_module)
        losses = {name.removesuffix("_step"): value for name, value in known.items() if name.endswith("_step")}
        numbers = losses | {name: known[name] for name in self.shown if name in known}
        return fitting(numbers, self._console.width - BAR if self._console else BAR)


def fitting(numbers: dict[str, Any], room: int) -> dict[str, Any]:
    """The total loss, and of the others in their order those that fit beside it into `room` characters."""
    shown: dict[str, Any] = {}
    for name, value in numbers.items():
        room -= len(f"{name}: {value:.3f} ")
        if room >= 0 or not shown:
            shown[name] = value
    return shown


class Records(L.Callback):
    """metrics.csv in the run folder, one row an epoch; a resumed run keeps the rows up to where it starts.

    judged: names of the judge's numbers, those for the log first.
    """

    def __init__(self, folder: Path, judged: Sequence[str]) -> None:
        self.judged = judged
        self.path = folder / "metrics.csv"
        self.skipped_path = folder / "skipped.jsonl"
        self.rows: list[dict[str, Any]] = []
        self.first = 0  # epoch at which this process started
        self.started = self.seconds_before = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started, self.first = time.monotonic(), trainer.current_epoch
        self.rows = [row for row in read_rows(self.path) if row["epoch"] < trainer.current_epoch]

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds_before = state_dict["seconds"]

    @property
    def seconds(self) -> float:
        """Of training, those before a resume included."""
        return round(self.seconds_before + (time.monotonic() - self.started if self.started else 0.0), 2)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        """Skipped pictures are written down at once: whatever happens next, the list has them."""
        if lines := pl_module.skipped:
            append_lines(self.skipped_path, [{"epoch": trainer.current_epoch, "error": line} for line in lines])
            lines.clear()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seconds_before, self.started = self.seconds, 0.0

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Runs after the validation of the epoch, so that its numbers stand in the same row."""
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        row: dict[str, Any] = {"epoch": trainer.current_epoch, "step": trainer.global_step, "lr": rate}
        row["seconds"] = self.seconds
        judged = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        row.update(pl_module.means())
        for name, value in sorted(pl_module.judged.items()):
            if judged and math.isfinite(value):  # others are of an earlier epoch
                row[name] = value
        self.rows.append(row)
        if trainer.is_global_zero:
            write_rows(self.path, self.rows)
            self._tell_skipped(trainer.current_epoch)
            log.info(self._line(trainer, row))

    def _line(self, trainer: L.Trainer, row: dict[str, Any]) -> str:
        done, total = row["epoch"] + 1, trainer.max_epochs or 0
        here = done - self.first  # epochs of this process
        left = (time.monotonic() - self.started) / here * (total - done)
        numbers = [f"{name} {row[name]:.3f}" for name in ("loss", *self.judged[:2]) if name in row]
        return f"epoch {done}/{total}  {'  '.join(numbers)}  {clock(row['seconds'])} gone, about {clock(left)} left"

    def _tell_skipped(self, epoch: int) -> None:
        count = len({str(line) for line in read_lines(self.skipped_path) if line.get("epoch") == epoch})
        if count:
            log.warning("warning: skipped %d unreadable pictures this epoch; list: %s", count, self.skipped_path)


def append_lines(path: Path, items: list[dict[str, Any]]) -> None:
    """JSON lines, in one write: those of several processes do not mix. Raises StorageError."""
    text = "".join(json.dumps(item) + "\n" for item in items)
    try:
        with path.open("ab", buffering=0) as handle:
            handle.write(text.encode())
    except OSError as fault:
        raise StorageError(f"{printable(path)}: cannot be written: {fault.strerror or fault} [T13]") from fault


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file that is there, each once: a resumed run may have written some again.

    A line that a kill or a full disk cut short is left out.
    """
    found = []
    for line in dict.fromkeys(path.read_text(encoding="utf-8").splitlines() if path.is_file() else []):
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def clock(seconds: float) -> str:
    """123.4 -> "2:03"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """metrics.csv as numbers; a cell that is empty is missing from its row. Raises InputError for another file."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            rows = [{k: float(v) for k, v in row.items() if v not in ("", None)} for row in csv.DictReader(handle)]
        return [{**row, "epoch": int(row["epoch"]), "step": int(row["step"])} for row in rows]
    except (ValueError, KeyError, TypeError, OverflowError, csv.Error) as fault:
        raise InputError(f"{printable(path)}: not the table of a run: {printable(fault)}") from fault


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """All rows under one head, put in place in one move."""
    others = sorted({name for row in rows for name in row} - set(FIRST_COLUMNS))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*FIRST_COLUMNS, *others])
    writer.writeheader()
    writer.writerows(rows)
    write_durably(path, lambda handle: handle.write(text.getvalue().encode()))
