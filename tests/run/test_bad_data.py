"""Faulty data sets through the commands themselves: exit codes, lines, what is skipped and listed, what is written."""

import re
from pathlib import Path

import pytest
from PIL import Image
from spoilt_sets import (
    ITEM,
    SMALL,
    Document,
    Spoil,
    again,
    box,
    corners,
    first,
    link,
    nothing,
    spoiled,
    told,
    write_predictions,
)

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
