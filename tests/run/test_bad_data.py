"""Faulty data sets through the commands themselves: exit codes, lines, what is skipped and listed, what is written."""

import json
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densenets.cli import main

ROOT = Path(__file__).parent.parent.parent
SMALL = ["--backbone", "v3-small", "--width", "0.5", "--size", "96", "--batch-size", "4", "--epochs", "1"]
SMALL += ["--workers", "0", "--accelerator", "cpu", "--augment", "flip", "--out", "run"]

Document = dict[str, Any]
Spoil = Callable[[Document, Path], Any]


def first(key: str, **values: Any) -> Spoil:
    """Sets values of the first item of a list."""
    return lambda document, folder: document[key][0].update(values)


def box(*numbers: Any) -> Spoil:
    return first("annotations", bbox=list(numbers))


def again(key: str, **changes: Any) -> Spoil:
    return lambda document, folder: document[key].append({**document[key][0], **changes})


def file(data: bytes) -> Spoil:
    """Other bytes in place of the first picture."""
    return lambda document, folder: (folder / document["images"][0]["file_name"]).write_bytes(data)


def link(document: Document, folder: Path) -> None:
    name = document["images"][0]["file_name"]
    (folder / name).rename(folder.parent.parent / "elsewhere.png")
    (folder / name).symlink_to(folder.parent.parent / "elsewhere.png")


def corners(document: Document, folder: Path) -> None:
    for item in document["annotations"]:
        x, y, width, height = item["bbox"]
        item["bbox"] = [x, y, x + width, y + height]


def nothing(document: Document, folder: Path) -> None:
    document.update(images=[], annotations=[])


ITEM = r'annotations\[0\] \(id 1, image 100 "0.png"\): '
# Row of the catalogue -> what is done to the training split, the words of the error, and a flag that accepts it.
COCO: dict[str, tuple[Spoil, str, list[str]]] = {
    "D07 strict": (box(9, 9, 9, 0), ITEM + r"bbox \[9, 9, 9, 0\] has zero height \[D07\]", []),
    "D08": (box(9, 9, -3, 4), ITEM + r"bbox \[9, 9, -3, 4\] has a negative width or height \[D08\]", []),
    "D09": (box(9, float("nan"), 3, 4), r"annotations\[0\].bbox\[1\] is NaN, which is no number \[D09\]", []),
    "D10": (box(200, 9, 9, 9), ITEM + r"bbox .* has no part inside .*\[D10\]", ["--skip-invalid", "--max-skip", "1"]),
    "D11": (box(100, 9, 30, 9), ITEM + r"bbox .* has more than rounding outside the image \[D11\]", []),
    "D12": (
        corners,
        r"looks like x0 y0 x1 y1: 0 of 8 .*--box-format xyxy reads it.*\[D12\]",
        ["--box-format", "xyxy", "--val-split", "train"],
    ),
    "D15": (first("annotations", iscrowd=2), ITEM + r"iscrowd is 2; it must be 0 or 1 \[D15\]", []),
    "D18 id": (again("categories", name="x"), r"categories\[3\] .* id is that of categories\[0\] .*\[D18\]", []),
    "D18 name": (again("categories", id=3), r"categories\[3\] .* name is that of categories\[0\] .*\[D18\]", []),
    "D19": (again("images"), r'images\[4\] \(.*\): its id is that of images\[0\] \(id 100, "0.png"\) too \[D19\]', []),
    "D20": (again("annotations"), r"annotations\[8\] .* id is that of annotations\[0\] .*\[D20\]", ["--renumber"]),
    "D22 image": (first("annotations", image_id=9), r"annotations\[0\] .*: image_id 9 is unknown \[D22\]", []),
    "D22 class": (first("annotations", category_id=9999), ITEM + r"category_id 9999 is unknown \[D22\]", []),
    "D23": (lambda d, f: (f / "0.png").unlink(), r'images\[0\] \(id 100, "0.png"\): no such file in \S+ \[D23\]', []),
    "D24 up": (first("images", file_name="../x.png"), r"images\[0\] .* inside the images folder \[D24\]", []),
    "D24 absolute": (first("images", file_name="/etc/passwd"), r"images\[0\] .* inside the images folder \[D24\]", []),
    "D24 NUL": (first("images", file_name="a\0b.png"), r'"a\\u0000b.png"\): .* inside the images folder \[D24\]', []),
    "D24 link": (link, r"images\[0\] .*: a link leads out of the images folder.* \[D24\]", ["--follow-symlinks"]),
    "D26": (first("images", width=0), r"images\[0\] .*: 0x128 is not the size of a picture \[D26\]", []),
    "D36": (nothing, r"no images \[D36\]", []),
    "D36 objects": (lambda d, f: d["annotations"].clear(), r"split train: no object to learn from \[D36\]", []),
    "D37 bool": (first("images", id=True), r"images\[0\] .*: id is true; it must be a whole number \[D37\]", []),
    "D37 large": (first("images", id=2**53), r"images\[0\] .*: id is beyond 2\^53 \[D37\]", []),
    "D43": (box(9, 9, 9), ITEM + r"bbox is \[9, 9, 9\]; it must be 4 numbers \[D43\]", []),
}


def spoiled(shapes: Callable[..., Path], spoil: Spoil) -> Path:
    data = shapes(train=range(4), val=range(4, 6))
    path = data / "annotations" / "instances_train.json"
    document = json.loads(path.read_text())
    spoil(document, data / "train")
    path.write_text(json.dumps(document))
    return data


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The lines of a command that ends with 2."""
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    lines = [line for line in printed.err.splitlines() if line.startswith("densenets: error: ")]
    assert all(line.isprintable() for line in lines)
    return [line.removeprefix("densenets: error: ") for line in lines]


@pytest.mark.parametrize("row", COCO)
def test_a_fault_of_coco_is_one_line_and_nothing_is_written(shapes, tmp_path, monkeypatch, capsys, row: str) -> None:
    spoil, words, accepting = COCO[row]
    data = spoiled(shapes, spoil)
    monkeypatch.chdir(tmp_path)
    strict = ["--strict"] if "strict" in row else []
    (line,) = told(capsys, "train-det", *SMALL, "--data", str(data), *strict)
    assert re.search(words, line)
    assert line.startswith(str(data))
    assert not (tmp_path / "run").exists()
    if accepting:  # far enough to fail for another reason, after all was read
        lines = told(capsys, "train-det", *SMALL, "--data", str(data), *accepting, "--weights", "nowhere.pth")
        assert lines == ["nowhere.pth: no such file"]


@pytest.mark.parametrize("row", ["D08", "D12", "D22 class", "D23", "D43"])
def test_judging_refuses_it_too(shapes, tmp_path, monkeypatch, capsys, row: str) -> None:
    data = spoiled(shapes, COCO[row][0])
    monkeypatch.chdir(tmp_path)
    write_predictions(Path("p.json"))
    (line,) = told(capsys, "eval-det", "--predictions", "p.json", "--data", str(data), "--split", "train")
    assert re.search(COCO[row][1], line)


TEXTS = {
    "cut short": '{"images": [{"id": 1',
    "byte order mark": '\ufeff{"images": []}',
    "deep": "[" * 100_000,
    "5,000 digits": '{"images": ' + "1" * 5000 + "}",
    "key twice": '{"images": [{"id": 1, "id": 2}]}',
    "no text": "",
    "an empty object": "{}",
}


@pytest.mark.parametrize("name", TEXTS)
def test_broken_json_is_one_line(shapes, tmp_path, monkeypatch, capsys, name: str) -> None:
    data = shapes(train=range(2), val=range(2, 4))
    (data / "annotations" / "instances_train.json").write_text(TEXTS[name])
    monkeypatch.chdir(tmp_path)
    (line,) = told(capsys, "train-det", *SMALL, "--data", str(data))
    assert line.startswith(str(data / "annotations" / "instances_train.json"))
    assert line.endswith("[D37]")


def test_twenty_problems_in_the_order_of_the_file_and_a_count(shapes, tmp_path, monkeypatch, capsys) -> None:
    def spoil(document: Document, folder: Path) -> None:
        row = document["annotations"][0]
        document["annotations"] = [{**row, "id": i, "bbox": [9, 9, -1, 4]} for i in range(1, 31)]
        document["annotations"][2]["category_id"] = 99
        document["annotations"][1]["bbox"] = None
        document["images"][3]["height"] = "8"
        document["categories"].append({"id": 5, "name": "red"})

    data = spoiled(shapes, spoil)
    monkeypatch.chdir(tmp_path)
    lines = told(capsys, "train-det", *SMALL, "--data", str(data))
    assert len(lines) == 21
    places = [line.split(": ")[1].split(" ")[0] for line in lines[:-1]]
    assert places == ["categories[3]", "images[3]", *(f"annotations[{i}]" for i in range(18))]
    assert [line[-5:] for line in lines[:6]] == ["[D18]", "[D37]", "[D08]", "[D37]", "[D22]", "[D08]"]
    assert lines[-1] == "and 12 more problems"


# Files of Pascal VOC

XML = "<annotation><size><width>128</width><height>128</height></size>{}</annotation>"
OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
VOC: dict[str, tuple[str, str, list[str]]] = {
    "D07 strict": (OBJECT.format("a", 9, 9, 9, 20), r'0.xml: object\[0\] \("a"\): box .* has zero width \[D07\]', []),
    "D08": (OBJECT.format("a", 9, 9, 5, 20), r"0.xml: object\[0\] .* has a negative width or height \[D08\]", []),
    "D09": (OBJECT.format("a", 9, 9, "inf", 20), r"0.xml: object\[0\] .* not a finite number \[D09\]", []),
    "D10": (
        OBJECT.format("a", 200, 9, 210, 20),
        r"0.xml: object\[0\] .* no part inside .*\[D10\]",
        ["--skip-invalid", "--max-skip", "1"],
    ),
    "D11": (OBJECT.format("a", 100, 9, 140, 20), r"0.xml: object\[0\] .* more than rounding .*\[D11\]", []),
    "D22": (OBJECT.format("", 9, 9, 20, 20), r'0.xml: object\[0\] \(""\): has no name \[D22\]', []),
    "D37": ("<object>", r"0.xml: not valid XML: .*\[D37\]", []),
    "D43": (OBJECT.replace("ymax", "zmax").format("a", 1, 2, 3, 4), r"0.xml: object\[0\] .*ymax is null.*\[D37\]", []),
    "D37 entities": ('<!ENTITY b "c">', r"0.xml: declares XML entities, .*\[D37\]", []),
}


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    root = tmp_path / "voc"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for number in range(4):
        text = XML.format(OBJECT.format("b", 10, 10, 60, 60))
        (root / "Annotations" / f"{number}.xml").write_text(text)
        Image.new("RGB", (128, 128), (number, 9, 9)).save(root / "JPEGImages" / f"{number}.jpg")
    for split in ("train", "val"):
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("0\n1\n2\n3\n")
    return root


@pytest.mark.parametrize("row", VOC)
def test_a_fault_of_voc_is_one_line_and_nothing_is_written(voc, tmp_path, monkeypatch, capsys, row: str) -> None:
    text, words, accepting = VOC[row]
    (voc / "Annotations" / "0.xml").write_text(text if "ENTITY" in text else XML.format(text))
    monkeypatch.chdir(tmp_path)
    strict = ["--strict"] if "strict" in row else []
    (line,) = told(capsys, "train-det", *SMALL, "--data", str(voc), *strict)
    assert re.search(words, line)
    assert not (tmp_path / "run").exists()
    if accepting:
        lines = told(capsys, "train-det", *SMALL, "--data", str(voc), *accepting, "--weights", "nowhere.pth")
        assert lines == ["nowhere.pth: no such file"]


def test_all_faulty_files_of_voc_are_told(voc, tmp_path, monkeypatch, capsys) -> None:
    (voc / "JPEGImages" / "0.jpg").unlink()
    (voc / "Annotations" / "1.xml").unlink()
    (voc / "Annotations" / "2.xml").write_text("<annotation>")
    (voc / "JPEGImages" / "3.jpg").rename(tmp_path / "3.jpg")
    (voc / "JPEGImages" / "3.jpg").symlink_to(tmp_path / "3.jpg")
    monkeypatch.chdir(tmp_path)
    lines = told(capsys, "train-det", *SMALL, "--data", str(voc))
    assert [line[-5:] for line in lines] == ["[D24]", "[D23]", "[D22]", "[D37]"]


# Skipping


def write_predictions(path: Path) -> None:
    """Something for each picture of the training split."""
    row = {"category_id": 4, "bbox": [1, 1, 9, 9], "score": 0.5}
    path.write_text(json.dumps([{"image_id": number, **row} for number in range(100, 104)]))


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
