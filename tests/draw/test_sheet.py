from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plain_pictures import has, plain

from densenets import draw


def noise(height: int, width: int) -> np.ndarray:
    """The worst that a PNG can meet."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg"])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_the_sheet_is_below_3_mb(tmp_path: Path, name: str, count: int):
    draw.sheet([(noise(480, 640), noise(480, 640))] * count, tmp_path / name, ["x"] * count)
    assert 1000 < (tmp_path / name).stat().st_size < 3_000_000
    with Image.open(tmp_path / name) as page:
        assert page.width > 400


def test_truth_stands_left_and_prediction_right(tmp_path: Path):
    red, blue = np.zeros((100, 200, 3), np.uint8), np.zeros((100, 200, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    draw.sheet([(red, blue)] * 5, tmp_path / "s.png", list("abcde"))
    page = np.asarray(Image.open(tmp_path / "s.png"))
    y, x_red = np.nonzero(has(page, (255, 0, 0)))
    y_blue, x_blue = np.nonzero(has(page, (0, 0, 255)))
    assert len(y) == len(y_blue) == 5 * 400 * 200  # all of them in full, grown at most twice
    row = y.min()
    assert x_red[y == row].min() < x_blue[y_blue == row].min()
    assert x_blue[y_blue == row].max() < page.shape[1] - 5
    assert (page[:3] == 255).all()


def test_images_of_all_shapes_share_a_sheet(tmp_path: Path):
    shapes = [(1, 1), (2000, 30), (30, 2000), (480, 640), (64, 64)]
    pairs = [(noise(*shape), noise(*shape[::-1])) for shape in shapes]
    draw.sheet(pairs, tmp_path / "s.png", ["long caption " * 50, "line\nend", "\ud800", "", "é"])
    assert (tmp_path / "s.png").stat().st_size > 1000


def test_a_sheet_needs_a_caption_for_each_pair(tmp_path: Path):
    for pairs, captions in (([], []), ([(plain(), plain())], [])):
        with pytest.raises(ValueError, match="captions"):
            draw.sheet(pairs, tmp_path / "s.png", captions)
