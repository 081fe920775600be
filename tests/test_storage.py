"""Files that survive a full disk, a closed folder and a flipped bit."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from densenets import storage
from densenets.errors import InputError, StorageError
from densenets.storage import check_digest, digests, keep_as, remove_stale, sha256, sidecar, write_durably


def put(text: str) -> Callable[[IO[bytes]], object]:
    return lambda handle: handle.write(text.encode())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_durably(tmp_path / "f", put("old"), digest=True)
    return tmp_path / "f"


def test_the_digest_is_that_of_sha256sum(file: Path) -> None:
    assert sidecar(file).read_text() == f"{sha256(file)}  f\n"
    if shutil.which("sha256sum"):
        assert subprocess.run(["sha256sum", "-c", "f.sha256"], cwd=file.parent, capture_output=True).returncode == 0


def test_a_flipped_bit_is_seen(file: Path) -> None:
    check_digest(file)
    file.write_bytes(b"ole")
    with pytest.raises(InputError, match=r"f: damaged.*T15"):
        check_digest(file)
    sidecar(file).unlink()
    check_digest(file)  # nothing is known of it


# What the system refuses. Every call that touches the disk fails once, at each of its turns.

CALLS = ("mkstemp", "chmod", "fdopen", "fsync", "replace", "write")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("call", CALLS)
def test_whatever_fails_the_old_file_stays(
    file: Path, monkeypatch: pytest.MonkeyPatch, call: str, turn: int, number: int
) -> None:
    calls = 0

    def failing(original: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(*words: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == turn + 1:
                raise OSError(number, os.strerror(number))
            return original(*words, **named)

        return maybe

    owners = {"mkstemp": storage.tempfile, "fdopen": os, "fsync": os, "chmod": Path, "replace": Path}
    write = put("new")
    if call == "write":
        write = failing(write)
    else:
        monkeypatch.setattr(owners[call], call, failing(getattr(owners[call], call)))
    if calls_needed(call) <= turn:
        return
    with pytest.raises(StorageError) as caught:
        write_durably(file, write, digest=True)
    monkeypatch.undo()
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    assert file.read_text() in ("old", "new")
    if call in ("mkstemp", "write", "chmod", "fdopen") and turn == 0:
        assert file.read_text() == "old"
    check_digest(file)
    assert not list(file.parent.glob(".*.tmp"))
    write_durably(file, put("newer"), digest=True)
    check_digest(file)
    assert len(digests(file)) == 1


def calls_needed(call: str) -> int:
    """How often a write with its digest makes the call: the file and twice its digest."""
    return {"write": 1, "fsync": 4}.get(call, 3)


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        write_durably(tmp_path / "gone" / "f", put("x"))


CLOSED = """
import sys
from pathlib import Path
from densenets.storage import write_durably
write_durably(Path(sys.argv[1]) / "f", lambda handle: handle.write(b"x"))
"""


def test_a_folder_that_is_closed(tmp_path: Path) -> None:
    """In a process of its own: root has to give up the right to write anywhere."""
    command = [sys.executable, "-c", CLOSED, str(tmp_path)]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root passes over permissions, and there is no setpriv to stop it")
        rights = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", *command]
    tmp_path.chmod(0o500)
    done = subprocess.run(command, capture_output=True, text=True)
    tmp_path.chmod(0o700)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("densenets.errors.StorageError: ")
    assert "Permission denied" in done.stderr
    assert not [*tmp_path.iterdir()]


def test_a_disk_that_is_really_full_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the write itself fails, in the middle of torch's archive."""
    code = """
import resource, signal, sys, torch
from pathlib import Path
from densenets.errors import StorageError
from densenets.training.durable import DurableCheckpointIO, read_checkpoint
place, writer = Path(sys.argv[1]) / "last.ckpt", DurableCheckpointIO(sys.argv[2])
writer.save_checkpoint({"state_dict": {"w": torch.zeros(10)}, "number": 1}, place)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    writer.save_checkpoint({"state_dict": {"w": torch.zeros(1_000_000)}, "number": 2}, place)
    print("went on")
except StorageError as fault:
    print("refused", fault)
assert read_checkpoint(place)["number"] == 1
assert sorted(p.name for p in place.parent.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]
"""
    for choice, words in (("stop", "refused"), ("warn", "went on")):
        command = [sys.executable, "-c", code, str(tmp_path), choice]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(words)
        assert ("went on" in words) == ("going on" in done.stderr)


# Keeping the one before


def test_the_one_before_is_kept_with_its_digest(file: Path) -> None:
    other = file.with_name("g")
    for number in range(3):
        keep_as(file, other)
        assert other.read_text() == ("old" if number == 0 else f"{number - 1}")
        check_digest(other)
        assert digests(other) == [sha256(other)]  # and none of those before
        write_durably(file, put(str(number)), digest=True)


def test_one_without_a_digest_is_kept_without(file: Path) -> None:
    other = file.with_name("g")
    keep_as(file, other)
    file.write_text("by hand")
    sidecar(file).unlink()
    keep_as(file, other)
    check_digest(other)
    assert other.read_text() == "by hand"


def test_the_old_content_goes_only_where_the_new_one_is_safe(file: Path) -> None:
    other = file.with_name("g")
    write_durably(other, put("older"), digest=True)

    def full(handle: IO[bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="No space left"):
        write_durably(file, full, digest=True, keep=other)
    assert (file.read_text(), other.read_text()) == ("old", "older")
    write_durably(file, put("new"), digest=True, keep=other)
    assert (file.read_text(), other.read_text()) == ("new", "old")


def test_a_file_that_cannot_be_read_is_an_error_in_words(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(storage.hashlib, "file_digest", failing)
    with pytest.raises(InputError, match="f: cannot be read: Input/output error"):
        check_digest(file)


def test_without_links_it_is_copied(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    keep_as(file, file.with_name("g"))
    write_durably(file, put("new"))
    assert file.with_name("g").read_text() == "old"


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".last.ckpt.abc.tmp", "last.ckpt", "notes.tmp", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / ".g.x.tmp").mkdir()
    (tmp_path / ".g.x.tmp" / "g").touch()
    remove_stale(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "last.ckpt", "notes.tmp"]
