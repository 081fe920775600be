"""What the data check shows: the page, the names and pictures on it, the lines in a terminal."""

import json
import os
from pathlib import Path

from faulty_sets import (
    Document,
    annotations,
    changed,
    check,
    corners,
    cut_short,
)

from densenets.cli import main
from densenets.config import ReadingRules
from densenets.data.checks.annotations import boxes_left_out, judge
from densenets.data.checks.findings import Findings
from densenets.data.checks.source import read_raw
from densenets.data.decode import read_image
from densenets.run.check.text import plural

# The page

NASTY = "<script>alert(1)</script>\"'&<img src=x onerror=y>"


def test_no_name_is_markup(clean) -> None:
    def spoil(document: Document, folder: Path) -> None:
        name = NASTY.replace("/", "") + ".png"
        (folder / "1.png").rename(folder / name)
        document["images"][1]["file_name"] = name
        document["categories"][0]["name"] = NASTY
        document["annotations"][1]["bbox"] = [1, 1, 0, 5]

    renamed = clean.parent / "<b>set"
    clean.rename(renamed)
    check(changed(renamed, spoil))
    page = (renamed.parent / "report" / "check.html").read_text()
    assert page.count("<script>") == 1  # our own
    assert "<img src=x" not in page
    assert "<b>set" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;b&gt;set" in page
    assert "http" not in page.replace("http-equiv", "")


def test_names_that_no_terminal_likes(clean, capsys) -> None:
    name = "a\nb\x1b[31m\udcff.png"

    def spoil(document: Document, folder: Path) -> None:
        os.rename(folder / "1.png", folder / name)  # noqa: PTH104
        document["images"][1]["file_name"] = name
        cut_short(document, folder) if (folder / "1.png").exists() else (folder / name).write_bytes(b"")

    data = changed(clean, spoil)
    code, _ = check(data, "--strict")
    lines = capsys.readouterr().err.splitlines()
    assert code == 2
    assert any("a\\nb\\x1b[31m\\udcff.png: not a picture: the file is empty [D03]" in line for line in lines)
    check(data, "--fix", str(data.parent / "fixed"))
    assert check(data.parent / "fixed")[0] == 0


def test_a_link_in_place_of_the_page_is_replaced(clean: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("kept")
    (tmp_path / "page").mkdir()
    (tmp_path / "page/check.html").symlink_to(other)
    words = ["check-data", "--data", str(clean), "--out", str(tmp_path / "page"), "--size", "96", "--workers", "0"]
    assert main(words) == 0
    assert other.read_text() == "kept"


def test_boxes_in_corners_are_drawn_where_they_are(clean) -> None:
    document = json.loads(annotations(clean).read_text())
    corners(document, clean)
    document["annotations"][1]["category_id"] = 999
    annotations(clean).write_text(json.dumps(document))
    findings = Findings("train")
    raw = read_raw(clean, "train", findings)
    rules = ReadingRules(box_format="xyxy")
    faulty = boxes_left_out(raw, judge(raw, rules, findings), rules)
    assert faulty == {0: [document["annotations"][1]["bbox"]]}


def test_pictures_beyond_the_usual_limit_are_shown_where_the_flag_allows_them(clean, monkeypatch) -> None:
    monkeypatch.setattr(
        "densenets.run.check.samples.read_image", lambda file, size, limit: limits.append(limit) or read_image(file)
    )
    limits: list[float] = []
    assert check(clean, "--max-pixels", "100")[0] == 0
    assert set(limits) == {100.0}


def test_one_and_several() -> None:
    assert [plural(count, "different size") for count in (0, 1, 2)] == [
        "0 different sizes", "1 different size", "2 different sizes"
    ]  # fmt: skip
