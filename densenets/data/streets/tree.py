"""A folder that is either whole or not there, whoever is killed while it is made, and whoever else makes it meanwhile.

It is filled in a hidden folder beside its place and moved there when it is done. A stamp, written last, says what it
holds; a mark, written first, says that it is ours to replace.
"""

import contextlib
import glob
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from densenets.errors import InputError, printable

logger = logging.getLogger(__name__)

STAMP, MARK = "streets.json", "README.txt"


def settle(
    root: Path, stamp: dict[str, Any], mark: str, whole: Callable[[Path], bool], fill: Callable[[Path], None]
) -> Path:
    """`root` with what `fill` puts into an empty folder; at once if it bears the stamp already and is `whole`.

    mark: a line that all folders bear which may be replaced by this one. Anything else in the place, and a place that
    cannot be written, is an InputError.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100  (resolve() would follow a link in the place)
    done = lambda: _stamped(root, stamp) and whole(root)  # noqa: E731
    if done():
        return root
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with _alone(root.parent) as alone:
            if not done():
                _refuse_foreign(root, mark)
                _make(root, stamp, mark, alone, done, fill)
    except OSError as error:
        raise InputError(f"{printable(root)}: cannot be written: {error.strerror or error}") from error
    return root


def _stamped(root: Path, stamp: dict[str, Any]) -> bool:
    try:
        return json.loads((root / STAMP).read_text()) == stamp
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Wait until no other process works in the folder. False where the system has no locks: the last move decides."""
    if find_spec("fcntl") is None:
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        held = True
        try:
            _lock(handle, folder)
        except OSError:
            held = False
        yield held
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.info("%s: waiting for another process that draws the scenes", printable(folder))
        fcntl.flock(handle, fcntl.LOCK_EX)


def _refuse_foreign(root: Path, mark: str) -> None:
    if not os.path.lexists(root) or (root.is_dir() and not any(root.iterdir())):
        return
    note = root / MARK
    if not (note.is_file() and note.read_text(errors="replace").startswith(mark)):
        raise InputError(f"{printable(root)}: holds something else; name a new folder ({mark})")


def _make(
    root: Path, stamp: dict[str, Any], mark: str, alone: bool, done: Callable[[], bool], fill: Callable[[Path], None]
) -> None:
    if alone:  # whoever made these was killed
        for left in root.parent.glob(f".{glob.escape(root.name)}.*.partial"):
            shutil.rmtree(left, ignore_errors=True)
    new, old = (root.with_name(f".{root.name}.{uuid.uuid4().hex}.partial") for _ in range(2))
    try:
        new.mkdir()
        (new / MARK).write_text(f"{mark}. This folder may be deleted: it is made again when it is needed.\n")
        fill(new)
        (new / STAMP).write_text(json.dumps(stamp))
        if os.path.lexists(root):
            root.rename(old)
        new.rename(root)
    except OSError:
        if not done():  # else another process was faster
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
