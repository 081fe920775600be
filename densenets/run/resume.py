"""Going on with a run: which checkpoint, and whether this is still the same training."""

import hashlib
import logging
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from densenets.build import ModelDescription, read_description
from densenets.config import ReadingRules, Training
from densenets.errors import InputError, printable
from densenets.heads import refuse_other_task
from densenets.run.folder import find_checkpoint
from densenets.training.durable import newest_sound, read_checkpoint

log = logging.getLogger(__name__)
AUTO = "auto"  # go on where --out holds a run, else start one: one command line for every try of a job

# Settings that may differ between the two parts of a run: they change no bit of its result.
FREE = {
    *ReadingRules.__dataclass_fields__,
    *("out", "resume", "workers", "worker_timeout", "save_every", "on_save_error", "allow_config_change"),
    *("data", "train_annotations", "train_images", "val_annotations", "val_images", "train_split", "val_split"),
    *("devices", "num_nodes", "strategy", "accelerator", "weights"),
}

FIXED = {"optimizer", "freeze_stages", "decay_all", "head_lr"}  # which parameters have which state
PARTS = {
    "global_step": int,
    "epoch": int,
    "state_dict": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": dict,
    "callbacks": dict,
    "pytorch-lightning_version": str,
}


def checkpoint_to_resume(settings: Training, task: str) -> Path | None:
    """The newest sound checkpoint of the run that --resume names, or that very file; None for a new run. Raises
    InputError, also for a run of another task."""
    if settings.resume is None:
        return None
    place = Path(settings.resume)
    if settings.resume == AUTO:
        if settings.out is None:
            raise InputError("--resume auto: needs --out, the folder that holds the run or will")
        place = Path(settings.out)
        if not (place / "checkpoints").is_dir() or not any((place / "checkpoints").glob("*.ckpt")):
            return None
    found = newest_sound(place / "checkpoints") if (place / "checkpoints").is_dir() else find_checkpoint(str(place))
    if found.parent.name != "checkpoints":
        raise InputError(f"--resume: {printable(found)}: expected a run folder or a file of its checkpoints folder")
    if settings.out is not None and Path(settings.out).resolve() != found.parent.parent.resolve():
        raise InputError(f"--out: {printable(settings.out)}: a resumed run stays in its folder")
    head = read_description(_read(found).get("densenets"), str(found)).head
    refuse_other_task(head, task, str(place), "--resume")
    return found


def origin(settings: Training, train: Any, val: Any, processes: int) -> dict[str, Any]:
    """What has to be the same for a resumed run to equal an unbroken one; travels in every checkpoint."""
    recipe = {name: value for name, value in asdict(settings).items() if name not in FREE}
    surroundings = {"processes": processes, "threads": torch.get_num_threads(), "torch": str(torch.__version__)}
    return {**recipe, "train data": fingerprint(train), "val data": fingerprint(val), **surroundings}


def steps_done(checkpoint: Path | None) -> int:
    """Of the optimizer, in the training that a checkpoint comes from. Raises InputError."""
    return int(_read(checkpoint)["global_step"]) if checkpoint else 0


def _read(checkpoint: Path) -> dict[str, Any]:
    content = read_checkpoint(checkpoint)
    lacking = [name for name, kind in PARTS.items() if not isinstance(content.get(name), kind)]
    if lacking:
        raise InputError(f"--resume: {printable(checkpoint)}: no checkpoint of a training: lacks {', '.join(lacking)}")
    return content


def fingerprint(split: Any) -> str:
    """A digest of a split's names, sizes, classes and objects; the pictures themselves are not read for it."""
    digest = hashlib.blake2b(digest_size=16)
    for column in (getattr(split, one.name) for one in fields(split)):
        if isinstance(column, np.ndarray) and column.dtype.kind not in "US":
            digest.update(np.ascontiguousarray(column).tobytes())
        elif isinstance(column, np.ndarray):  # files: the folder they are in may be moved
            names = [Path(file).name for file in column.tolist()]
            digest.update("\0".join(names).encode("utf-8", "surrogatepass"))
    digest.update("\0".join(split.classes).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def check_same_training(
    checkpoint: Path, description: ModelDescription, now: dict[str, Any], allow_change: bool
) -> None:
    """InputError naming the settings in which the run was another one."""
    content = _read(checkpoint)
    saved = read_description(content.get("densenets"), str(checkpoint)).plain()
    other = [key for key, value in description.plain().items() if key != "weights" and saved[key] != value]
    if other:
        raise InputError(f"--resume: {printable(checkpoint)}: was made with another {', '.join(other)}")
    before = content.get("origin", {})
    changed = [f"{key} ({before[key]} -> {now[key]})" for key in now if key in before and before[key] != now[key]]
    fixed = [line for line in changed if line.split()[0] in FIXED]
    if fixed or (changed and not allow_change):
        told = printable(", ".join(fixed or changed))
        way = "the optimizer's state fits no other" if fixed else "--allow-config-change goes on all the same"
        raise InputError(f"--resume: {printable(checkpoint)}: was made with another {told}; {way} [T18]")
    if changed:
        log.warning("warning: the run goes on with another %s [T18]", ", ".join(changed))
