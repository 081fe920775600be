"""Two processes that train as one: a kill, a signal to one of them, a death, a loss that is not finite on one."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kills import differences

from densenets.training.durable import read_checkpoint

ROOT = Path(__file__).parent.parent.parent
WITHIN = 60.0  # seconds in which a dead process has to end the others
FLAGS = ["--backbone=v3-small", "--width=0.35", "--size=64", "--batch-size=2", "--epochs=2", "--warmup=2"]
FLAGS += ["--augment=ssd", "--ema=0.9", "--save-every=1", "--workers=1", "--resume=auto", "--lr=0.01"]
TWO = ["--devices=2", "--strategy=ddp", "--accelerator=cpu"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(shapes: Callable[..., Path], tmp_path: Path) -> Iterator[Start]:
    """Starts a training of two processes in a session of its own; whatever is left of it is killed at the end."""
    data = shapes(train=range(24), val=range(24, 31))
    running: list[subprocess.Popen[str]] = []

    def go(out: str, *flags: str, script: str = "tools/train_det.py") -> subprocess.Popen[str]:
        command = [sys.executable, script, *FLAGS, *TWO, f"--data={data}", f"--out={tmp_path / out}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        one = subprocess.Popen(
            [*command, *flags], cwd=ROOT, text=True, start_new_session=True, env=environment, **pipes
        )
        running.append(one)
        return one

    yield go
    for process in running:
        for number in family(process.pid):
            os.kill(number, signal.SIGKILL)


def family(leader: int) -> list[int]:
    """Every process of a session, that of its leader first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(found, key=lambda number: (number != leader, number))


def ranks(leader: int) -> list[int]:
    """The training processes, first rank 0: those whose parent is not another rank's loader."""
    second = []
    for number in family(leader)[1:]:
        words = (Path("/proc") / str(number) / "environ").read_bytes().split(b"\0")
        parent = int((Path("/proc") / str(number) / "stat").read_text().rpartition(")")[2].split()[1])
        if b"LOCAL_RANK=1" in words and parent == leader:
            second.append(number)
    return [leader, *second[:1]]


def wait_for_steps(folder: Path, steps: int) -> None:
    """Until the training has saved at least that often."""
    end = time.monotonic() + 120
    seen = set()
    while len(seen) < steps:
        assert time.monotonic() < end, "no checkpoint came"
        file = folder / "checkpoints" / "last.ckpt.sha256"
        seen.add(file.read_text() if file.is_file() else "")
        seen.discard("")
        time.sleep(0.02)


def finish(process: subprocess.Popen[str], seconds: float = 240) -> tuple[int, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out + err


TWO_STAGES = ["--head=faster-rcnn-fpn", "--rcnn.fpn=light", "--rcnn.map-proposals=200"]


@pytest.mark.parametrize("flags", [[], TWO_STAGES], ids=["one stage", "two stages"])
def test_resumed_after_kills_it_equals_the_unbroken_one(start: Start, tmp_path: Path, flags: list[str]) -> None:
    code, said = finish(start("whole", *flags))
    assert code == 0, said
    for steps in (2, 3, 2):
        broken = start("parts", *flags)
        wait_for_steps(tmp_path / "parts", steps)
        for number in family(broken.pid):
            os.kill(number, signal.SIGKILL)
        broken.wait()
    code, said = finish(start("parts", *flags))
    assert code == 0, said
    assert differences(tmp_path / "whole", tmp_path / "parts") == []


@pytest.mark.parametrize("who", ["the first", "the second", "both"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_any_process_stops_all_of_them_with_a_checkpoint(
    start: Start, tmp_path: Path, who: str, number: int
) -> None:
    process = start("run", "--epochs=60")
    wait_for_steps(tmp_path / "run", 2)
    both = ranks(process.pid)
    assert len(both) == 2
    for one in {"the first": both[:1], "the second": both[1:], "both": both}[who]:
        os.kill(one, number)
    sent = time.monotonic()
    code, said = finish(process, 30)
    assert code == 128 + number, said
    assert time.monotonic() - sent < 30
    assert re.search(r"stopped after step \d+; saved: ", said)
    assert "Traceback" not in said


@pytest.mark.parametrize("rank", [0, 1])
def test_a_dead_process_ends_the_others_soon(start: Start, tmp_path: Path, rank: int) -> None:
    process = start("run", "--epochs=60")
    wait_for_steps(tmp_path / "run", 2)
    os.kill(ranks(process.pid)[rank], signal.SIGKILL)
    died = time.monotonic()
    while family(process.pid):
        assert time.monotonic() - died < WITHIN, "the others are still there"
        process.poll()
        time.sleep(0.2)
    if rank == 1:
        said = finish(process)[1]
        assert process.returncode in (1, -signal.SIGKILL)  # by our own word, or ended by Lightning, which watches too
        assert "Traceback" not in said


def test_a_loss_that_is_not_finite_on_one_process_ends_all_with_3(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("""
import os, sys
from densenets.cli import main
from densenets.heads.ssd import SSD
original, steps = SSD.losses, 0
def losses(self, *words):
    global steps
    steps += 1
    bad = steps == 3 and os.environ.get("LOCAL_RANK") == "1"
    return {name: value * float("nan") if bad else value for name, value in original(self, *words).items()}
SSD.losses = losses
sys.exit(main(["train-det", *sys.argv[1:]]))
""")
    code, said = finish(start("run", script=str(script)), 120)
    assert code == 3, said
    assert "the loss of another process is not finite [T03]" in said
    assert "images of the batch: " in said
    assert "Traceback" not in said
    assert read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["global_step"] == 2


def test_a_picture_that_one_process_cannot_read_ends_all_with_2(start: Start, tmp_path: Path) -> None:
    one = start("out", "--max-skip=0")
    (tmp_path / "shapes/train/5.png").write_bytes(b"broken")  # the processes take seconds to start
    err = one.communicate(timeout=WITHIN)[1]
    assert one.returncode == 2, err
    assert "5.png: not a picture" in err
    assert "Traceback" not in err
    assert "Forcefully" not in err


def test_slurm_queues_the_job_again(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGUSR1 under SLURM: saved, queued again; the same command then goes on. A script stands for scontrol."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/queued\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    process = start("run", "--epochs=60", "--devices=1", "--strategy=auto")
    wait_for_steps(tmp_path / "run", 2)
    os.kill(process.pid, signal.SIGUSR1)
    code, said = finish(process, 30)
    assert code == 143, said
    assert (tmp_path / "queued").read_text() == "requeue 4711\n"
    again = start("run", "--epochs=60", "--devices=1", "--strategy=auto")
    wait_for_steps(tmp_path / "run", 2)  # the one that is there, and a new one
    os.kill(again.pid, signal.SIGTERM)
    told = [int(re.findall(r"stopped after step (\d+)", text)[-1]) for text in (said, finish(again, 30)[1])]
    assert told[1] > told[0]
