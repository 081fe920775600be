"""The data check as a user starts it: every kind of fault is found, told and mended; a sound set passes."""

import json
import re
import shutil
from pathlib import Path

import pytest
from faulty_sets import (
    ZOO,
    Document,
    annotations,
    box,
    changed,
    check,
    contents,
    corners,
    same_id,
    same_image_id,
)

from densenets.cli import main
from densenets.data import open_split

UNCLEAR = (
    "image id twice",
    "corners",
    "category name twice",
    "category id twice",
    "name of no text",
)  # a person has to say
UNCLEAR += ("no images", "no categories", "no list")


def test_a_sound_set_passes(clean, capsys) -> None:
    code, report = check(clean)
    printed = capsys.readouterr()
    assert (code, report["ok"], report["problems"]) == (0, True, [])
    assert printed.out.startswith("OK: ")
    assert str(clean.parent / "report" / "check.html") in printed.out
    assert "arning" not in printed.err
    assert report["splits"]["train"]["notes"] == {"pictures without boxes, kept as background [D13]": 1}
    assert report["splits"]["train"]["boxes"] == 10
    assert report["splits"]["train"]["default_boxes"]["all"]["boxes"] == 10


@pytest.mark.parametrize("name", ZOO)
def test_every_fault_is_found_and_mended(name: str, clean, capsys, caplog) -> None:
    code, change, is_error = ZOO[name]
    data = changed(clean, change)
    before = contents(data)
    exit_code, report = check(data)
    assert exit_code == (2 if is_error else 0)
    found = {(row["level"], row["code"]) for row in report["problems"]}
    assert ("error" if is_error else "warning", code) in found, report["problems"]
    assert {kind for _, kind in found} <= {code, *CONSEQUENCES} or name in SIDE_EFFECTS
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("densenets: error: ")]
    assert bool(lines) == is_error
    assert not is_error or any(f"[{code}]" in line for line in lines)
    fixed = data.parent / "fixed"
    exit_code, report = check(data, "--fix", str(fixed))
    printed = capsys.readouterr()
    assert contents(data) == before
    if name in UNCLEAR:
        assert exit_code == 2
        assert "[fix]" in printed.err
        assert not fixed.exists()
        return
    assert (exit_code, "densenets: error: " in printed.err) == (0, False)
    assert f"train on it with: densenets train-det --data {fixed} --backbone v2 " in printed.out
    assert bool(is_error) == any(line.startswith("mended in the copy: ") for line in caplog.messages)
    exit_code, mended = check(fixed)
    assert (exit_code, mended["errors"]) == (0, 0), mended["problems"]
    assert code not in {row["code"] for row in mended["problems"]} or code in NOT_MENDED
    assert open_split(fixed, "train").skips == ()
    assert code in NOT_MENDED or f"[{code}]" in (fixed / "fixes.jsonl").read_text()


SIDE_EFFECTS = ("twin", "leak")  # a picture under the boxes of another
CONSEQUENCES = ("unused-class", "untaught-class", "D09", "D22", "fix")
NOT_MENDED = ("tiny", "nearly-all", "unused-class", "duplicate", "leak")  # nothing that a reader refuses


BROKEN_FILES = {
    "cut": (b'{"images": [', "D37"),
    "byte order mark": (b"\xef\xbb\xbf{}", "D37"),
    "nested deeply": (b"[" * 200_000, "D37"),
    "a number of 5000 digits": (b'{"images": ' + b"1" * 5000 + b"}", "D37"),
    "a list": (b"[]", "D37"),
    "a key twice": (b'{"images": [], "images": []}', "D37"),
    "no UTF-8": (b"\xff\xfe", "D37"),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_annotation_file_is_one_error_and_the_rest_is_checked(name: str, clean, capsys) -> None:
    content, code = BROKEN_FILES[name]
    annotations(clean).write_bytes(content)
    exit_code, report = check(clean)
    assert exit_code == 2
    assert code in {row["code"] for row in report["problems"] if row["split"] == "train"}
    assert report["splits"]["val"]["images"] == 4
    assert "Traceback" not in capsys.readouterr().err


def test_every_problem_is_in_the_file_and_twenty_on_the_screen(clean, capsys) -> None:
    def spoil(document: Document, _: Path) -> None:
        extra = [{"id": 1000 + n, "image_id": 100, "category_id": 4, "bbox": [1, 1, -2, 3]} for n in range(30)]
        document["annotations"] += extra

    code, report = check(changed(clean, spoil))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("densenets: error: ")]
    assert (code, report["errors"], len(lines)) == (2, 30, 21)
    assert lines[-1] == "densenets: error: and 10 more problems"
    assert 'annotations[10] (id 1000, image 100 "0.png"): bbox [1, 1, -2, 3] has a negative width' in lines[0]


def test_strict_makes_warnings_errors(clean, capsys, caplog) -> None:
    data = changed(clean, box(10, 10, 0, 5))
    assert check(data)[0] == 0
    assert any(line.startswith("warning: ") and line.endswith("[D07]") for line in caplog.messages)
    assert check(data, "--strict")[0] == 2
    assert "[D07]" in capsys.readouterr().err


def test_rules_of_reading_count_here_too(clean) -> None:
    many = changed(clean, lambda document, _: [item.update(bbox=[5, 5, 0, 1]) for item in document["annotations"][:4]])
    assert check(many)[0] == 2  # more than --max-skip allows
    assert check(many, "--max-skip", "0.5")[0] == 0


@pytest.mark.parametrize(
    ("name", "flags"),
    [("annotation id twice", ["--renumber"]), ("link out of the folder", ["--follow-symlinks"]),
     ("corners", ["--box-format", "xyxy"]), ("box outside", ["--skip-invalid"])],
)  # fmt: skip
def test_what_a_flag_allows_passes(name: str, flags: list[str], clean) -> None:
    data = changed(clean, ZOO[name][1])
    if name == "corners":
        document = json.loads(annotations(data, "val").read_text())
        corners(document, data)
        annotations(data, "val").write_text(json.dumps(document))
    assert check(data)[0] == 2
    assert check(data, *flags)[0] == 0
    fixed = data.parent / "fixed"
    assert check(data, *flags, "--fix", str(fixed))[0] == 0
    assert check(fixed)[0] == 0


def test_a_picture_that_cannot_be_read_is_an_error_where_a_training_makes_it_one(clean) -> None:
    """One of train is skipped; --strict, --max-skip 0 and judging take none, and no other code ends with --strict."""
    (clean / "train/1.png").write_bytes(b"")
    shutil.copy(clean / "train/2.png", clean / "train/3.png")
    assert check(clean)[0] == 0
    assert check(clean, "--max-skip", "0")[0] == 2
    code, report = check(clean, "--strict")
    assert (code, [row["code"] for row in report["problems"] if row["level"] == "error"]) == (2, ["D03"])
    (clean / "train/1.png").unlink()
    shutil.copy(clean / "train/0.png", clean / "train/1.png")
    assert check(clean, "--strict")[0] == 0  # twins are no item that is left out
    (clean / "val/6.png").write_bytes(b"")
    assert check(clean, "--max-skip", "1")[0] == 2


def test_a_training_says_the_same_of_pictures_that_cannot_be_read(clean, quick, capsys) -> None:
    for broken, flags, expected in ((1, (), 0), (2, (), 2), (2, ("--max-skip", "0.334"), 0)):
        for number in range(broken):
            (clean / f"train/{number}.png").write_bytes(b"")
        assert check(clean, *flags)[0] == expected
        words = ["--data", str(clean), "--out", str(clean.parent / f"run-{broken}-{expected}"), "--epochs", "1"]
        small = ["--backbone", "v3-small", "--width", "0.5", "--size", "96", "--batch-size", "2", "--workers", "0"]
        rest = ["--augment", "none", "--accelerator", "cpu"]
        assert main(["train-det", *words, *small, *rest, *flags]) == expected
    capsys.readouterr()


def test_one_max_skip_accepts_all_that_was_found(clean, capsys) -> None:
    def spoil(document: Document, folder: Path) -> None:
        for item in document["annotations"][:2]:
            item["bbox"][2] = 0
        for number in range(3):
            (folder / f"{number}.png").write_bytes(b"")

    data = changed(clean, spoil)
    document = json.loads(annotations(data, "val").read_text())
    for item in document["annotations"][:4]:
        item["bbox"][2] = 0
    annotations(data, "val").write_text(json.dumps(document))
    code, report = check(data)
    errors = [row["line"] for row in report["problems"] if row["level"] == "error"]
    said = {value for line in errors for value in re.findall(r"--max-skip (\S+) accepts all", line)}
    assert (code, len(errors), len(said)) == (2, 3, 1), errors
    assert check(data, "--max-skip", said.pop())[0] == 0
    assert check(data, "--max-skip", "0.5")[0] == 2
    capsys.readouterr()


def test_problems_come_in_the_order_of_the_file(clean) -> None:
    def spoil(document: Document, _: Path) -> None:
        rows = document["annotations"]
        rows[0].update(category_id=999)
        rows[1]["bbox"][2] = 0
        rows[2].update(image_id=999)
        rows[3]["bbox"] = [500, 500, 5, 5]
        rows[4]["id"] = rows[0]["id"]
        document["images"][5].update(file_name="gone.png")

    rows = check(changed(clean, spoil))[1]["problems"]
    places = [row["item"].partition(" ")[0] for row in rows if row["item"]]
    assert places == ["images[5]", *(f"annotations[{place}]" for place in range(5))]


def test_both_items_and_the_flag_that_helps_are_named(clean) -> None:
    same_id(document := json.loads(annotations(clean).read_text()), clean)
    same_image_id(document, clean)
    document["annotations"][4]["bbox"] = [500, 500, 5, 5]
    annotations(clean).write_text(json.dumps(document))
    lines = [row["line"] for row in check(clean)[1]["problems"]]
    assert any(
        'images[1] (id 100, "1.png"): its id is that of images[0] (id 100, "0.png") too [D19]' in x for x in lines
    )
    assert any("annotations[1] " in x and "is that of annotations[0] (id 1, image 100" in x for x in lines)
    assert any("(--skip-invalid leaves such boxes out) [D10]" in x for x in lines)


def test_max_pixels(clean) -> None:
    code, report = check(clean, "--max-pixels", "0.01")
    assert code == 2
    assert {row["code"] for row in report["problems"]} == {"D25", "D41"}
    assert (report["errors"], report["warnings"]) == (5, 6)  # 4 of val, and the 6 of train are too many
