"""What a training may leave out: how it is counted, listed and limited; pictures that cannot be read."""

import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from spoilt_sets import (
    ROOT,
    SMALL,
    Document,
    box,
    file,
    first,
    spoiled,
    told,
    write_predictions,
)

from densenets.cli import main


def zero_area(document: Document, folder: Path) -> None:
    document["annotations"][0]["bbox"] = [9, 9, 9, 0]


def test_what_is_skipped_is_counted_and_listed(shapes, tmp_path, monkeypatch, capsys, caplog) -> None:
    data = spoiled(shapes, zero_area)
    monkeypatch.chdir(tmp_path)
    with caplog.at_level("INFO"):
        assert main(["train-det", *SMALL, "--data", str(data)]) == 0
    lines = [record.getMessage() for record in caplog.records]
    assert "warning: skipped 1 of 10 annotations: 1 zero-area [D07]; list: run/skipped.jsonl" in lines
    assert any("images without objects [D13]" in line for line in lines)
    (row,) = [json.loads(line) for line in Path("run/skipped.jsonl").read_text().splitlines()]
    file = str(data / "annotations" / "instances_train.json")
    assert row == {
        "file": file,
        "item": 'annotations[0] (id 1, image 100 "0.png")',
        "reason": "zero-area",
        "code": "D07",
    }
    assert "partial" not in json.loads(Path("run/results.json").read_text())  # the split it was judged on is whole
    write_predictions(Path("p.json"))
    caplog.clear()
    words = ["eval-det", "--predictions", "p.json", "--data", str(data), "--split", "train", "--out", "judged"]
    for _ in range(2):
        assert main(words) == 0
    results = json.loads(Path("judged/results.json").read_text())
    assert (results["partial"], results["skipped"]) == (True, {"zero-area": 1})
    assert len(Path("judged/skipped.jsonl").read_text().splitlines()) == 1
    capsys.readouterr()
    (line,) = told(capsys, *words[:-2], "--strict")
    assert line.endswith("has zero height [D07]")


def test_more_than_max_skip_is_an_error_with_advice(shapes, tmp_path, monkeypatch, capsys) -> None:
    def spoil(document: Document, folder: Path) -> None:
        for item in document["annotations"][:3]:
            item["bbox"][2] = 0

    data = spoiled(shapes, spoil)
    monkeypatch.chdir(tmp_path)
    write_predictions(Path("p.json"))
    words = ["eval-det", "--predictions", "p.json", "--data", str(data), "--split", "train"]
    (line,) = told(capsys, *words)
    found = re.search(
        r"3 of 8 annotations would be skipped, .*--max-skip (\S+) accepts it: 3 zero-area \[D07\]; ", line
    )
    assert found
    assert line.endswith('the first: annotations[0] (id 1, image 100 "0.png") [D07]')
    assert main([*words, "--max-skip", found[1]]) == 0
    capsys.readouterr()
    assert len(told(capsys, *words, "--max-skip", "0", "--strict")) == 3
    assert len(told(capsys, *words, "--max-skip", "0")) == 1


# Pictures


def png_header(side: int) -> bytes:
    """The beginning of a PNG that says to be side x side."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + struct.pack(">I", zlib.crc32(header))
    return start + b"\0\0\x40\0IDAT" + b"\0" * 50


CUT, HUGE = png_header(128), png_header(60_000)
PICTURES = {
    "D01": (CUT, r"0.png: cut short or damaged: .*\[D01\]"),
    "D03 empty": (b"", r"0.png: not a picture: the file is empty \[D03\]"),
    "D03 page": (b"<!DOCTYPE html>", r"0.png: not a picture: looks like an HTML page.*\[D03\]"),
    "D03 pointer": (b"version https://git-lfs.github.com/spec/v1\n", r"0.png: .*git-lfs pointer.*\[D03\]"),
    "D25": (HUGE, r"0.png: .*more than 64 million pixels \[D25\]"),
}


@pytest.mark.parametrize("row", PICTURES)
def test_an_unreadable_picture_is_skipped_in_training_alone(shapes, tmp_path, monkeypatch, capsys, row: str) -> None:
    data, words = PICTURES[row]
    root = spoiled(shapes, file(data))
    monkeypatch.chdir(tmp_path)
    (line,) = told(capsys, "train-det", *SMALL, "--data", str(root), "--strict")
    assert re.search(words, line)
    (line,) = told(capsys, "train-det", *SMALL[:-2], "--out", "none", "--data", str(root), "--max-skip", "0")
    assert re.search(words[:-5] + r".* 1 of 4 pictures would be skipped.*\[D41\]", line)
    (line,) = told(capsys, "train-det", *SMALL[:-2], "--out", "val", "--data", str(root), "--val-split", "train")
    assert re.search(words, line)


def of_kind(number: int, image: Image.Image, folder: Path) -> None:
    """Pictures of many modes, formats and orientations, all named .png."""
    path = folder / f"{number}.png"
    if number < 5:
        image.convert(("L", "CMYK", "P", "RGBA", "LA")[number]).save(path, "JPEG" if number == 1 else "PNG")
    elif number == 5:
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(path, "PNG")
    elif number == 6:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(path, "JPEG", exif=exif)
    else:
        image.save(path, ("WEBP", "BMP")[number % 2])


NAMES = ["ä ö.png", "line\nend.png", "🚲.png", "back\\slash.png", "x" * 251 + ".png", "\udcff.png", "[red]$(x)'\".png"]


def test_pictures_of_every_kind_and_name_are_trained_on_judged_and_drawn(shapes, tmp_path, monkeypatch, capsys) -> None:
    data = shapes(train=range(8), val=range(8, 16))
    path = data / "annotations" / "instances_train.json"
    document = json.loads(path.read_text())
    for number, item in enumerate(document["images"]):
        of_kind(number, Image.open(data / "train" / item["file_name"]), data / "train")
        if number < len(NAMES):
            (data / "train" / item["file_name"]).rename(data / "train" / NAMES[number])
            item["file_name"] = NAMES[number]
    path.write_text(json.dumps(document))
    (data / "annotations" / "instances_val.json").write_text(json.dumps(document))
    (data / "val").rename(data / "old")
    (data / "val").symlink_to(data / "train")
    monkeypatch.chdir(tmp_path)
    assert main(["train-det", *SMALL, "--data", str(data)]) == 0
    assert Path("run/validation.png").is_file()
    assert not Path("run/skipped.jsonl").exists()
    words = ["--checkpoint", "run", "--accelerator", "cpu"]
    assert main(["eval-det", *words, "--data", str(data), "--workers", "1", "--out", "judged"]) == 0
    assert main(["predict", *words, "--images", str(data / "train")]) == 0
    assert len(list(Path("predictions").glob("*.png"))) == 8
    assert "skipped" not in capsys.readouterr().err


# In processes of their own


@pytest.mark.parametrize("row", ["surrogate", "bomb"])
def test_a_hostile_set_through_the_tools(shapes, tmp_path, row: str) -> None:
    data = spoiled(shapes, first("images", file_name="\udcff\nFORGED.png") if row == "surrogate" else file(HUGE))
    words = [str(ROOT / "tools/train_det.py"), *SMALL, "--data", str(data), *(["--strict"] if row == "bomb" else [])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, timeout=300)
    errors = [line for line in done.stderr.decode("ascii").splitlines() if line.startswith("densenets: error: ")]
    assert (done.returncode, done.stdout, len(errors)) == (2, b"", 1), done.stderr
    assert "Traceback" not in done.stderr.decode()
    assert errors[0].endswith("[D23]" if row == "surrogate" else "[D25]")


def test_a_pipe_in_place_of_the_list_of_skips_is_not_waited_for(shapes, tmp_path, monkeypatch, capsys) -> None:
    data = spoiled(shapes, box(9, 9, 9, 0))
    monkeypatch.chdir(tmp_path)
    write_predictions(Path("p.json"))
    (tmp_path / "judged").mkdir()
    os.mkfifo(tmp_path / "judged/skipped.jsonl")
    words = ["eval-det", "--predictions", "p.json", "--data", str(data), "--split", "train", "--out", "judged"]
    (line,) = told(capsys, *words, "--max-skip", "1")
    assert line == "judged/skipped.jsonl: is a pipe, a socket or a device; a file is expected here"
