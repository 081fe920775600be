"""Checkpoints: written durably with a digest, never with weights that are not finite, read without running anything."""

import logging
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from densenets.errors import DivergedError, InputError, StorageError, printable
from densenets.files import check_archive
from densenets.storage import check_digest, sidecar, write_durably

log = logging.getLogger(__name__)

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
FALLBACKS = (LAST, PREVIOUS, BEST)  # where a damaged one is followed by the next


class DurableCheckpointIO(CheckpointIO):
    """Lightning writes into $TMPDIR and moves: a copy, not a rename, where that is another file system.

    What was last.ckpt becomes previous.ckpt, if this object wrote or read it: a damaged one must not take the place of
    a sound one. on_error: "stop" raises StorageError where a file cannot be written, "warn" goes on with the old one.
    """

    def __init__(self, on_error: str = "stop") -> None:
        self.on_error = on_error
        self.sound: set[Path] = set()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        path = Path(path)
        parts = [checkpoint.get(part, {}) for part in ("state_dict", "averaged")]
        bad = [name for part in parts for name, value in part.items() if not sound(value)]
        if bad:
            raise DivergedError(f"{printable(path)}: not saved: {len(bad)} weights are not finite, the first {bad[0]}")
        try:
            keep = path.with_name(PREVIOUS) if path.name == LAST and path.resolve() in self.sound else None
            write_durably(path, lambda handle: _pack(checkpoint, handle, path), digest=True, keep=keep)
            self.sound.add(path.resolve())
        except StorageError as fault:
            if self.on_error == "stop":
                raise
            log.warning("%s; going on", fault)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        checkpoint = read_checkpoint(Path(path))
        self.sound.add(Path(path).resolve())
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)
        sidecar(Path(path)).unlink(missing_ok=True)


def _pack(checkpoint: dict[str, Any], handle: Any, path: Path) -> None:
    try:
        torch.save(checkpoint, handle)
    except RuntimeError as fault:  # so torch tells of a full disk, in words about its own position in the file
        if "unexpected pos" not in str(fault):
            raise
        raise StorageError(f"{printable(path)}: cannot be written: no space left; kept as it was [T13]") from fault


def sound(value: torch.Tensor) -> bool:
    return not value.is_floating_point() or bool(value.isfinite().all())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The plain types of a checkpoint, on the CPU. Raises InputError for whatever is not one."""
    if not path.is_file():
        raise InputError(f"{printable(path)}: no such checkpoint")
    check_digest(path)
    check_archive(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:
        reason = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
        raise InputError(f"{printable(path)}: not a readable checkpoint: {printable(reason[:200])}") from fault
    if not isinstance(checkpoint, dict):
        raise InputError(f"{printable(path)}: holds a {type(checkpoint).__name__}, not a checkpoint")
    return checkpoint


def newest_sound(folder: Path) -> Path:
    """The last checkpoint of a folder, or where it is damaged the one before. Raises InputError where none is left."""
    faults = []
    for name in FALLBACKS:
        if not (folder / name).is_file():
            continue
        try:
            read_checkpoint(folder / name)
        except InputError as fault:
            faults.append(str(fault))
            continue
        for line in faults:
            log.warning("%s; going on from %s", line, name)
        return folder / name
    raise InputError("\n".join(faults) or f"{printable(folder)}: no checkpoint ({', '.join(FALLBACKS)})")
