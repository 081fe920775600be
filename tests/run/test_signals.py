"""A signal at a known place: into the validation of an epoch, into the judging at the end, into an evaluation."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from densenets.config import TrainDetection
from densenets.run import train_detection

Quick = Callable[..., TrainDetection]
SIGNALLED = """
import os, sys
from densenets.cli import main
from densenets.training.task import Task
from lightning.pytorch.trainer.states import TrainerFn
original, number = Task.validation_step, int(sys.argv[1])
def step(self, batch, place):
    if place == 0 and (self.trainer.state.fn == TrainerFn.FITTING) == (sys.argv[2] == "training"):
        os.kill(os.getpid(), number)
    return original(self, batch, place)
Task.validation_step = step
sys.exit(main(sys.argv[3:]))
"""


def signalled(number: int, where: str, *command: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", SIGNALLED, str(int(number)), where, *command]
    return subprocess.run(words, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.parametrize("where", ["training", "judging"])
def test_a_stop_in_a_validation_never_looks_like_success(
    shapes: Callable[..., Path], tmp_path: Path, where: str
) -> None:
    data, out = shapes(train=range(8), val=range(8, 13)), tmp_path / "run"
    flags = ["--backbone=v3-small", "--width=0.35", "--size=64", "--batch-size=2", "--epochs=1", "--workers=0"]
    flags += [f"--data={data}", f"--out={out}", "--accelerator=cpu"]
    done = signalled(signal.SIGTERM, where, "train-det", *flags)
    assert done.returncode == 143, done.stderr
    assert "densenets: stopped after step 4; saved: " in done.stderr
    assert done.stderr.splitlines()[-1].endswith(f"go on with: --resume {out}")
    assert not (out / "results.json").exists()


def test_an_evaluation_that_is_terminated_does_not_end_with_0(shapes: Callable[..., Path], quick: Quick) -> None:
    settings = quick(shapes(train=range(8), val=range(8, 13)), epochs=1, batch_size=2)
    train_detection(settings)
    command = ["eval-det", f"--checkpoint={settings.out}", "--batch-size=2", "--workers=0", "--accelerator=cpu"]
    assert signalled(signal.SIGTERM, "judging", *command).returncode == -signal.SIGTERM
