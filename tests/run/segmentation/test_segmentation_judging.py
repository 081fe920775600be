"""A trained segmenter judged in every way: alone, by processes, broken off, seen in parts or at other sizes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from judged import MEANS, Quick, judge, numbers
from PIL import Image

from densenets.config import EvalSegmentation
from densenets.errors import InputError
from densenets.metrics.parts import part_file
from densenets.run import evaluate_segmentation, train_segmentation
from densenets.training.durable import read_checkpoint

FILES = {"validation.png", "confusion.png", "results.json", "images.jsonl"}
ROOT = Path(__file__).parent.parent.parent.parent


def test_a_checkpoint_is_judged_as_its_training_judged_it(run: Path, tmp_path: Path) -> None:
    settings = EvalSegmentation(checkpoint=str(run), workers=0, accelerator="cpu", out=str(tmp_path / "out"))
    outcome = evaluate_segmentation(settings)
    results = outcome.results
    assert {file.name for file in outcome.files} == FILES
    assert numbers(results) == numbers(json.loads((run / "results.json").read_text()))
    assert results["data"]["split"] == "val"
    assert (results["scales"], results["flip"], results["window"], results["output_stride"]) == ([1.0], False, None, 16)
    assert {file.name for file in (tmp_path / "out").iterdir()} == FILES


def test_a_submission_is_judged_as_its_checkpoint(run: Path, streets: Path, tmp_path: Path) -> None:
    results = judge(run, submission=str(tmp_path / "sent"))
    files = sorted((tmp_path / "sent").iterdir())
    assert len(files) == 5
    assert all(file.name.endswith("_labelIds.png") for file in files)
    with Image.open(files[0]) as picture:
        assert (picture.size, picture.mode) == ((144, 96), "L")
    again = evaluate_segmentation(EvalSegmentation(predictions=str(tmp_path / "sent"), data=str(streets))).results
    assert {name: again[name] for name in MEANS} == {name: results[name] for name in MEANS}


def test_processes_change_no_bit(run: Path, tmp_path: Path) -> None:
    one = judge(run)
    words = ["--checkpoint", str(run), "--devices", "2", "--accelerator", "cpu", "--workers", "0"]
    done = subprocess.run(
        [sys.executable, "tools/eval_seg.py", *words, "--out", str(tmp_path / "two")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    two = json.loads((tmp_path / "two/results.json").read_text())
    assert two["processes"] == 2
    assert (tmp_path / "two/images.jsonl").read_bytes() == (run / "images.jsonl").read_bytes()
    assert numbers(two) == numbers(one)


def test_an_evaluation_that_broke_off_goes_on(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = judge(run)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("densenets.run.segmentation_report.write_results", ended)
        with pytest.raises(InputError, match="ended"):
            judge(run, out=str(out))
    lines = part_file(out, 0).read_bytes().splitlines(keepends=True)
    part_file(out, 0).write_bytes(b"".join(lines[:3]))
    with pytest.raises(InputError, match="3 images of the split are not judged yet"):
        evaluate_segmentation(EvalSegmentation(predictions=str(out), data=judge(run)["data"]["data"]))
    with pytest.raises(InputError, match=r"--split: train: .* is of the split val \[V04\]"):
        evaluate_segmentation(EvalSegmentation(predictions=str(out), split="train"))
    assert numbers(judge(run, out=str(out))) == numbers(whole)
    assert not part_file(out, 0).exists()
    assert (out / "images.jsonl").read_bytes() == (run / "images.jsonl").read_bytes()


def test_an_evaluation_refused_before_its_first_image_leaves_nothing(run: Path, streets: Path, tmp_path: Path) -> None:
    """So that the corrected one can have the same --out."""
    root, out = Path(shutil.copytree(streets, tmp_path / "tree")), tmp_path / "out"
    for picture in root.glob("leftImg8bit/val/*/*.png"):
        picture.write_bytes(picture.read_bytes()[:-40])
    with pytest.raises(InputError, match="D01"):
        judge(run, data=str(root), out=str(out))
    assert not out.exists()
    out.mkdir()
    part_file(out, 1).write_text(json.dumps({"evaluation": {"data": "as one that was killed"}}) + "\n")
    assert numbers(judge(run, out=str(out))) == numbers(judge(run))
    assert {file.name for file in out.iterdir()} == FILES


def test_what_differs_from_the_evaluation_that_left_parts_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr("densenets.run.segmentation_report.write_results", ended)
    with pytest.raises(InputError, match="ended"):
        judge(run, out=str(out), ignore_ids=[200])
    before = part_file(out, 0).read_bytes()
    with pytest.raises(InputError) as fault:
        judge(run, out=str(out), flip=True)
    other = "data.ignore_ids ([200], now none), flip (False, now True)"
    assert f"part0.jsonl: left by an evaluation with another {other}; remove it" in str(fault.value)
    with pytest.raises(InputError, match=r"with another data\.split \(val, now train\), images; remove it"):
        judge(run, out=str(out), ignore_ids=[200], split="train")
    assert part_file(out, 0).read_bytes() == before


def test_parts_are_read_by_the_classes_they_were_counted_by(
    run: Path, streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here another order than the data set's own."""
    out, names = tmp_path / "out", sorted(read_checkpoint(run / "checkpoints/best.ckpt")["densenets"]["classes"])
    content = read_checkpoint(run / "checkpoints/best.ckpt")
    content["densenets"]["classes"] = names
    torch.save(content, tmp_path / "sorted.ckpt")
    whole = judge(tmp_path / "sorted.ckpt", data=str(streets))
    with monkeypatch.context() as patch:
        patch.setattr("densenets.run.segmentation_report.write_results", ended)
        with pytest.raises(InputError, match="ended"):
            judge(tmp_path / "sorted.ckpt", data=str(streets), out=str(out))
    parts = evaluate_segmentation(EvalSegmentation(predictions=str(out))).results
    assert numbers(parts) == numbers(whole)
    assert [*parts["per_class"]] == names


def test_ids_that_are_ignored_are_so_wherever_the_data_are_named_from(
    streets: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "run")
    results = json.loads((run / "results.json").read_text())
    assert (results["size"], results["output_stride"], results["flip"], results["window"]) == (None, 16, False, None)
    results["data"]["ignore_ids"] = [200]
    (tmp_path / "run/results.json").write_text(json.dumps(results))
    monkeypatch.chdir(streets.parent)
    assert judge(tmp_path / "run", data=streets.name)["data"]["ignore_ids"] == [200]
    assert judge(tmp_path / "run", data=streets.name, ignore_ids=[])["data"]["ignore_ids"] == []


def ended(*_: object) -> None:
    raise InputError("ended")


def test_the_size_of_the_validation_is_that_of_a_later_judging(quick: Quick, tmp_path: Path) -> None:
    trained = train_segmentation(quick(epochs=1, eval_size=[64, 96])).results
    assert trained["size"] == [64, 96]
    assert numbers(judge(tmp_path / "run")) == numbers(trained)
    assert judge(tmp_path / "run", size=[96, 144])["size"] == [96, 144]


def test_a_window_over_all_of_it_is_the_whole_picture(run: Path) -> None:
    whole, window = judge(run), judge(run, window=[96, 144])
    assert window["window"] == [96, 144]
    assert window["confusion"] == whole["confusion"]


@pytest.mark.parametrize(
    "changes",
    [
        {"window": [64, 64]},
        {"scales": [0.5, 1.0, 1.5], "flip": True},
        {"output_stride": 8},
        {"size": [64, 96]},
        {"batch_size": 4},
    ],
    ids=str,
)
def test_every_way_to_look_stands_in_the_result(run: Path, changes: dict[str, Any]) -> None:
    results = judge(run, **changes)
    assert {name: results[name] for name in changes} == changes
    assert sum(map(sum, results["confusion"])) == results["counts"]["pixels"]


def test_ids_of_no_class_travel_with_a_checkpoint(quick: Quick, streets: Path, tmp_path: Path) -> None:
    """Also without its run folder, and to another folder: they go with the classes."""
    places = [Path(shutil.copytree(streets, tmp_path / name)) for name in ("tree", "other")]
    for mask in (file for place in places for file in place.glob("gtFine/*/*/*_labelIds.png")):
        ids = np.array(Image.open(mask))
        ids[:8, :8] = 77  # of no class, nor one that Cityscapes ignores
        Image.fromarray(ids).save(mask)
    for objects in (file for place in places for file in place.glob("gtFine/*/*/*_instanceIds.png")):
        objects.unlink()
    train_segmentation(quick(epochs=1, data=str(places[0]), ignore_ids=[77]))
    copy = shutil.copy(tmp_path / "run" / "checkpoints" / "best.ckpt", tmp_path / "net.ckpt")
    for place in places:
        assert judge(Path(copy), data=str(place))["data"]["ignore_ids"] == [77]
    with pytest.raises(InputError, match=r"id 77 .*D31"):
        judge(Path(copy), data=str(places[0]), ignore_ids=[])
