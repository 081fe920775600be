"""A tree of small scenes and a finished run on it, which no test changes."""

from pathlib import Path
from typing import Any

import pytest
from judged import Quick

from densenets.config import TrainSegmentation
from densenets.data.synthetic import write_cityscapes_streets
from densenets.run import train_segmentation


@pytest.fixture(scope="session")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Cityscapes tree of small scenes."""
    root = tmp_path_factory.mktemp("streets") / "tree"
    return write_cityscapes_streets(root, images={"train": 8, "val": 5}, size=(96, 144), workers=1, progress=False)


@pytest.fixture
def quick(streets: Path, tmp_path: Path) -> Quick:
    """Settings of a run of seconds."""

    def settings(**changes: Any) -> TrainSegmentation:
        small = {"backbone": "v3-small", "width": 0.35, "size": 64, "batch_size": 4, "epochs": 2, "workers": 0}
        rest = {"data": str(streets), "out": str(tmp_path / "run"), "warmup": 2, "accelerator": "cpu"}
        return TrainSegmentation(**{**small, **rest, **changes})

    return settings


@pytest.fixture(scope="session")
def run(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("finished") / "run"
    small = {"backbone": "v3-small", "width": 0.35, "size": 64, "batch_size": 4, "epochs": 2, "workers": 0, "lr": 0.01}
    train_segmentation(
        TrainSegmentation(**small, data=str(streets), out=str(out), warmup=2, accelerator="cpu")  # type: ignore[arg-type]
    )
    return out
