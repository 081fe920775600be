"""A comparison of two nets, finished once for all tests of a process that look at it or go on from it."""

import shutil
from pathlib import Path

import pytest
from comparisons import GRID, Done, compare_here, record_batches
from shapes import write_split


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A finished comparison of two nets, judged on a split of their own; never to be changed, see `copy`."""
    place = tmp_path_factory.mktemp("compare")
    (place / "shapes/annotations").mkdir(parents=True)
    for split, numbers in {"train": range(8), "val": range(8, 11), "test": range(11, 15)}.items():
        write_split(place / "shapes", split, numbers)
    data, out = f"--data={place / 'shapes'}", place / "out"
    with pytest.MonkeyPatch.context() as patch:
        seen = record_batches(patch)
        outcome, ran = compare_here(patch, out, data, **GRID)
    return Done(outcome, out, data, ran, list(seen.values()))


@pytest.fixture
def copy(done: Done, tmp_path: Path) -> Path:
    """The finished comparison, to be changed."""
    return Path(shutil.copytree(done.out, tmp_path / "out"))
