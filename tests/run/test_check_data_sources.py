"""What the data check takes: splits, single files, VOC, manifests and real sets; as a process too."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faulty_sets import (
    Document,
    annotations,
    changed,
    check,
)
from PIL import Image

from densenets.cli import main

ROOT = Path(__file__).parent.parent.parent


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
