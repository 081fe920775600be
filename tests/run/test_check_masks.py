"""The data check of masks as a user starts it."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densenets.cli import main

sys.path.append(str(Path(__file__).parent.parent / "data"))
from mask_sets import ids, save, shot, write_cityscapes, write_folder, write_voc


def check(data: Path | str, out: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code and check.json."""
    shutil.rmtree(out, ignore_errors=True)
    code = main(["check-data", "--data", str(data), "--out", str(out), "--workers", "0", *words])
    return code, json.loads((out / "check.json").read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = write_folder(tmp_path / "set", count=120, size=(16, 24))
    return write_folder(root, "val", count=4, size=(16, 24))


def test_a_sound_set(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = check(folder, tmp_path / "out")
    assert (code, report["ok"], report["problems"]) == (0, True, [])
    train = report["splits"]["train"]
    assert [row["name"] for row in train["classes"]] == ["sky", "road", "car"]
    masks = [np.asarray(Image.open(path)) for path in sorted((folder / "masks" / "train").iterdir())]
    pixels = np.bincount(np.stack(masks).ravel(), minlength=256)
    assert [row["pixels"] for row in train["classes"]] == pixels[:3].tolist()
    assert train["classes"][1]["share"] == pixels[1] / pixels[:3].sum()
    assert train["ignored_share"] == pixels[255] / pixels.sum()
    assert (train["images"], train["images_without_classes"], train["formats"]) == (120, 0, {"PNG": 120})
    out = capsys.readouterr().out
    assert out.startswith(f"OK: {folder}: 0 errors, 0 warnings")
    page = (tmp_path / "out" / "check.html").read_text()
    assert "Ready to train" in page
    assert page.count("data:image/jpeg;base64,") == 10


def codes(report: dict[str, Any], level: str = "error") -> list[str]:
    return [row["code"] for row in report["problems"] if row["level"] == level]


def test_faults_of_masks_and_pictures_are_told_of_the_whole_set(folder: Path, tmp_path: Path) -> None:
    masks, images = folder / "masks" / "train", folder / "images" / "train"
    save(masks / "03.png", ids(16, 24, (0, 33)))
    save(masks / "05.png", np.full((16, 24), 255, np.uint8))
    (masks / "07.png").write_bytes((masks / "07.png").read_bytes()[:70])
    shutil.copy(images / "09.png", images / "10.png")
    code, report = check(folder, tmp_path / "out")
    assert code == 2
    assert codes(report) == ["D31"]
    assert codes(report, "warning") == ["D01", "duplicate"]
    (line,) = [row["line"] for row in report["problems"] if row["code"] == "D31"]
    assert line.startswith(f"{masks / '03.png'}: not of the class list: id 33 on ")
    notes = report["splits"]["train"]["notes"]
    assert notes["masks without a pixel of any class, which teach nothing [D35]"] == 1
    assert report["splits"]["train"]["images_without_classes"] == 1
    assert "data:image/jpeg;base64," in (tmp_path / "out" / "check.html").read_text()


def test_what_a_training_skips_is_an_error_where_it_is_too_much_or_strict(folder: Path, tmp_path: Path) -> None:
    path = folder / "masks" / "train" / "07.png"
    path.write_bytes(path.read_bytes()[:70])
    assert check(folder, tmp_path / "out")[0] == 0
    assert codes(check(folder, tmp_path / "out", "--strict")[1]) == ["D01"]
    code, report = check(folder, tmp_path / "out", "--max-skip", "0")
    assert (code, codes(report)) == (2, ["D41"])
    save(folder / "masks" / "val" / "00.png", ids(16, 24, (0, 1)))
    broken = folder / "masks" / "val" / "01.png"
    broken.write_bytes(broken.read_bytes()[:70])
    assert codes(check(folder, tmp_path / "out")[1]) == ["D01"]  # in judging every one has to be read


def test_splits_that_cannot_be_opened(folder: Path, tmp_path: Path) -> None:
    save(folder / "masks" / "train" / "00.png", ids(17, 24, (0, 1)))
    (folder / "images" / "val" / "01.png").unlink()
    (folder / "masks" / "val" / "02.png").unlink()
    code, report = check(folder, tmp_path / "out")
    assert (code, codes(report)) == (2, ["D34", "D34", "D34"])
    lines = [row["line"] for row in report["problems"]]
    assert lines[0].startswith(f"{folder}/masks/train/00.png: 24x17, but its picture ")
    assert lines[1:] == [
        f"{folder}/masks/val/01.png: no picture images/val/01.* [D34]",
        f"{folder}/images/val/02.png: no mask masks/val/02.png [D34]",
    ]
    assert {name: split["images"] for name, split in report["splits"].items()} == {"train": 119, "val": 2}
    assert "Not usable as it is" in (tmp_path / "out" / "check.html").read_text()


def test_one_missing_mask_of_the_other_layouts(tmp_path: Path) -> None:
    """The rest of its split is looked at all the same."""
    city, voc = write_cityscapes(tmp_path / "c"), write_voc(tmp_path / "v")
    shot(city, 1, "gtFine", "gtFine_labelIds").unlink()
    (voc / "SegmentationClass" / "2007_000001.png").unlink()
    for data in (city, voc):
        code, report = check(data, tmp_path / "out")
        assert (code, codes(report), report["splits"]["train"]["images"]) == (2, ["D34"], 2)
    for kind in ("labelIds", "instanceIds"):
        for number in (0, 2):
            shot(city, number, "gtFine", f"gtFine_{kind}").unlink()
    code, report = check(city, tmp_path / "out")
    assert (code, codes(report), report["splits"]) == (2, ["D34", "D34", "D34", "D36"], {})


def test_too_few_names_are_one_line_a_split(folder: Path, tmp_path: Path) -> None:
    (folder / "classes.txt").unlink()
    code, report = check(folder, tmp_path / "out", "--classes", "sky", "road")
    assert (code, codes(report)) == (2, ["D31", "D31"])
    (line,) = [row["line"] for row in report["problems"] if row["split"] == "train"]
    assert line.startswith(f"{folder}/masks/train/00.png: not of the class list: id 2 on ")
    flag = "--ignore-ids 2 takes it as of no class, else --classes lacks a name [D31]"
    assert line.endswith(f" pixels; 119 more masks hold such too, in all 2; {flag}")


def test_train_ids_under_the_name_of_label_ids(tmp_path: Path) -> None:
    data = write_cityscapes(tmp_path / "set", count=4)
    for number in range(4):
        street = np.random.default_rng(number).choice(np.array([0, 1, 2, 8, 13], np.uint8), (32, 64))
        save(shot(data, number, "gtFine", "gtFine_labelIds"), street)
        shot(data, number, "gtFine", "gtFine_instanceIds").unlink()
    code, report = check(data, tmp_path / "out")
    assert code == 0
    (line,) = [row["line"] for row in report["problems"] if row["code"] == "D32"]
    assert line.startswith("split train: no id above 18 in 4 masks of it, and most pixels are of no class: these look ")


def test_classes_that_are_not_taught(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "masks" / "train").iterdir():
        save(path, ids(16, 24, (0, 1)))
    code, report = check(folder, tmp_path / "out")
    assert code == 0
    assert {"unused-class", "untaught-class"} <= set(codes(report, "warning"))


def test_a_set_without_any_pixel_of_a_class(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "masks" / "val").iterdir():
        save(path, np.full((16, 24), 255, np.uint8))
    code, report = check(folder, tmp_path / "out")
    assert (code, codes(report)) == (2, ["D36"])


def test_a_test_split_whose_labels_a_server_has(tmp_path: Path) -> None:
    """As Cityscapes is downloaded: its dummies must not make the set one that cannot be trained on."""
    data = write_cityscapes(tmp_path / "set")
    write_cityscapes(data, "test")
    for kind, dtype in (("labelIds", np.uint8), ("instanceIds", np.uint16)):
        for number in range(3):
            save(shot(data, number, "gtFine", f"gtFine_{kind}", "test"), np.zeros((32, 64), dtype))
    code, report = check(data, tmp_path / "out")
    assert (code, report["ok"]) == (0, True)
    assert [line["split"] for line in report["problems"] if line["code"] == "D36"] == ["test"]


def test_the_other_layouts(tmp_path: Path) -> None:
    code, report = check(write_cityscapes(tmp_path / "c"), tmp_path / "out")
    assert (code, len(report["splits"]["train"]["classes"])) == (0, 19)
    code, report = check(write_voc(tmp_path / "v"), tmp_path / "out")
    assert (code, len(report["splits"]["train"]["classes"])) == (0, 21)
    (tmp_path / "v" / "ImageSets" / "Main").mkdir()
    (tmp_path / "v" / "Annotations").mkdir()
    code, report = check(tmp_path / "v", tmp_path / "out", "--head", "lraspp")
    assert (code, report["task"]) == (0, "segmentation")


def test_names_for_a_set_without_a_class_list(folder: Path, tmp_path: Path) -> None:
    (folder / "classes.txt").unlink()
    assert codes(check(folder, tmp_path / "out")[1]) == ["D36"]  # of both splits, once
    words = ("--classes", "sky", "road", "--ignore-ids", "2")
    code, report = check(folder, tmp_path / "out", *words)
    assert (code, [row["name"] for row in report["splits"]["val"]["classes"]]) == (0, ["sky", "road"])


def test_a_manifest(folder: Path, tmp_path: Path) -> None:
    sums = tmp_path / "sums"
    assert check(folder, tmp_path / "out", "--write-manifest", str(sums))[0] == 0
    assert len(sums.read_text().splitlines()) == 124
    picture = folder / "images" / "train" / "05.png"
    save(picture, np.asarray(Image.open(picture)) ^ 1)
    code, report = check(folder, tmp_path / "out", "--manifest", str(sums))
    assert (code, codes(report)) == (2, ["D02"])


def test_camvid(real_data: Path, tmp_path: Path) -> None:
    names = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]
    code, report = check(real_data / "camvid", tmp_path / "out", "--classes", *names, "--ignore-ids", "11")
    assert (code, report["errors"]) == (0, 0)
    assert [split["images"] for split in report["splits"].values()] == [367, 101]
    assert 0.02 < report["splits"]["train"]["ignored_share"] < 0.05


def test_names_that_are_lacking_are_told_with_what_the_masks_hold(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The flag that is proposed holds the ids that it holds already."""
    (folder / "classes.txt").unlink()
    for split in ("train", "val"):
        for path in (folder / "masks" / split).iterdir():
            save(path, ids(16, 24, tuple(range(12))))
    words = ("--classes", "sky", "road", "car")
    code, report = check(folder, tmp_path / "out", *words, "--ignore-ids", "11")
    printed = capsys.readouterr()
    assert (code, codes(report)) == (2, ["D31", "D31"])
    flag = "--ignore-ids 3 4 5 6 7 8 9 10 11"
    told = f"; --classes may lack names, it gives them to the ids from 0 on; else {flag} takes them as of no class"
    assert all(told in row["line"] for row in report["problems"])
    masks = [np.asarray(Image.open(path)) for path in sorted((folder / "masks" / "train").iterdir())]
    share = np.bincount(np.stack(masks).ravel(), minlength=256) / np.stack(masks).size
    shown = {line[:28].strip(): line[28:].split() for line in printed.out.splitlines() if line.startswith("id ")}
    assert shown["id 1: road"][0] == f"{share[1]:.3%}"
    assert shown["id 7: not of the class list"][0] == f"{share[7]:.3%}"
    assert shown["id 11: no class"][0] == f"{share[11]:.3%}"
    assert "0.00" not in printed.out
    assert "Pixels by id" in (tmp_path / "out" / "check.html").read_text()
    assert check(folder, tmp_path / "out", *words, *flag.split())[0] == 0
    assert "id 1: road" not in capsys.readouterr().out
