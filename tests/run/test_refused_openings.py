"""What a training leaves in --out where it is refused: nothing before it has learnt from a batch, all of it after."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densenets.config import TrainDetection, TrainSegmentation
from densenets.data.dataset import DetectionDataset
from densenets.data.segmentation import SegmentationDataset
from densenets.errors import InputError
from densenets.run import train_detection, train_segmentation

Start = Callable[..., Any]  # (changes of its settings) -> a training of seconds


@pytest.fixture
def boxes(shapes: Callable[..., Path], quick: Callable[..., TrainDetection]) -> Start:
    settings = quick(shapes(Path("data"), train=range(8), val=range(8, 10)), epochs=2)
    return lambda **changes: train_detection(replace(settings, out="run", **changes))


@pytest.fixture
def masks() -> Start:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (Path("data") / kind / split).mkdir(parents=True)
        for number in range(8):
            colours = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(colours).save(f"data/images/{split}/{number}.png")
            Image.fromarray(colours[..., 0] // 128).save(f"data/masks/{split}/{number}.png")
    Path("data/classes.txt").write_text("dark\nlight\n")
    small: dict[str, Any] = {"backbone": "v3-small", "width": 0.25, "size": 64, "batch_size": 4, "workers": 0}
    settings = TrainSegmentation(**small, data="data", epochs=2, accelerator="cpu")
    return lambda **changes: train_segmentation(replace(settings, out="run", **changes))


@pytest.fixture(params=["boxes", "masks"])
def start(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    monkeypatch.chdir(tmp_path)
    found: Start = request.getfixturevalue(request.param)
    return found


def damage_pictures() -> None:
    """Of the training, in both layouts: what a training meets with its first batch."""
    files = [*Path("data").glob("train/*.png"), *Path("data").glob("images/train/*.png")]
    assert len(files) == 8
    for file in files:
        file.write_bytes(file.read_bytes()[:-40])


@pytest.mark.parametrize("workers", [0, 1])
def test_before_the_first_step_nothing(start: Start, workers: int) -> None:
    damage_pictures()
    with pytest.raises(InputError, match="D01"):
        start(workers=workers)
    assert not Path("run").exists()


def test_what_was_in_the_folder_stays(start: Start) -> None:
    Path("run").mkdir()
    Path("run/notes.txt").write_text("mine")
    damage_pictures()
    with pytest.raises(InputError, match="D01"):
        start()
    assert [file.name for file in Path("run").rglob("*")] == ["notes.txt"]


def test_a_resumed_run_is_as_it_was(start: Start) -> None:
    start(epochs=1)
    before = {file: file.is_file() and file.read_bytes() for file in Path("run").rglob("*")}
    damage_pictures()
    with pytest.raises(InputError, match="D01"):
        start(resume="run", epochs=2, allow_config_change=True)
    assert {file: file.is_file() and file.read_bytes() for file in Path("run").rglob("*")} == before


def test_after_a_step_what_was_saved(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (DetectionDataset, SegmentationDataset):
        monkeypatch.setattr(kind, "__getitem__", refusing_in_the_second_epoch(kind.__getitem__))
    with pytest.raises(InputError, match="refused"):
        start()
    names = {str(file.relative_to("run")) for file in Path("run").rglob("*") if file.is_file()}
    assert {"config.yaml", "metrics.csv", "checkpoints/last.ckpt", "checkpoints/best.ckpt"} <= names
    assert any(name.startswith("tensorboard/") for name in names)


def refusing_in_the_second_epoch(original: Callable[..., Any]) -> Callable[..., Any]:
    def item(dataset: Any, key: tuple[int, int]) -> Any:
        if dataset.substitute and key[0] == 1:
            raise InputError("refused")
        return original(dataset, key)

    return item
