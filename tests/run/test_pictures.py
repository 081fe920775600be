"""The sheets: of classes image, truth, prediction and what is wrong; of boxes what is not drawn too."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densenets import draw
from densenets.data import open_segmentation, open_split
from densenets.data.segmentation import SegmentationSplit
from densenets.data.streets.files import write_streets
from densenets.metrics.predictions import Columns
from densenets.run.pictures import HEADS, IMAGES, write_mask_sheet, write_sheet

WRONG = (222, 24, 44)


@pytest.fixture
def split(tmp_path: Path) -> SegmentationSplit:
    """Twelve pictures, black and of one class."""
    (tmp_path / "classes.txt").write_text("road\ncar\n")
    for kind in ("images", "masks"):
        (tmp_path / kind / "val").mkdir(parents=True)
    for k in range(12):
        Image.fromarray(np.zeros((200, 300, 3), dtype=np.uint8)).save(tmp_path / f"images/val/{k:02}.png")
        Image.fromarray(np.zeros((200, 300), dtype=np.uint8)).save(tmp_path / f"masks/val/{k:02}.png")
    return open_segmentation(tmp_path, "val")


def red(path: Path) -> np.ndarray:
    """The share of red px in each row of the last column of pictures."""
    page = np.asarray(Image.open(path).convert("RGB")).astype(int)
    page = page[:, page.shape[1] * (len(HEADS) - 1) // len(HEADS) :]
    return ((page[..., 0] - page[..., 1:].max(axis=-1)) > 100).mean(axis=1)


def test_the_sheet_spreads_over_the_split_and_marks_what_is_wrong(tmp_path: Path, split: SegmentationSplit) -> None:
    asked = []

    def predict(index: int) -> np.ndarray:
        asked.append(index)
        return np.full((200, 300), int(index >= 6), dtype=np.uint8)

    write_mask_sheet(split, predict, tmp_path / "sheet.png")
    assert (len(asked), asked[0], asked == sorted({*asked})) == (IMAGES, 0, True)
    rows = red(tmp_path / "sheet.png") > 0.8
    right, wrong = (sum((i >= 6) == half for i in asked) for half in (False, True))
    assert (right, wrong) == (4, 4)
    assert not rows[: len(rows) // 2 - 40].any()
    assert rows[len(rows) // 2 + 40 :].mean() > 0.7


def test_a_picture_that_cannot_be_read_costs_no_more_than_its_place(
    tmp_path: Path, split: SegmentationSplit, caplog: pytest.LogCaptureFixture
) -> None:
    for path in split.files[:3]:
        Path(path).write_bytes(b"no picture")
    write_mask_sheet(split, lambda index: np.zeros((200, 300), dtype=np.uint8), tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    assert "00.png" in caplog.text


def test_a_sheet_of_boxes_tells_what_it_does_not_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Score by score: 0.9 and 0.3 are drawn in the first picture, nothing in the second, nothing is found in others."""
    told: list[Any] = []
    monkeypatch.setattr(draw, "sheet", lambda pairs, path, captions, heads: told.extend([captions, heads]))
    data = open_split(write_streets(tmp_path / "set", images={"val": 3}, size=(64, 96), progress=False), "val")
    images = data.image_ids[[0, 0, 0, 1, 1]]
    scores, box = np.array([0.9, 0.3, 0.29, 0.25, 0.1]), np.array([[2.0, 2, 30, 30]] * 5)
    write_sheet(data, Columns(images, np.full(5, data.category_ids[0]), scores, box), tmp_path / "sheet.png")
    captions, heads = told
    assert heads == ("truth", "prediction, scores from 0.3")
    assert [caption.partition(": ")[2] for caption in captions] == [
        "2 detections drawn, 1 below 0.3, best 0.90",
        "0 detections drawn, 2 below 0.3, best 0.25",
        "no detection",
    ]
