"""The run folder: its name, its files, and where each result came from."""

import contextlib
import errno
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from lightning.pytorch.utilities import rank_zero_only

from densenets import __version__
from densenets.errors import InputError, printable
from densenets.files import check_file, check_yaml, file_name
from densenets.storage import write_durably

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CHOSEN = "DENSENETS_RUN_FOLDER"
FILES_SHOWN = 20
LIBRARIES = ("torch", "torchvision", "lightning", "albumentations", "pycocotools", "pillow", "numpy")


class Outcome(NamedTuple):
    """results: what results.json holds. text: what the command prints. files: what it wrote."""

    results: dict[str, Any]
    text: str
    files: list[Path]

    def __str__(self) -> str:
        shown, more = self.files[:FILES_SHOWN], len(self.files) - FILES_SHOWN
        lines = [self.text, "", *map(printable, shown), *([f"and {more} more"] if more > 0 else [])]
        return "\n".join(lines) if shown else self.text


def open_run_folder(settings: Any) -> Path:
    """The folder a new run writes to, not made yet; --out, or runs/NAME with a number behind it where that is taken.

    The first of several processes chooses; those it starts find its choice in their environment.
    """
    if rank() > 0:
        return _chosen(settings)
    if settings.out is not None:
        folder = Path(settings.out)
        if any((folder / "checkpoints").glob("*.ckpt")):
            raise InputError(f"--out: {printable(folder)}: holds a run {_held(read_config(folder), asdict(settings))}")
    else:
        folder = _free(Path("runs") / _name(settings))
    os.environ[CHOSEN] = str(folder)
    return folder


def _held(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Which net a run folder holds, and what can be done about it. before: its config.yaml."""
    if not {"backbone", "width", "head", "size"} <= before.keys():
        return "already; continue it with --resume, or name another"
    held, wanted = _net(before), _net(now)
    if held == wanted:
        return f"of {held} already; continue it with --resume, or name another"
    return f"of {held} already, which --resume cannot continue with {wanted}; name another"


def _net(content: dict[str, Any]) -> str:
    size = content["size"]
    sides = "x".join(map(str, size if isinstance(size, list) else [size, size]))
    return printable(f"{content['backbone']} x {content['width']} + {content['head']} at {sides}")


def rank() -> int:
    """Of this process among those of the training; 0 where there is one."""
    return int(getattr(rank_zero_only, "rank", 0) or 0)


def _chosen(settings: Any) -> Path:
    chosen = settings.out or os.environ.get(CHOSEN)
    if chosen is None:
        raise InputError("--out: needed where several processes are started from outside (torchrun, SLURM)")
    return Path(chosen)


def _name(settings: Any) -> str:
    data = Path(getattr(settings, "train_annotations", None) or settings.data).resolve().stem
    width = "" if settings.width == 1 else f"-{settings.width:g}"
    size = settings.size if isinstance(settings.size, int) else "x".join(map(str, settings.size))
    return f"{file_name(data)}-{settings.backbone}{width}-{settings.head}-{size}"


def _free(folder: Path) -> Path:
    number, free = 2, folder
    while free.exists():
        free, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return free


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Holds a run folder against other trainings: they would replace each other's checkpoints. Raises InputError.

    The lock is a process' own: it ends with it, however that ends, and no loading process inherits it.
    """
    if fcntl is None or rank() > 0:
        yield
        return
    with (folder / ".lock").open("a") as handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            if fault.errno in (errno.EACCES, errno.EAGAIN):
                raise InputError(f"{printable(folder)}: another process is training here") from fault
            # a file system without locks: nobody can be kept out
        try:
            yield
        finally:
            Path(handle.name).unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make it and prove that it can be written to. Raises InputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as fault:  # ValueError: a zero byte in the name
        reason = printable(getattr(fault, "strerror", None) or fault)
        raise InputError(f"{printable(folder)}: cannot be written to: {reason}") from fault


@contextlib.contextmanager
def new_folder(folder: Path | None) -> Iterator[None]:
    """As `make_folder`; where the work then fails with nothing written, folders made here go again."""
    made = [] if folder is None else [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    try:
        if folder is not None:
            make_folder(folder)
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # one that holds something stays, and those around it
            for place in made:
                place.rmdir()
        raise


def write_config(folder: Path, settings: Any) -> None:
    """config.yaml: every setting as it was used; `--config` and `--resume` read it back."""
    content = {**asdict(settings), "out": None, "resume": None}
    if content.get("train_annotations") is not None:
        del content["data"]  # it was not used
    text = yaml.safe_dump(content, sort_keys=False)
    write_durably(folder / "config.yaml", lambda handle: handle.write(text.encode()))


def read_config(folder: Path) -> dict[str, Any]:
    """config.yaml of a run; nothing where there is none, or what nobody can read."""
    file = folder / "config.yaml"
    try:
        check_yaml(file)
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (InputError, OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_durably(path, lambda handle: handle.write(text.encode()))


def provenance(device: torch.device) -> dict[str, Any]:
    """The command, the versions and the machine behind a result."""
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "densenets": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "decoder": "pillow",
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


def run_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint's file lies in; None where it lies in none."""
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else None


def name_of(checkpoint: Path) -> str:
    """That of its run folder, or of a file that lies in none."""
    file = Path(os.path.abspath(checkpoint))  # noqa: PTH100  (resolve() would name the end of a link)
    return (run_of(file) or file.with_suffix("")).name


def find_checkpoint(path: str) -> Path:
    """A checkpoint file, or a run folder's best one (its last, where none was judged). Raises InputError."""
    given = Path(path)
    try:
        is_folder = given.is_dir()
        if not is_folder and not os.path.lexists(given):
            raise InputError(f"{printable(given)}: no such run folder or checkpoint")
    except OSError as fault:
        raise InputError(f"{printable(given)}: cannot be read: {fault.strerror}") from fault
    if not is_folder:
        check_file(given)
        return given
    for name in ("best.ckpt", "last.ckpt"):
        if (found := given / "checkpoints" / name).is_file():
            return found
    raise InputError(f"{printable(given)}: no checkpoints/best.ckpt or checkpoints/last.ckpt in this folder")
