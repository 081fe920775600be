"""Files that survive: written beside their place, flushed to disk, renamed; with the digest to prove it later."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from densenets.errors import InputError, StorageError, printable

_UMASK = os.umask(0)  # reading it means setting it
os.umask(_UMASK)


def write_durably(
    path: Path, write: Callable[[IO[bytes]], object], *, digest: bool = False, keep: Path | None = None
) -> None:
    """Let `write(binary handle)` fill `path`, which holds either its old content or all of the new, at any moment.

    digest: leave PATH.sha256 beside it, see `check_digest`. keep: where the old content goes, once the new one is
    safely on the disk. Raises StorageError (exit code 4) where the disk is full, the folder gone or closed; the old
    file and no other stays behind.
    """
    try:
        _write(path, write, digest, keep)
    except OSError as fault:
        raise StorageError(
            f"{printable(path)}: cannot be written: {fault.strerror or fault}; kept as it was [T13]"
        ) from fault


def _write(path: Path, write: Callable[[IO[bytes]], object], digest: bool = False, keep: Path | None = None) -> None:
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    beside = Path(name)
    try:
        beside.chmod(0o666 & ~_UMASK)  # mkstemp's own mode would hide the file from everybody else
        with os.fdopen(number, "wb") as handle:
            write(handle)
            handle.flush()
            os.fsync(handle.fileno())
        new = sha256(beside) if digest else ""
        if keep is not None:
            keep_as(path, keep)
        if digest:  # the old content is sound until the rename and the new one from then on: both are listed meanwhile
            _list(path, [new, *digests(path)])
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)
    if digest:
        _list(path, [new])


def flush_folder(folder: Path) -> None:
    """Make a rename inside of it last."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def keep_as(path: Path, other: Path) -> None:
    """Let `other` be what `path` is now, digest included; nothing is copied where the file system has hard links."""
    if not path.is_file():
        return
    known = digests(path)
    if known:  # both contents are sound until the rename is done
        _list(other, [*known, *digests(other)])
    else:
        sidecar(other).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=other.parent, prefix=f".{other.name}.", suffix=".tmp") as folder:
        beside = Path(folder) / other.name
        try:
            os.link(path, beside)
        except OSError:  # a file system without links
            shutil.copyfile(path, beside)
        beside.replace(other)
    flush_folder(other.parent)
    if known:
        _list(other, known)


def remove_stale(folder: Path) -> None:
    """What a killed process left half-written in the folder."""
    for left in folder.glob(".*.tmp"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


# Digests, one line each as sha256sum writes them


def sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def digests(path: Path) -> list[str]:
    """Those of the contents that `path` may have; none where nothing is known."""
    with contextlib.suppress(OSError, ValueError):
        if not sidecar(path).is_file():  # a pipe of that name would be waited for
            return []
        return [line.split()[0] for line in sidecar(path).read_text().splitlines() if line.strip()]
    return []


def check_digest(path: Path) -> None:
    """InputError where the content is not the one that was written: a flipped bit loads without complaint."""
    known = digests(path)
    try:
        sound = not known or sha256(path) in known
    except OSError as fault:
        raise InputError(f"{printable(path)}: cannot be read: {fault.strerror}") from fault
    if not sound:
        raise InputError(
            f"{printable(path)}: damaged: its SHA-256 is not the one in {printable(sidecar(path).name)} [T15]"
        )


def sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _list(path: Path, values: list[str]) -> None:
    lines = "".join(f"{value}  {path.name}\n" for value in values)
    _write(sidecar(path), lambda text: text.write(lines.encode("utf-8", "surrogateescape")))
