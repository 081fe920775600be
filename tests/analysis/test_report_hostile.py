"""Names, numbers and pictures that come from outside."""

import csv
import re
from pathlib import Path

import pytest
from PIL import Image
from reports import Outline, hostile, noise, two

from densenets.analysis.comparison import Interval, Picture
from densenets.analysis.report import write_report
from densenets.analysis.report.page import build_page
from densenets.analysis.report.pictures import embedded


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    comparison = hostile(tmp_path)
    files = write_report(comparison, tmp_path)
    page = files[0].read_text()
    outline = Outline(page)
    assert [tag for tag, _ in outline.tags].count("script") == 1
    assert not any(key.startswith("on") for _, attributes in outline.tags for key in attributes)
    assert all((attributes.get("src") or "data:").startswith("data:") for _, attributes in outline.tags)
    assert "\u202e" not in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", page)
    assert max(map(len, outline.texts["bdi"])) <= 600
    with files[1].open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == len(comparison.models)
    assert "\n" not in "".join(value for row in rows for value in row.values())


def test_numbers_that_are_none_or_not_finite_stay_out(tmp_path: Path) -> None:
    comparison = two(0.5, 0.4, tie=False)
    model = comparison.models[0]
    model.scores["AP50"], model.per_class["cat"] = Interval(float("nan"), None, float("inf")), Interval(float("inf"))
    model.costs, model.latency = {"madds": float("nan"), "parameters": 0.0}, {"p50": float("inf")}
    model.cells[0].curves = [{"epoch": 0, "loss": float("nan")}, {"epoch": 1, "loss": "x"}, {}, {"epoch": 3, "AP": 0.1}]
    comparison.differences[0].difference = Interval(None)
    page = build_page(comparison, tmp_path)
    Outline(page)
    assert "nan" not in re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL)
    assert '"inf"' not in page


@pytest.mark.parametrize(
    "file", ["missing.jpg", "broken.jpg", "../outside.jpg", ".", "text.jpg", "a\0b", "picture.png"]
)
def test_a_picture_that_cannot_be_shown_leaves_its_place(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "outside.jpg").write_bytes(noise())
    (folder / "broken.jpg").write_bytes(noise()[:900])
    (folder / "text.jpg").write_text("<svg onload=alert(1)>")
    Image.new("RGB", (4, 4)).save(folder / "picture.png")
    assert embedded(folder, file, 10**6) is None
    comparison = two(0.5, 0.4, tie=False)
    comparison.pictures = [Picture("x", file, {"a": file})]
    assert build_page(comparison, folder).count("no picture") == 2


def test_pictures_of_any_number_stay_within_the_room(tmp_path: Path) -> None:
    (tmp_path / "noise.jpg").write_bytes(noise((900, 1200)))
    comparison = two(0.5, 0.4, tie=False)
    comparison.pictures = [Picture(f"{k}", "noise.jpg", {"a": "noise.jpg", "b": "noise.jpg"}) for k in range(3)]
    assert 1_000_000 < len(build_page(comparison, tmp_path)) < 4_200_000
