"""What is made once for all tests of a process: a comparison of two nets, finished, to look at or to go on from; the
report of a made-up one."""

import shutil
from pathlib import Path

import pytest
from comparisons import GRID, Done, compare_here, record_batches
from example_comparison import detection
from shapes import write_split

from densenets.analysis.comparison import Comparison
from densenets.analysis.report import write_report


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


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path, list[Path]]:
    folder = tmp_path_factory.mktemp("detection")
    comparison = detection(folder, pictures=2)
    return comparison, folder, write_report(comparison, folder)
