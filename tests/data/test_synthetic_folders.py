"""The street scenes' folder: whole or not there, whoever asks for it and however many at once; work shared out."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from densenets.data.streets import many
from densenets.data.synthetic import write_cityscapes_streets, write_streets
from densenets.errors import DensenetsError, InputError


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# A folder that is whole or not there


def made(root: Path, **changes) -> Path:
    settings = {"images": {"train": 3}, "size": (64, 96), "workers": 1, "progress": False} | changes
    return write_streets(root, **settings)


def state(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_a_whole_set_is_used_as_it_is(tmp_path):
    before = state(made(tmp_path / "s"))
    assert state(made(tmp_path / "s", workers=2)) == before


@pytest.mark.parametrize("change", [{"seed": 1}, {"size": (64, 128)}, {"images": {"train": 4}}, {"images": {"val": 3}}])
def test_another_order_replaces_it(tmp_path, change):
    before = (made(tmp_path / "s") / "annotations").stat().st_ino
    assert (made(tmp_path / "s", **change) / "annotations").stat().st_ino != before
    assert listing(tmp_path) == ["s"]


@pytest.mark.parametrize("lost", ["train/000000000002.jpg", "annotations/instances_train.json", "streets.json"])
def test_a_damaged_set_is_drawn_again(tmp_path, lost):
    root = made(tmp_path / "s")
    kept = (root / "train" / "000000000001.jpg").read_bytes()
    (root / lost).unlink()
    made(root)
    assert (root / lost).is_file()
    assert (root / "train" / "000000000001.jpg").read_bytes() == kept


def test_a_damaged_tree_is_drawn_again(tmp_path):
    order = {"images": {"val": 2}, "size": (64, 96), "workers": 1, "progress": False}
    root = write_cityscapes_streets(tmp_path / "s", **order)
    lost = next(root.rglob("*_instanceIds.png"))
    lost.unlink()
    assert write_cityscapes_streets(root, **order) == root
    assert lost.is_file()


def test_nothing_of_others_is_touched(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="mine: holds something else"):
        made(tmp_path / "mine")
    city = write_cityscapes_streets(tmp_path / "c", images={"val": 1}, size=(64, 96), workers=1, progress=False)
    with pytest.raises(InputError, match="holds something else"):
        made(city)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: holds something else"):
        made(tmp_path / "file")
    assert listing(tmp_path / "mine") == ["thesis.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "s").mkdir()
    assert (made(tmp_path / "s") / "streets.json").is_file()


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": {"../up": 1}}, {"images": {"annotations": 1}}, {"images": {"train": 0}}, {"size": (32, 96)},
        {"size": (64, 9999)}, {"seed": -1},
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_an_input_error(tmp_path, wrong):
    with pytest.raises(InputError):
        made(tmp_path / "s", **wrong)
    assert not listing(tmp_path)


def test_a_place_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        made(tmp_path / "file" / "s")


PROGRAM = """
import sys
from densenets.data.synthetic import write_streets
write_streets(sys.argv[1], images={"train": int(sys.argv[2])}, size=(64, 96), workers=2, progress=False)
"""


def launch(root: Path, count: int) -> subprocess.Popen:
    """As from a terminal: a shell starts what it runs in the background with SIGINT ignored, and that is inherited."""
    words = [sys.executable, "-c", PROGRAM, str(root), str(count)]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=heed)


def test_two_processes_at_once(tmp_path):
    programs = [launch(tmp_path / "s", 60) for _ in range(2)]
    assert [(program.communicate()[1], program.returncode) for program in programs] == [("", 0)] * 2
    assert len(listing(tmp_path / "s" / "train")) == 60
    assert listing(tmp_path) == ["s"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_program_leaves_no_half_set(tmp_path, how):
    """Nothing stands in the place; what it left beside is cleared by the next one, which waits for no ghost."""
    program = launch(tmp_path / "s", 5000)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".s.*/train/*.jpg")):
        assert program.poll() is None, program.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    program.send_signal(how)
    program.wait(30)
    assert not (tmp_path / "s").exists()
    assert launch(tmp_path / "s", 8).wait(60) == 0
    assert listing(tmp_path) == ["s"]


# Work shared out


def work(job: int) -> int:
    if job == 99:
        raise ValueError("ninety-nine")
    if job == 98:
        os.kill(os.getpid(), signal.SIGKILL)
    return job * job


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_all_jobs_come_back(workers):
    with many.drawn_by_many(work, range(7), workers) as results:
        assert sorted(results) == [(job, job * job) for job in range(7)]


def test_a_fault_in_a_process_is_raised():
    with pytest.raises(ValueError, match="ninety-nine"), many.drawn_by_many(work, [1, 2, 99], 2) as results:
        list(results)
    with pytest.raises(DensenetsError, match="killed"), many.drawn_by_many(work, [1, 98], 2) as results:
        list(results)


class OtherPipe:
    """The end of a pipe as Windows has it: no Connection."""

    def __init__(self, end) -> None:
        self.fileno, self.recv = end.fileno, end.recv


def test_ends_of_pipes_may_be_of_any_class(monkeypatch):
    receiver, sender = multiprocessing.Pipe(duplex=False)
    sender.send((0, "done"))
    sender.close()
    rounds = iter([many.wait] * 2)
    monkeypatch.setattr(many, "wait", lambda ends: next(rounds)(ends))
    assert list(many._collect([OtherPipe(receiver)], 1)) == [(0, "done")]


def test_who_waits_for_another_says_so(tmp_path, caplog):
    fcntl = pytest.importorskip("fcntl")
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    waiting = threading.Thread(target=made, args=(tmp_path / "s",))
    with caplog.at_level("INFO", "densenets"):
        waiting.start()
        patience = time.monotonic() + 20
        while not caplog.records and time.monotonic() < patience:
            time.sleep(0.01)
        said = [record.getMessage() for record in caplog.records]
        os.close(other)
        waiting.join()
    assert said == [f"{tmp_path}: waiting for another process that draws the scenes"]
    assert (tmp_path / "s" / "streets.json").is_file()


def test_threads_that_ask_at_once_get_one_set(tmp_path):
    faults = []

    def ask() -> None:
        try:
            made(tmp_path / "s", images={"train": 12})
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert len(listing(tmp_path / "s" / "train")) == 12
