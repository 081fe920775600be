"""The data check as a user starts it: every kind of fault is found, told and mended; a sound set passes."""

import hashlib
import json
import os
import re
import shlex
import shutil
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
from densenets.config import ReadingRules
from densenets.data import open_split
from densenets.data.checks.annotations import boxes_left_out, judge
from densenets.data.checks.findings import Findings
from densenets.data.checks.source import read_raw
from densenets.data.decode import ORIENTATION, read_image
from densenets.run.check.text import plural

ROOT = Path(__file__).parent.parent.parent
Document = dict[str, Any]
Change = Callable[[Document, Path], None]  # of the annotations and the folder of the pictures of "train"


def check(data: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code and check.json."""
    out = data.parent / "report"
    shutil.rmtree(out, ignore_errors=True)
    code = main(["check-data", "--data", str(data), "--out", str(out), "--size", "96", "--workers", "0", *words])
    return code, json.loads((out / "check.json").read_text())


def annotations(data: Path, split: str = "train") -> Path:
    return data / "annotations" / f"instances_{split}.json"


def changed(data: Path, change: Change) -> Path:
    document = json.loads(annotations(data).read_text())
    change(document, data / "train")
    annotations(data).write_text(json.dumps(document))
    return data


@pytest.fixture
def clean(shapes) -> Path:
    return shapes(train=range(6), val=range(6, 10))


def box(*values: float) -> Change:
    return lambda document, _: document["annotations"][1].update(bbox=list(values))


def annotation(**values: Any) -> Change:
    return lambda document, _: document["annotations"][1].update(values)


def image(**values: Any) -> Change:
    return lambda document, _: document["images"][1].update(values)


def category(**values: Any) -> Change:
    return lambda document, _: document["categories"][1].update(values)


def bytes_of(data: bytes) -> Change:
    return lambda _, folder: (folder / "1.png").write_bytes(data) and None


def png_header(width: int, height: int) -> bytes:
    """A picture that says it is this large, in 57 bytes."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return start + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))


def cut_short(_: Document, folder: Path) -> None:
    data = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(data[: len(data) // 2])


def cut_jpeg(document: Document, folder: Path) -> None:
    Image.open(folder / "1.png").save(folder / "1.jpg")
    data = (folder / "1.jpg").read_bytes()
    (folder / "1.jpg").write_bytes(data[: len(data) // 2])
    document["images"][1]["file_name"] = "1.jpg"


def smaller(_: Document, folder: Path) -> None:
    Image.open(folder / "1.png").resize((64, 64)).save(folder / "1.png")


def narrow(document: Document, folder: Path) -> None:
    Image.new("RGB", (600, 9)).save(folder / "1.png")
    document["images"][1].update(width=600, height=9)
    document["annotations"] = [item for item in document["annotations"] if item["image_id"] != 101]


def floating(_: Document, folder: Path) -> None:
    Image.fromarray(np.zeros((128, 128), np.float32)).save(folder / "1.png", "TIFF")


def animated(_: Document, folder: Path) -> None:
    frames = [Image.new("RGB", (128, 128), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "1.png", save_all=True, append_images=frames[1:])


def linked_out(_: Document, folder: Path) -> None:
    outside = folder.parent.parent / "outside.png"
    shutil.move(folder / "1.png", outside)
    (folder / "1.png").symlink_to(outside)


def same_id(document: Document, _: Path) -> None:
    document["annotations"][1]["id"] = document["annotations"][0]["id"]


def same_image_id(document: Document, _: Path) -> None:
    document["images"][1]["id"] = document["images"][0]["id"]


def corners(document: Document, _: Path) -> None:
    for item in document["annotations"]:
        x, y, width, height = item["bbox"]
        item["bbox"] = [x, y, x + width, y + height]


RUNS = {"size": [128, 128], "counts": [128 * 128 - 1]}
# Kind of fault: its code, what is done to a sound set, and whether it comes as an error.
ZOO: dict[str, tuple[str, Change, bool]] = {
    "cut PNG": ("D01", cut_short, False),
    "cut JPEG": ("D01", cut_jpeg, False),
    "empty file": ("D03", bytes_of(b""), False),
    "zeros": ("D03", bytes_of(b"\0" * 500), False),
    "HTML": ("D03", bytes_of(b"<!DOCTYPE html><title>404</title>"), False),
    "git-lfs pointer": ("D03", bytes_of(b"version https://git-lfs.github.com/spec/v1\n"), False),
    "floating-point TIFF": ("D03", floating, False),
    "zero-area box": ("D07", box(10, 10, 0, 5), False),
    "negative width": ("D08", box(10, 10, -5, 5), True),
    "NaN": ("D09", box(10, 10, float("nan"), 5), True),
    "infinity": ("D09", box(10, 10, float("inf"), 5), True),
    "a number beyond floats": ("D09", box(10, 10, 10**400, 5), True),
    "negative area": ("D09", annotation(area=-1), True),
    "box outside": ("D10", box(200, 10, 5, 5), True),
    "box partly outside": ("D11", box(100, 10, 60, 20), True),
    "corners": ("D12", corners, True),
    "odd iscrowd": ("D15", annotation(iscrowd=2), True),
    "category name twice": ("D18", category(name="red"), True),
    "category id twice": ("D18", category(id=4), True),
    "image id twice": ("D19", same_image_id, True),
    "annotation id twice": ("D20", same_id, True),
    "unknown image": ("D22", annotation(image_id=999), True),
    "unknown category": ("D22", annotation(category_id=999), True),
    "missing picture": ("D23", lambda _, folder: (folder / "1.png").unlink(), True),
    "path upwards": ("D24", image(file_name="../val/6.png"), True),
    "absolute path": ("D24", image(file_name="/etc/passwd"), True),
    "NUL in a name": ("D24", image(file_name="1\0.png"), True),
    "link out of the folder": ("D24", linked_out, True),
    "bomb": ("D25", bytes_of(png_header(60_000, 60_000)), False),
    "narrow picture": ("D26", narrow, False),
    "size of nothing": ("D26", image(width=0), True),
    "another size": ("D27", smaller, True),
    "animation": ("D30", animated, True),
    "no images": ("D36", lambda document, _: document.update(images=[], annotations=[]), True),
    "no categories": ("D36", lambda document, _: document.update(categories=[], annotations=[]), True),
    "id true": ("D37", annotation(id=True), True),
    "id beyond 2^53": ("D37", annotation(id=2**60), True),
    "image id as text": ("D37", image(id="101"), True),
    "name of no text": ("D37", category(name=5), True),
    "annotation of no object": ("D37", lambda document, _: document["annotations"].insert(0, 7), True),
    "no list": ("D37", lambda document, _: document.update(annotations={}), True),
    "run lengths": ("D38", annotation(segmentation=RUNS), True),
    "polygon of 2 points": ("D39", annotation(segmentation=[[1, 1, 5, 5]]), False),
    "polygon far outside": ("D39", annotation(segmentation=[[1, 1, 1e9, 5, 7, 7]]), True),
    "polygon with NaN": ("D39", annotation(segmentation=[[1, 1, float("nan"), 5, 7, 7]]), True),
    "box of 3 numbers": ("D43", box(10, 10, 5), True),
    "box of texts": ("D43", annotation(bbox=["1", "2", "3", "4"]), True),
    "tiny box": ("tiny", box(10, 10, 1, 20), False),
    "box of all": ("nearly-all", box(0, 0, 128, 128), False),
    "unused class": ("unused-class", lambda d, _: d["categories"].append({"id": 50, "name": "never"}), False),
    "twin": ("duplicate", lambda _, folder: shutil.copy(folder / "0.png", folder / "1.png") and None, False),
    "leak": ("leak", lambda _, folder: shutil.copy(folder.parent / "val/6.png", folder / "1.png") and None, False),
}
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


def contents(folder: Path) -> dict[str, str]:
    """Of every file; what a link leads to is its target's."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


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


def test_an_unusable_picture_does_not_give_its_boxes_to_its_namesake(clean) -> None:
    def spoil(document: Document, _: Path) -> None:
        document["images"][0].update(width=0)
        document["images"][1].update(id=document["images"][0]["id"])

    code, report = check(changed(clean, spoil), "--fix", str(clean.parent / "fixed"))
    assert code == 2
    assert {"D19", "D26", "fix"} <= {row["code"] for row in report["problems"]}
    assert not (clean.parent / "fixed").exists()


def test_max_pixels(clean) -> None:
    code, report = check(clean, "--max-pixels", "0.01")
    assert code == 2
    assert {row["code"] for row in report["problems"]} == {"D25", "D41"}
    assert (report["errors"], report["warnings"]) == (5, 6)  # 4 of val, and the 6 of train are too many


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


# Other sources


def test_classes_that_training_lacks(clean) -> None:
    document = json.loads(annotations(clean).read_text())
    document["annotations"] = [item for item in document["annotations"] if item["category_id"] != 4]
    annotations(clean).write_text(json.dumps(document))
    codes = {row["code"] for row in check(clean)[1]["problems"]}
    assert codes == {"unused-class", "untaught-class"}
    document["categories"] = [item for item in document["categories"] if item["id"] != 4]
    annotations(clean).write_text(json.dumps(document))
    code, report = check(clean)
    assert code == 2  # as a training says
    assert {row["code"] for row in report["problems"] if row["level"] == "error"} == {"D22"}


def test_an_annotation_file_with_its_pictures(clean, capsys) -> None:
    out = clean.parent / "report"
    words = ["--annotations", str(annotations(clean)), "--images", str(clean / "train"), "--out", str(out)]
    assert main(["check-data", *words]) == 0
    assert list(json.loads((out / "check.json").read_text())["splits"]) == ["train"]
    assert main(["check-data", *words[:2]]) == 2
    assert main(["check-data"]) == 2
    assert main(["check-data", "--data", "nowhere"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert check(clean, "--splits", "val")[1]["splits"].keys() == {"val"}


def test_voc(clean, tmp_path) -> None:
    data = write_voc(tmp_path / "voc", clean)
    assert check(data)[0] == 0
    assert check(data, "--box-format", "xyxy")[0] == 0  # which is of COCO's files
    xml = data / "Annotations" / "1.xml"
    sound = xml.read_text()
    for old, new, code in (
        ("<xmax>", "<xmax>-", "D08"),
        ("<annotation>", "<annotation", "D37"),
        ("<name>thing</name>", "<name></name>", "D22"),
        ("<width>128", "<width>0", "D26"),
    ):
        xml.write_text(sound.replace(old, new))
        code_, report = check(data)
        assert code_ == 2
        assert {row["code"] for row in report["problems"]} == {code}
        fixed = tmp_path / f"fixed-{code}"
        check(data, "--fix", str(fixed))
        assert check(fixed)[0] == 0
    xml.unlink()
    assert {row["code"] for row in check(data)[1]["problems"]} == {"D22"}


def write_voc(root: Path, source: Path) -> Path:
    """The pictures of a split in VOC's layout, with one box each."""
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    for number in range(6):
        shutil.copy(source / "train" / f"{number}.png", root / "JPEGImages")
        corners = "".join(
            f"<{key}>{value}</{key}>"
            for key, value in zip(("xmin", "ymin", "xmax", "ymax"), (9, 9, 50, 60), strict=True)
        )
        item = f"<object><name>thing</name><bndbox>{corners}</bndbox></object>"
        size = "<size><width>128</width><height>128</height></size>"
        (root / "Annotations" / f"{number}.xml").write_text(f"<annotation>{size}{item}</annotation>")
    (root / "ImageSets/Main/train.txt").write_text("0\n1\n2\n3\n")
    (root / "ImageSets/Main/val.txt").write_text("4\n5\n")
    return root


# Manifests


def test_a_manifest_finds_a_flipped_byte(clean, tmp_path, capsys) -> None:
    sums = tmp_path / "sums"
    assert check(clean, "--write-manifest", str(sums))[0] == 0
    assert subprocess.run(["sha256sum", "--quiet", "-c", str(sums)], cwd=clean, check=False).returncode == 0
    assert check(clean, "--manifest", str(sums))[0] == 0
    picture = Image.open(clean / "train" / "2.png")
    picture.putpixel((5, 5), (0, 0, 0))
    picture.save(clean / "train" / "2.png")
    code, report = check(clean, "--manifest", str(sums))
    assert (code, [row["code"] for row in report["problems"]]) == (2, ["D02"])
    assert main(["check-data", "--data", str(clean), "--out", str(tmp_path / "o"), "--manifest", "nowhere"]) == 2


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


# Real sets


def test_blood_cells(real_data, tmp_path, capsys) -> None:
    out, fixed = tmp_path / "report", tmp_path / "fixed"
    words = ["--data", str(real_data / "bccd"), "--out", str(out), "--workers", "2"]
    assert main(["check-data", *words, "--fix", str(fixed)]) == 0
    report = json.loads((out / "check.json").read_text())
    assert [row["code"] for row in report["problems"]] == ["D07", "D07"]
    assert [split["images"] for split in report["splits"].values()] == [205, 87, 72]
    assert report["copy"]["changes"] == {"annotations left out [D07]": 2}
    words[1] = str(fixed)
    assert main(["check-data", *words]) == 0
    assert json.loads((out / "check.json").read_text())["problems"] == []
    capsys.readouterr()


def test_a_part_of_coco(real_data, tmp_path) -> None:
    out = tmp_path / "report"
    assert main(["check-data", "--data", str(real_data / "coco_mini"), "--out", str(out), "--workers", "0"]) == 0
    report = json.loads((out / "check.json").read_text())
    assert report["errors"] == 0
    assert report["splits"]["train2017"]["crowds"] == 5
    assert 0 < report["splits"]["train2017"]["default_boxes"]["all"]["recall"] < 1


def test_the_tool_in_a_process_of_its_own(clean, tmp_path) -> None:
    (clean / "train" / "1.png").unlink()
    command = [sys.executable, str(ROOT / "tools" / "check_data.py"), "--data", str(clean), "--workers", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stdout.startswith("NOT OK: ")
    assert done.stderr.splitlines()[-1].endswith("the picture is missing [D23]")
    assert "Traceback" not in done.stderr
    assert (tmp_path / "check-shapes" / "check.html").is_file()


def test_a_training_split_without_objects_is_refused_as_a_training_refuses_it(clean: Path) -> None:
    changed(clean, lambda document, _: document["annotations"].clear())
    code, report = check(clean)
    assert code == 2
    assert [(row["code"], row["what"]) for row in report["problems"] if row["level"] == "error"] == [
        ("D36", "no object to learn from")
    ]
    changed(clean, lambda document, _: None)
    assert check(clean, "--splits", "val")[0] == 0  # which needs none


def test_splits_in_any_order_are_compared_with_the_training_s_classes(clean: Path) -> None:
    def strange(document: Document) -> None:
        document["categories"].append({"id": 99, "name": "zebra"})
        document["annotations"][0]["category_id"] = 99

    document = json.loads(annotations(clean, "val").read_text())
    strange(document)
    annotations(clean, "val").write_text(json.dumps(document))
    for splits in (["train", "val"], ["val", "train"], ["val", "val", "train"]):
        code, report = check(clean, "--splits", *splits)
        assert code == 2, splits
        assert list(report["splits"]) == ["train", "val"]
        assert "D22" in {row["code"] for row in report["problems"]}


def test_a_link_in_place_of_the_page_is_replaced(clean: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("kept")
    (tmp_path / "page").mkdir()
    (tmp_path / "page/check.html").symlink_to(other)
    words = ["check-data", "--data", str(clean), "--out", str(tmp_path / "page"), "--size", "96", "--workers", "0"]
    assert main(words) == 0
    assert other.read_text() == "kept"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--data: say what to check: either --data FOLDER"),
        (["--data", "SET", "--splits", "trian"], "there are train, val"),
        (["--data", "SET", "--splits", "train", "../val"], "--splits: "),
    ],
)
def test_what_cannot_be_checked_leaves_nothing_behind(words: list[str], said: str, clean, tmp_path, capsys) -> None:
    given = [str(clean) if word == "SET" else word for word in words]
    assert main(["check-data", *given, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert said in told
    assert not (tmp_path / "out").exists()


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
