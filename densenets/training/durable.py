"""Checkpoints that survive: written beside their place, flushed to disk, renamed; read without running anything."""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from densenets.errors import DivergedError, InputError, printable

_UMASK = os.umask(0)  # reading it means setting it
os.umask(_UMASK)


class DurableCheckpointIO(CheckpointIO):
    """Lightning writes into $TMPDIR and moves: a copy, not a rename, where that is another file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        parts = [checkpoint.get(part, {}) for part in ("state_dict", "averaged")]
        bad = [name for part in parts for name, value in part.items() if not sound(value)]
        if bad:
            raise DivergedError(f"{printable(path)}: not saved: {len(bad)} weights are not finite, the first {bad[0]}")
        write_durably(Path(path), lambda handle: torch.save(checkpoint, handle))

    def load_checkpoint(
        self, path: Any, map_location: Any | None = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def sound(value: torch.Tensor) -> bool:
    return not value.is_floating_point() or bool(value.isfinite().all())


def write_durably(path: Path, write: Any) -> None:
    """Let `write(binary handle)` fill `path`, which holds either its old content or all of the new, at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        Path(name).chmod(0o666 & ~_UMASK)  # mkstemp's own mode would hide the file from everybody else
        with os.fdopen(number, "wb") as handle:
            write(handle)
            handle.flush()
            os.fsync(handle.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The plain types of a checkpoint, on the CPU. Raises InputError for whatever is not one."""
    if not path.is_file():
        raise InputError(f"{printable(path)}: no such checkpoint")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:
        reason = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
        raise InputError(f"{printable(path)}: not a readable checkpoint: {printable(reason[:200])}") from fault
    if not isinstance(checkpoint, dict):
        raise InputError(f"{printable(path)}: holds a {type(checkpoint).__name__}, not a checkpoint")
    return checkpoint
