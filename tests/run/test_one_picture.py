"""From a file to boxes or a mask in Python, without a word on devices."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from densenets.build import build_model
from densenets.contract import IGNORED
from densenets.data.decode import read_image
from densenets.run import detect, load, segment


@pytest.fixture
def picture(tmp_path: Path) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (120, 150, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    return read_image(tmp_path / "photo.png")


def test_boxes_of_a_run_are_in_px_of_the_file(checkpoint: Path, picture: np.ndarray) -> None:
    model, description = load(str(checkpoint))
    everything = detect(model, picture, threshold=0.0)
    boxes, scores = everything.boxes, everything.scores
    assert scores is not None
    assert boxes.min() >= 0
    assert (boxes[:, 2:] <= torch.tensor([150, 120])).all()
    assert boxes[:, 2].max() > 96  # the canvas
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    assert {description.classes[label] for label in everything.labels} <= {"red", "green", "blue"}
    assert len(detect(model, picture).boxes) == int((scores >= 0.3).sum())
    assert not boxes.requires_grad


def test_a_mask_has_the_size_of_the_file(picture: np.ndarray) -> None:
    torch.manual_seed(0)
    model = build_model("v3-small", "lraspp", 4, size=64, width=0.25).eval()
    ids = segment(model, picture)
    assert (ids.shape, ids.dtype) == ((120, 150), np.uint8)
    assert ids.max() < 4 < IGNORED
