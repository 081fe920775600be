"""A small detection set that a net can learn by heart (bright shapes on noise, COCO layout), a random one with results
for it, and the real data."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sets import ground_truth, shaken
from shapes import write_split

from densenets.config import TrainDetection

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# One thread, here and in every command that a test starts: bits are promised for a fixed number of them, and two busy
# processes whose threads wait for each other take several times as long.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


@pytest.fixture
def real_data() -> Path:
    folder = os.environ.get("DENSENETS_REAL_DATA")
    if not folder:
        pytest.skip("DENSENETS_REAL_DATA is not set: no real pictures on this machine")
    return Path(folder)


@pytest.fixture
def truth() -> dict:
    """A random detection set."""
    return ground_truth(random.Random(5))


@pytest.fixture
def results(truth: dict) -> list[dict]:
    """Detections for `truth`, of which some are right."""
    return shaken(random.Random(6), truth)


@pytest.fixture
def shapes(tmp_path: Path) -> Callable[..., Path]:
    """Writes the pictures with the given numbers as splits of one COCO folder and returns the folder."""

    def write(root: Path = tmp_path / "shapes", **splits: range) -> Path:
        (root / "annotations").mkdir(parents=True, exist_ok=True)
        for split, numbers in splits.items():
            write_split(root, split, numbers)
        return root

    return write


@pytest.fixture
def quick(tmp_path: Path) -> Callable[..., TrainDetection]:
    """Settings of a run of seconds."""

    def settings(data: Path, **changes: object) -> TrainDetection:
        small = {"backbone": "v3-small", "width": 0.5, "size": 96, "batch_size": 4, "epochs": 2, "workers": 0}
        rest = {"data": str(data), "out": str(tmp_path / "run"), "augment": "none", "warmup": 2, "accelerator": "cpu"}
        return TrainDetection(**{**small, **rest, **changes})  # type: ignore[arg-type]

    return settings
