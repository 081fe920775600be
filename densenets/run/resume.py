"""Going on with a run: which checkpoint, and whether this is still the same training."""

import hashlib
import json
import logging
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from densenets.build import ModelDescription, class_of, read_description
from densenets.config import RCNNOptions, ReadingRules, SegmentationOptions, SSDOptions, Training
from densenets.errors import InputError, Problems, printable
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
    *("devices", "num_nodes", "strategy", "accelerator", "weights", "start_from"),
}

SHOWN = 100  # characters of a value
GROUPS = {SSDOptions: "ssd", RCNNOptions: "rcnn", SegmentationOptions: "seg"}  # of the flags of a head's options
OF_DATA = ("classes", "category_ids", "palette")
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


def _refuse_other_net(checkpoint: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """InputError with a line for each setting in which the net of a run is another."""
    problems = Problems()
    for name in (name for name in now if name in before):  # options of two kinds of head have none in common
        for line in _differences(name, before[name], now[name]):
            problems.add(f"--resume: {printable(checkpoint)}: {printable(line)}; a resumed run keeps its net [T18]")
    problems.refuse()


def _flags(plain: dict[str, Any]) -> dict[str, Any]:
    """What makes a net, from its description: by the flags that say so, else in words."""
    group = GROUPS[class_of(plain["head"]).options_type]
    net = {name: value for name, value in plain.items() if name not in (*OF_DATA, "canvas", "weights", "options")}
    options = {f"{group}.{name}": value for name, value in plain["options"].items()}
    flags = {"size": plain["canvas"], **net, **options}
    told = {f"{name.replace('_', ' ')} of the data": plain[name] for name in OF_DATA}
    return {**{f"--{name.replace('_', '-')}": value for name, value in flags.items()}, **told}


def _differences(name: str, before: Any, now: Any) -> list[str]:
    """ "--width: 0.5, the run has 1.0"; of long lists the first entry that differs, or how long they are."""
    if before == now:
        return []
    shown = [json.dumps(value, ensure_ascii=False) for value in (now, before)]
    if max(map(len, shown)) > SHOWN and isinstance(now, list) and isinstance(before, list):
        if len(now) == len(before):
            place = next(place for place, value in enumerate(now) if value != before[place])
            return _differences(f"{name}[{place}]", before[place], now[place])
        shown = [f"{len(value)} of them" for value in (now, before)]
    return [f"{name}: {shown[0]}, the run has {shown[1]}"]


def check_same_training(
    checkpoint: Path, description: ModelDescription, now: dict[str, Any], allow_change: bool
) -> None:
    """InputError naming the settings in which the run was another one."""
    content = _read(checkpoint)
    saved = read_description(content.get("densenets"), str(checkpoint)).plain()
    _refuse_other_net(checkpoint, _flags(saved), _flags(description.plain()))
    before = content.get("origin", {})
    changed = [f"{key} ({before[key]} -> {now[key]})" for key in now if key in before and before[key] != now[key]]
    fixed = [line for line in changed if line.split()[0] in FIXED]
    if fixed or (changed and not allow_change):
        told = printable(", ".join(fixed or changed))
        way = "the optimizer's state fits no other" if fixed else "--allow-config-change goes on all the same"
        raise InputError(f"--resume: {printable(checkpoint)}: was made with another {told}; {way} [T18]")
    if changed:
        log.warning("warning: the run goes on with another %s [T18]", ", ".join(changed))
