"""The repaired copy: what it changes and counts, that it trains, and that the original is left alone."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from faulty_sets import (
    Document,
    annotations,
    box,
    changed,
    check,
    contents,
    corners,
)
from PIL import Image

from densenets.cli import main
from densenets.data.decode import ORIENTATION, read_image


def test_an_unusable_picture_does_not_give_its_boxes_to_its_namesake(clean) -> None:
    def spoil(document: Document, _: Path) -> None:
        document["images"][0].update(width=0)
        document["images"][1].update(id=document["images"][0]["id"])

    code, report = check(changed(clean, spoil), "--fix", str(clean.parent / "fixed"))
    assert code == 2
    assert {"D19", "D26", "fix"} <= {row["code"] for row in report["problems"]}
    assert not (clean.parent / "fixed").exists()


# Notes


def test_what_is_read_as_something_else_is_counted(clean) -> None:
    def mix(document: Document, folder: Path) -> None:
        picture = Image.open(folder / "0.png")
        picture.convert("L").save(folder / "0.png")
        picture.convert("RGBA").save(folder / "1.png")
        Image.fromarray(np.full((128, 128), 40_000, np.uint16)).save(folder / "2.png")
        picture.convert("CMYK").save(folder / "3.png", "JPEG")
        document["annotations"][0].pop("iscrowd")
        document["annotations"][1].pop("area")
        document["annotations"][2]["bbox"][0] = -0.5
        document["annotations"][3]["iscrowd"] = 1

    code, report = check(changed(clean, mix))
    notes = report["splits"]["train"]["notes"]
    assert (code, report["problems"]) == (0, [])
    codes = {re.search(r"\[(D\d+)\]", what)[1]: count for what, count in notes.items()}  # type: ignore[index]
    assert codes == {"D04": 1, "D05": 1, "D06": 1, "D11": 1, "D13": 1, "D14": 1, "D15": 1}
    assert report["splits"]["train"]["modes"] == {"RGB": 2, "L": 1, "RGBA": 1, "I;16": 1, "CMYK": 1}
    fixed = clean.parent / "fixed"
    check(clean, "--fix", str(fixed))
    mended = check(fixed)[1]["splits"]["train"]["notes"]
    assert not {"D04", "D11", "D15"} & {what[-4:-1] for what in mended}
    assert (fixed / "train" / "3.jpg").is_file()


@pytest.mark.parametrize(("orientation", "kind"), [(3, "JPEG"), (6, "JPEG"), (2, "PNG"), (8, "WEBP")])
def test_exif_that_leaves_it_open_is_warned_of_and_stored_upright(orientation: int, kind: str, clean) -> None:
    name = f"1.{kind.lower()}"

    def turn(document: Document, folder: Path) -> None:
        picture = Image.open(folder / "1.png")
        exif = picture.getexif()
        exif[ORIENTATION] = orientation
        picture.save(folder / name, kind, exif=exif)
        document["images"][1]["file_name"] = name

    data = changed(clean, turn)
    code, report = check(data)
    assert (code, [row["code"] for row in report["problems"]]) == (0, ["D28"])
    fixed = data.parent / "fixed"
    check(data, "--fix", str(fixed))
    assert check(fixed)[1]["problems"] == []
    seen, stored = read_image(data / "train" / name), read_image(fixed / "train" / name)
    assert Image.open(fixed / "train" / name).getexif().get(ORIENTATION, 1) == 1
    assert np.abs(seen.astype(int) - stored).mean() < (3 if kind == "JPEG" else 0.01)


# The repaired copy


def test_a_copy_goes_nowhere_near_the_original(clean, tmp_path, capsys) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "letter.txt").write_text("dear")
    link = tmp_path / "link"
    link.symlink_to(clean)
    before = contents(clean)
    for place in (clean, clean / "inside", link, link / "inside", clean.parent, full, full / "letter.txt"):
        words = ["--data", str(clean), "--out", str(tmp_path / "o"), "--fix", str(place)]
        assert main(["check-data", *words]) == 2
        assert "--fix: " in capsys.readouterr().err
    assert contents(clean) == before
    assert (full / "letter.txt").read_text() == "dear"


def test_a_copy_of_what_is_sound_has_no_change(clean, tmp_path) -> None:
    fixed = tmp_path / "fixed"
    assert check(clean, "--fix", str(fixed))[1]["copy"]["changes"] == {}
    assert (fixed / "fixes.jsonl").read_text() == ""
    for split in ("train", "val"):
        assert json.loads(annotations(fixed, split).read_text()) == json.loads(annotations(clean, split).read_text())
    assert contents(fixed / "train") == contents(clean / "train")


def test_a_copy_tells_each_change_once(clean) -> None:
    fixed = clean.parent / "fixed"
    report = check(changed(clean, box(100, 10, 60, 20)), "--fix", str(fixed))[1]
    changes = [json.loads(line) for line in (fixed / "fixes.jsonl").read_text().splitlines()]
    assert [(row["index"], row["action"], row["why"]) for row in changes] == [
        (1, "changed", "cut at the edge of the image [D11]")
    ]
    assert report["copy"]["changes"] == {"annotations changed [D11]": 1}


def test_the_command_for_the_copy_trains(clean, capsys) -> None:
    """Of splits with names of their own; the copy of a single file is trained on together with another."""
    for old, new in (("train", "train_a"), ("val", "check")):
        (clean / old).rename(clean / new)
        annotations(clean, old).rename(annotations(clean, new))
    document = json.loads(annotations(clean, "train_a").read_text())
    document["annotations"][0]["id"] = document["annotations"][1]["id"]
    annotations(clean, "train_a").write_text(json.dumps(document))
    fixed = clean.parent / "it's fixed"
    code, report = check(clean, "--fix", str(fixed))
    words = shlex.split(report["copy"]["command"])
    assert (code, words[:2]) == (0, ["densenets", "train-det"])
    rest = ["--epochs", "1", "--batch-size", "2", "--workers", "0", "--augment", "none", "--accelerator", "cpu"]
    assert main([*words[1:], "--width", "0.35", *rest, "--out", str(clean.parent / "run")]) == 0
    alone = ["--annotations", str(annotations(clean, "train_a")), "--images", str(clean / "train_a"), "--workers", "0"]
    out = ["--out", str(clean.parent / "report"), "--fix", str(clean.parent / "alone")]
    capsys.readouterr()
    assert main(["check-data", *alone, *out]) == 0
    said = capsys.readouterr().out
    flags = shlex.split(next(line for line in said.splitlines() if line.startswith("train on it with: ")))[4:]
    assert flags[::2] == ["--train-annotations", "--train-images"]
    assert Path(flags[1]).is_file()
    assert Path(flags[3]).is_dir()


def test_a_copy_that_a_training_refuses_is_no_success(clean, capsys) -> None:
    document = json.loads(annotations(clean, "val").read_text())
    document["categories"].append({"id": 99, "name": "zebra"})
    annotations(clean, "val").write_text(json.dumps(document))
    fixed = clean.parent / "fixed"
    code, report = check(clean, "--fix", str(fixed))
    printed = capsys.readouterr()
    assert (code, report["copy"]["ok"]) == (2, False)
    assert "[D22]" in printed.err
    assert "train on it with" not in printed.out


def test_what_a_manifest_says_is_not_mended_by_a_copy(clean, tmp_path) -> None:
    sums = tmp_path / "sums"
    assert check(clean, "--write-manifest", str(sums))[0] == 0
    shutil.copy(clean / "train/2.png", clean / "train/1.png")
    code, report = check(clean, "--manifest", str(sums), "--fix", str(tmp_path / "fixed"))
    assert (code, report["copy"]["ok"]) == (2, True)


def test_boxes_of_another_form_and_the_flag_that_makes_a_copy(clean, capsys) -> None:
    data = changed(clean, corners)
    assert check(data, "--splits", "train", "--fix", str(data.parent / "fixed"))[0] == 2
    told = capsys.readouterr().err
    assert "--box-format xyxy reads it" in told
    assert "give that flag with --fix [fix]" in told
    assert "by hand" not in told
