"""The parts of the data check: masks, manifests, splits, statistics, and that it agrees with the reader."""

import hashlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noise import speckled
from PIL import Image
from pycocotools import mask as coco_mask

from densenets.config import ReadingRules
from densenets.data import open_split
from densenets.data.checks.annotations import judge
from densenets.data.checks.findings import Finding, Findings
from densenets.data.checks.manifest import compare, manifest_text, read_manifest
from densenets.data.checks.masks import decode_runs, mask_fault
from densenets.data.checks.pictures import Job, inspect, inspect_all
from densenets.data.checks.source import list_splits, read_raw, safe_name
from densenets.data.checks.statistics import canvas_boxes, describe
from densenets.errors import InputError, WorkerError

Document = dict[str, Any]
Write = Callable[..., Path]
LIMIT = 64.0


# Masks


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_of_any_mask_are_read_as_pycocotools_writes_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 60, 2).tolist()
    mask = np.asfortranarray((rng.random((height, width)) < rng.random()).astype(np.uint8))
    text = coco_mask.encode(mask)["counts"].decode()
    runs = decode_runs(text)
    assert runs is not None
    assert sum(runs) == height * width
    assert sum(runs[1::2]) == mask.sum()
    assert mask_fault({"size": [height, width], "counts": text}, height, width) is None


BAD_MASKS = [
    ({"size": [20, 10], "counts": [200]}, "D38"),  # exchanged
    ({"size": [10, 20], "counts": [199]}, "D38"),
    ({"size": [10, 20], "counts": [-1, 201]}, "D38"),
    ({"size": [10, 20], "counts": [2**70, 1]}, "D38"),
    ({"size": [10, 20], "counts": "~~~~"}, "D38"),
    ({"size": [10, 20], "counts": "oooooooooooooooooooooo"}, "D38"),
    ({"size": [10, 20], "counts": None}, "D38"),
    ({"counts": [200]}, "D38"),
    ([[0, 0, 5, 5]], "D39"),
    ([[0, 0, 5, 5, 3]], "D39"),
    ([[0, 0, 5, 5, 3, math.nan]], "D39"),
    ([[0, 0, 5, 5, 3, math.inf]], "D39"),
    ([[0, 0, 5, 5, 3, 1e9]], "D39"),
    ([[0, 0, 50, 5, 3, 4]], "D39"),
    ([[-2, 0, 5, 5, 3, 4]], "D39"),
    ([[0, 0, 5, 5, "3", 4]], "D39"),
    ([[0, 0, 5, 5, True, 4]], "D39"),
    ("a mask", "D39"),
]


@pytest.mark.parametrize(("mask", "code"), BAD_MASKS)
def test_bad_masks_are_told_without_building_them(mask: Any, code: str) -> None:
    fault = mask_fault(mask, height=10, width=20)
    assert fault is not None
    assert fault[0] == code


def test_polygons_that_a_reader_skips_are_no_errors() -> None:
    assert mask_fault([[0, 0, 5, 5]], 10, 20)[2]  # type: ignore[index]
    assert not mask_fault([[0, 0, 5, 5, 3, math.nan]], 10, 20)[2]  # type: ignore[index]
    assert mask_fault([[0, 0, 5, 5, 3, 4], [-1, -1, 40, 20, 3, 4]], 10, 20) is None


# Manifests


def test_a_manifest_goes_round(tmp_path: Path) -> None:
    names = ["a.png", "with space.png", "line\nend.png", "back\\slash.png", "ümlaut.png"]
    sums = {}
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
        sums[str(tmp_path / name)] = hashlib.sha256(name.encode()).hexdigest()
    manifest = tmp_path / "SHA256SUMS"
    manifest.write_bytes(manifest_text(sums, tmp_path))
    assert read_manifest(manifest) == {name: sums[str(tmp_path / name)] for name in names}
    findings = Findings()
    compare(manifest, sums, tmp_path, findings)
    assert findings.found == []
    compare(
        manifest, {**sums, str(tmp_path / "a.png"): "0" * 64, str(tmp_path / "new.png"): "1" * 64}, tmp_path, findings
    )
    assert [(finding.level, finding.code) for finding in findings.found] == [("error", "D02"), ("warning", "D02")]


def test_sums_that_sha256sum_would_not_write_are_refused(tmp_path: Path) -> None:
    (tmp_path / "sums").write_text(f"{'0' * 64}  a.png\nnot a sum\n")
    with pytest.raises(InputError, match="line 2"):
        read_manifest(tmp_path / "sums")


def test_what_a_manifest_lists_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "sums").write_text(f"{'0' * 64} *gone.png\n")
    findings = Findings()
    compare(tmp_path / "sums", {}, tmp_path, findings)
    assert [finding.what for finding in findings.found] == ["gone.png is listed but not there"]


# Pictures


def test_a_picture_is_told_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(speckled(20, 30)).convert("L").save(tmp_path / "gray.jpg", "PNG")
    found = inspect(Job(str(tmp_path / "gray.jpg"), (20, 30), LIMIT))
    assert (found.format, found.mode, found.size, found.fault) == ("PNG", "L", (20, 30), None)
    assert found.sha256 == hashlib.sha256((tmp_path / "gray.jpg").read_bytes()).hexdigest()


def test_processes_find_what_one_finds_in_the_same_order(tmp_path: Path) -> None:
    jobs = []
    for number in range(21):
        path = tmp_path / f"{number}.png"
        Image.fromarray(speckled(16, 16 + number, number)).save(path)
        jobs.append(Job(str(path), (16, 16 + number), LIMIT))
    Path(jobs[5].file).write_bytes(b"<html>")
    alone = inspect_all(jobs, 0)
    assert inspect_all(jobs, 3) == alone
    assert [number for number, picture in enumerate(alone) if picture.fault] == [5]
    assert inspect_all([], 2) == []


def test_a_process_that_dies_names_the_pictures_it_was_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Job(str(tmp_path / f"{number}.png"), (16, 16), LIMIT) for number in range(40)]
    died = lambda job: os._exit(9) if job.file.endswith("/17.png") else inspect(job)  # noqa: E731
    monkeypatch.setattr("densenets.data.checks.pictures.inspect", died)
    with pytest.raises(WorkerError, match=r"16\.png: a process died"):
        inspect_all(jobs, 2)


# Splits and statistics


def test_the_splits_of_a_folder(coco: Write, document: Document, tmp_path: Path) -> None:
    for split in ("val2017", "train2017", "test"):
        coco(document, split=split)
    assert list_splits(tmp_path / "coco") == ["train2017", "val2017", "test"]
    voc = tmp_path / "voc"
    (voc / "Annotations").mkdir(parents=True)
    (voc / "ImageSets" / "Main").mkdir(parents=True)
    for name in ("train", "val", "trainval", "dog_val"):
        (voc / "ImageSets" / "Main" / f"{name}.txt").touch()
    assert list_splits(voc) == ["train", "val"]


def test_the_name_of_a_split_is_the_name_of_a_folder() -> None:
    assert safe_name("../../etc") == "etc"
    assert safe_name("annotations") == "set"
    assert safe_name("train2017") == "train2017"


def test_statistics_by_hand(coco: Write, document: Document) -> None:
    findings = Findings("train")
    raw = read_raw(coco(document), "train", findings)
    sound = judge(raw, ReadingRules(), findings)
    assert (findings.found, findings.notes) == ([], {})
    assert canvas_boxes(sound, (160, 200)).tolist() == [[20, 40, 81, 120], [0, 0, 200, 160], [2, 4, 8, 12]]
    told = describe(sound, (160, 200))
    assert (told["images"], told["boxes"], told["crowds"], told["images_without_boxes"]) == (2, 2, 1, 0)
    assert told["classes"] == [
        {"name": "car", "boxes": 1, "images": 1, "crowds": 1},
        {"name": "toothbrush", "boxes": 1, "images": 1, "crowds": 0},
    ]
    assert told["coco_sizes"] == {"small": 1, "medium": 1, "large": 0}
    filled = {row["from"]: row["count"] for row in told["sides_canvas_px"] if row["count"]}
    assert filled == {4: 1, 64: 1}  # the roots of 6 * 8 and 61 * 80
    assert told["image_sizes"]["common"] == [{"height": 80, "width": 100, "images": 2}]


@pytest.mark.parametrize("name", ["bccd", "coco_mini"])
def test_it_keeps_what_the_reader_keeps(name: str, real_data: Path) -> None:
    for split in list_splits(real_data / name):
        read = open_split(real_data / name, split)
        findings = Findings(split)
        sound = judge(read_raw(real_data / name, split, findings), ReadingRules(), findings)
        order = np.argsort(sound.rows, kind="stable")
        assert sound.files == read.files.tolist()
        assert len(sound.boxes) == len(read.boxes)
        assert np.abs(sound.boxes[order] - read.boxes).max() < 1e-9
        assert (sound.crowd[order] == read.crowd).all()
        names = [sound.classes[label] for label in sound.labels[order].tolist()]
        assert names == [read.classes[label] for label in read.labels.tolist()]
        assert sum(finding.code == "D07" for finding in findings.found) == len(read.skips)


def test_a_name_forges_no_line() -> None:
    line = Finding("error", "D23", "train", "a\nb.json", "images[0]\x1b[31m", "\ud800 is gone").line
    assert line == "a\\nb.json: images[0]\\x1b[31m: \\ud800 is gone [D23]"
