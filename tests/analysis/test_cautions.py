"""What is told before the numbers: on stdout and at the head of the page."""

import re
from pathlib import Path

import pytest
from example_comparison import detection, segmentation
from reports import plain

from densenets.analysis.cautions import cautions
from densenets.analysis.compare.table import ranking
from densenets.analysis.comparison import Comparison
from densenets.analysis.report.page import build_page


@pytest.fixture
def quiet(tmp_path: Path) -> Comparison:
    """One of which nothing is to be told."""
    comparison = segmentation(tmp_path, pictures=0)
    comparison.images = 500
    for model in comparison.models:
        model.spread = {"mIoU": (0.1, 0.2)}
    assert cautions(comparison) == []
    return comparison


def test_what_the_split_was_to_the_trainings(quiet: Comparison) -> None:
    quiet.split_use = "chosen"
    assert re.match(r"Judged on \w+, by which each training's best checkpoint was chosen: ", cautions(quiet)[0])
    quiet.split_use = "trained"
    assert re.match(r"Judged on \w+, which was trained on: ", cautions(quiet)[0])


def test_few_images(quiet: Comparison) -> None:
    for count, words in ((1, "1 image: "), (29, "Only 29 images: ")):
        quiet.images = count
        assert cautions(quiet)[0].startswith(words)
    quiet.images = 30
    assert cautions(quiet) == []


def test_seeds_that_not_all_have_and_single_ones(quiet: Comparison) -> None:
    first = quiet.models[0]
    first.cells[0].seed = 7
    (line,) = cautions(quiet)
    assert line.startswith("Not all models have the same seeds: v1 has 7; v2 has 0; ")
    first.stands_in = True
    assert cautions(quiet) == []
    for model in quiet.models:
        model.spread = {}
    assert cautions(quiet)[0].startswith("One training each: ")


def test_cells_that_failed_make_seeds_uneven(tmp_path: Path) -> None:
    comparison = detection(tmp_path, pictures=0)
    assert comparison.uneven_seeds["v3-small"] == [0, 1]
    assert "v3-small has 0, 1" in "".join(cautions(comparison))


def test_classes_that_count_for_some(quiet: Comparison) -> None:
    quiet.uneven_classes = ["car", "b\nus", *"cdefg"]
    assert cautions(quiet)[0].endswith("predict some of it: car, b\\nus, c, d, 3 more.")


def test_each_warning_of_a_training_once(quiet: Comparison, tmp_path: Path) -> None:
    for model in quiet.models[:2]:
        model.cells[0].warnings = ["--warmup 100: the training has 16 steps <b>"]
    (line,) = cautions(quiet)
    names = ", ".join(model.cells[0].name for model in quiet.models[:2])
    assert line == f"{names}: warning: --warmup 100: the training has 16 steps <b>"
    assert line in ranking(quiet)
    page = build_page(quiet, tmp_path)
    assert line in plain(page).replace("&lt;", "<").replace("&gt;", ">")
    assert "steps <b>" not in page


def test_nothing_is_told_where_no_model_has_a_number(quiet: Comparison) -> None:
    quiet.images = 1
    for model in quiet.models:
        model.rank = None
    assert cautions(quiet) == []
