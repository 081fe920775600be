"""What a page tells beside its numbers: what they were measured on, and what they cannot tell apart."""

import csv
import re
from pathlib import Path

from example_comparison import detection, segmentation
from reports import plain, two

from densenets.analysis.compare.table import ranking
from densenets.analysis.comparison import Interval
from densenets.analysis.report import curves, matrix, pareto
from densenets.analysis.report.page import build_page
from densenets.analysis.report.rows import write_rows
from densenets.analysis.report.words import signed


def test_curves_are_of_the_split_that_the_trainings_were_validated_on(tmp_path: Path) -> None:
    comparison = detection(tmp_path, pictures=0)
    comparison.split, comparison.protocol["val_split"] = "test", "dev"
    assert "Training loss and AP on dev, the trainings' own" in plain(curves.section(comparison))
    del comparison.protocol["val_split"]
    told = plain(curves.section(comparison))
    assert "AP on the split that each training was validated on" in told
    assert not re.search(r"on test\b", told)


def test_the_size_that_costs_were_measured_at_is_told(tmp_path: Path) -> None:
    comparison = segmentation(tmp_path, pictures=0)
    assert "measured at" not in plain(build_page(comparison, tmp_path))
    for model in comparison.models:
        model.canvas, model.measured = (96, 96), (360, 480)
    alike = "96 × 96 px, costs and latency at 360 × 480 px (height × width)"
    assert alike in plain(build_page(comparison, tmp_path)).partition("Click a heading")[2].partition("rank")[0]
    assert ranking(comparison).count("360x480") == len(comparison.models)
    comparison.models[0].measured = (96, 96)
    assert plain(build_page(comparison, tmp_path)).count("costs and latency at 360 × 480 px (height × width)") == 3
    with write_rows(comparison, tmp_path / "rows.csv").open(newline="") as handle:
        sizes = {(row["measured_width"], row["measured_height"]) for row in csv.DictReader(handle)}
    assert sizes == {("96", "96"), ("480", "360")}


def test_boxes_are_drawn_from_a_score_that_is_told(tmp_path: Path) -> None:
    comparison = detection(tmp_path, pictures=2)
    page = plain(build_page(comparison, tmp_path))
    assert "Boxes from score" not in page
    assert ": no box" not in page
    comparison.boxes_from = 0.25
    comparison.pictures[1].empty = ["v2"]
    page = plain(build_page(comparison, tmp_path))
    assert "Boxes from score 0.25." in page
    assert page.count("v2: no box") == page.count(": no box") == 1


def test_the_colours_of_classes_are_told(tmp_path: Path) -> None:
    comparison = segmentation(tmp_path, pictures=1)
    assert "hatched" not in build_page(comparison, tmp_path)
    comparison.classes, comparison.colours = ["sky", "<road>"], ["#80ff00", "#0000ff"]
    found = build_page(comparison, tmp_path)
    page = found[found.index('id="pictures"') :].partition("</ul>")[0]
    assert [plain(item) for item in page.split("<li>")[1:]] == ["sky", "&lt;road&gt;", "hatched: no class, not judged"]
    assert re.findall(r"fill=\"(#\w+)\"", page)[:2] == ["#80ff00", "#0000ff"]


def test_a_doubtful_latency_has_a_mark_on_its_number(tmp_path: Path) -> None:
    comparison = two(0.5, 0.4, tie=False)
    sound, doubtful = comparison.models
    sound.latency = {"p50": 20.0, "drift": 0.0, "cores": 0.99}
    doubtful.latency = {"p50": 10.0, "p90": 12.0, "drift": 0.0, "cores": 0.5}
    page = plain(build_page(comparison, tmp_path))
    assert page.count("10.0 ?p90 12.0") == 1
    assert page.count("10.0 ?") == 2 + 1  # ranking, costs, and the point of the plot
    assert "20.0 ?" not in page
    assert "Some latencies are doubtful (?)" in page
    plots = plain(pareto.section(comparison))
    assert "AP against latency p50 ?" in plots
    assert "?: doubtful: b." in plots
    told = ranking(comparison)
    assert [line.split()[-1] for line in told.splitlines()[3:5]] == ["20.0", "10.0?"]
    assert "? doubtful, measure again on a quiet machine" in told
    doubtful.latency["cores"] = 0.99
    assert "?" not in ranking(comparison)
    assert "doubtful" not in plain(build_page(comparison, tmp_path))


def test_a_stand_in_is_marked_on_stdout() -> None:
    comparison = two(0.5, 0.4, tie=False)
    assert "*" not in ranking(comparison)
    comparison.models[1].stands_in = True
    assert ranking(comparison).splitlines()[4].split()[1] == "b*"
    assert "* not trained here" in ranking(comparison).splitlines()
    comparison.models[1].same_as = ["a-0"]
    assert "* not trained here; b is the very checkpoint of a-0" in ranking(comparison).splitlines()


def test_differences_tell_an_end_from_nought() -> None:
    comparison = two(0.5, 0.4999, tie=False)
    comparison.differences[0].difference = Interval(-0.0001, -0.0012, -0.00002)
    page = plain(matrix.section(comparison))
    assert "+0.0001+0.00002 to +0.0012" in page
    assert "−0.0001−0.0012 to −0.00002" in page
    assert [signed(value) for value in (0.0, 1e-17, 0.1, -0.0004, None)] == ["0.000", "0.000", "+0.100", "−0.0004", "–"]


def test_a_narrow_page_says_that_its_ranking_goes_on(tmp_path: Path) -> None:
    page = build_page(detection(tmp_path, pictures=0), tmp_path)
    section = page[page.index('id="ranking"') :].partition("</section>")[0]
    assert section.count('<p class="narrow quiet">') == 1
    assert "</p><p" in section
    assert ".narrow { display: none; }" in page
    assert ".narrow { display: block; }" in page[page.index("max-width: 640px") :].partition("@media print")[0]
