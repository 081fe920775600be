from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densenets.draw import confusion as room
from densenets.draw import confusion_picture


def cells(path: Path, count: int, columns: int | None = None) -> np.ndarray:
    """(C, K, 3) the colour of each cell, beside its number."""
    page = np.asarray(Image.open(path).convert("RGB"))
    cell = room._Sizes.of(columns or count).cell
    grid = (page == np.array(room._GRID)).all(axis=-1)
    top = int(np.flatnonzero(grid.sum(axis=1) >= (columns or count) * cell)[0])
    left = int(np.flatnonzero(grid[top])[0])
    y, x = (top + 3 + np.arange(n) * cell for n in (count, columns or count))
    return page[y][:, x - top + left]


def shade(share: float, right: bool) -> list[int]:
    return list(room._shade(share, room._RIGHT if right else room._WRONG))


def test_each_row_is_divided_by_its_sum(tmp_path: Path) -> None:
    path = tmp_path / "c.png"
    confusion_picture([[30, 10, 0, 0], [0, 2**40, 0, 0], [0, 0, 0, 0]], ["a", "b", "c"], path)
    found = cells(path, 3).tolist()
    assert found[0] == [shade(0.75, True), shade(0.25, False), [255] * 3]
    assert found[1] == [[255] * 3, shade(1, True), [255] * 3]
    assert found[2] == [list(room._EMPTY)] * 3


def test_void_has_a_column_where_it_was_predicted(tmp_path: Path) -> None:
    path = tmp_path / "c.png"
    confusion_picture(np.array([[2, 0, 1, 1], [0, 1, 0, 0]]), ["a", "b"], path)
    assert cells(path, 2, 3).tolist()[0] == [shade(0.5, True), [255] * 3, shade(0.5, False)]


def test_percents_are_whole_and_none_is_made_up() -> None:
    shares = (0, 0.0049, 0.005, 0.006, 0.5, 0.994, 0.9999, 1)
    assert [room._percent(share) for share in shares] == ["", "", "1", "1", "50", "99", "99", "100"]


@pytest.mark.parametrize("count", [1, 2, 19, 40, 150])
def test_any_number_of_classes_with_any_names(tmp_path: Path, count: int) -> None:
    names = ["$\\alpha", "", "line\nend", "\ud800", "a very long name of many words " * 9, *map(str, range(count))][
        :count
    ]
    matrix = np.random.default_rng(0).integers(0, 10**9, (count, count + 1))
    confusion_picture(matrix, names, tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as page:
        assert max(page.size) < 3000
        assert min(page.size) > 100
    assert (tmp_path / "c.png").stat().st_size < 2_000_000


@pytest.mark.parametrize("name", ["a", "a long name of many words"])
@pytest.mark.parametrize("count", [1, 3, 11, 19, 30, 70])
def test_the_key_is_whole(tmp_path: Path, count: int, name: str) -> None:
    """Each shade in its full width, with ground right of the last one and below, and a word left of the first."""
    path = tmp_path / "c.png"
    confusion_picture(np.zeros((count, count), dtype=int), [f"{name} {k}" for k in range(count)], path)
    page = np.asarray(Image.open(path).convert("RGB")).astype(int)
    size = room._Sizes.of(count)
    for right in (True, False):
        rows, columns = np.nonzero((page == shade(1, right)).all(axis=-1))
        line = page[rows.min()]  # above the digits
        assert [(line == shade(p / 100, right)).all(axis=-1).sum() for p in room._KEY] == [room._field(size) - 1] * 5
        assert (page[rows.min(), columns.max() + 2 :] == 255).all()
        assert columns.max() + size.name < page.shape[1]
        assert rows.max() + 2 < page.shape[0]
        word = page[rows.min() : rows.max(), : columns.max() - 5 * room._field(size)]
        assert (word[:, 2:] < 100).any()
        assert (word[:, :2] == 255).all()
