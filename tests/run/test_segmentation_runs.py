"""Segmentation through the functions behind the commands: train, go on, judge in every way, predict."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from broken_off import train_with_a_stop
from PIL import Image

from densenets.analysis.uncertainty import segmentation_samples
from densenets.cli import main
from densenets.config import EvalSegmentation, Predict, TrainSegmentation
from densenets.data.synthetic import write_cityscapes_streets
from densenets.errors import InputError
from densenets.metrics.image_counts import read_image_counts
from densenets.metrics.parts import part_file
from densenets.run import evaluate_segmentation, predict, train_segmentation
from densenets.training.durable import read_checkpoint
from densenets.training.records import read_rows

ROOT = Path(__file__).parent.parent.parent
FILES = {"validation.png", "confusion.png", "results.json", "images.jsonl"}
MEANS = ("mIoU", "category_mIoU", "iIoU", "category_iIoU", "pixel_accuracy")
Quick = Callable[..., TrainSegmentation]


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Cityscapes tree of small scenes."""
    root = tmp_path_factory.mktemp("streets") / "tree"
    return write_cityscapes_streets(root, images={"train": 8, "val": 5}, size=(96, 144), workers=1, progress=False)


@pytest.fixture
def quick(streets: Path, tmp_path: Path) -> Quick:
    """Settings of a run of seconds."""

    def settings(**changes: Any) -> TrainSegmentation:
        small = {"backbone": "v3-small", "width": 0.35, "size": 64, "batch_size": 4, "epochs": 2, "workers": 0}
        rest = {"data": str(streets), "out": str(tmp_path / "run"), "warmup": 2, "accelerator": "cpu"}
        return TrainSegmentation(**{**small, **rest, **changes})

    return settings


@pytest.fixture(scope="module")
def run(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("finished") / "run"
    small = {"backbone": "v3-small", "width": 0.35, "size": 64, "batch_size": 4, "epochs": 2, "workers": 0, "lr": 0.01}
    train_segmentation(
        TrainSegmentation(**small, data=str(streets), out=str(out), warmup=2, accelerator="cpu")  # type: ignore[arg-type]
    )
    return out


def judge(run: Path, **changes: Any) -> dict[str, Any]:
    return evaluate_segmentation(EvalSegmentation(checkpoint=str(run), workers=0, accelerator="cpu", **changes)).results


def numbers(results: dict[str, Any]) -> dict[str, Any]:
    return {name: results[name] for name in (*MEANS, "per_class", "per_category", "confusion")}


def test_a_run_folder_holds_everything(run: Path) -> None:
    names = {file.name for file in run.rglob("*") if file.is_file()}
    assert {"results.json", "validation.png", "confusion.png", "loss.png", "miou.png", "metrics.csv"} <= names
    assert {"config.yaml", "best.ckpt", "last.ckpt"} <= names
    assert not [name for name in names if "part" in name]
    results = json.loads((run / "results.json").read_text())
    assert len(results["per_class"]) == 19
    assert len(results["per_category"]) == 7
    assert 0 < results["mIoU"] < 1
    samples = segmentation_samples(read_image_counts(run / "images.jsonl"), [*results["per_class"]], draws=2)
    assert (samples.values["mIoU"], samples.values["pixel_accuracy"]) == (results["mIoU"], results["pixel_accuracy"])
    assert [one.values["IoU"] for one in samples.per_class.values()] == [
        one["IoU"] for one in results["per_class"].values()
    ]
    judged = [row["mIoU"] for row in read_rows(run / "metrics.csv")]
    assert max(judged) == results["mIoU"]  # to the last bit


@pytest.mark.parametrize("head", ["raspp", "lraspp", "lraspp-torchvision", "deeplabv3"])
def test_each_head_trains(quick: Quick, head: str) -> None:
    outcome = train_segmentation(quick(head=head, epochs=1))
    assert 0 <= outcome.results["mIoU"] <= 1


@pytest.mark.parametrize("changes", [{"schedule": "poly"}, {"ema": 0.9, "accumulate": 2, "workers": 2}])
def test_a_resumed_run_equals_the_unbroken_one(quick: Quick, tmp_path: Path, changes: dict[str, Any]) -> None:
    whole = train_segmentation(quick(out=str(tmp_path / "whole"), epochs=3, **changes)).results
    with pytest.raises(KeyboardInterrupt):
        train_with_a_stop(quick(out=str(tmp_path / "parts"), epochs=3, **changes), 2, train_segmentation)
    parts = train_segmentation(quick(out=None, resume=str(tmp_path / "parts"), epochs=3, **changes)).results
    assert numbers(parts) == numbers(whole)
    one, other = (read_checkpoint(tmp_path / name / "checkpoints/last.ckpt") for name in ("whole", "parts"))
    for kind in ("state_dict", "averaged"):
        assert one.get(kind, {}).keys() == other.get(kind, {}).keys()
        assert all(torch.equal(value, other[kind][name]) for name, value in one.get(kind, {}).items())


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


@pytest.mark.parametrize("split", ["train", "val"])
def test_masks_without_any_class_are_refused_before_the_training(
    quick: Quick, streets: Path, tmp_path: Path, split: str
) -> None:
    root = shutil.copytree(streets, tmp_path / "tree")
    for mask in root.glob(f"gtFine/{split}/*/*_labelIds.png"):
        Image.fromarray(np.zeros((96, 144), dtype=np.uint8)).save(mask)
    for objects in root.glob(f"gtFine/{split}/*/*_instanceIds.png"):
        objects.unlink()
    with pytest.raises(InputError, match=rf"split {split}: no pixel of a class in any mask \[D36\]"):
        train_segmentation(quick(data=str(root)))
    assert not (tmp_path / "run").exists()


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


def test_prediction_at_the_size_of_the_file(run: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((50, 70, 3), 90, dtype=np.uint8)).save(tmp_path / "one.png")
    outcome = predict(Predict(checkpoint=str(run), images=[str(tmp_path / "one.png")], out=str(tmp_path / "out")))
    with Image.open(tmp_path / "out/one_ids.png") as mask:
        assert mask.size == (70, 50)
        assert {*np.unique(np.array(mask)).tolist()} <= {*outcome_ids(run)}
    assert sum(outcome.results["images"][0]["pixels"].values()) == 50 * 70
    assert (tmp_path / "out/one.png").is_file()


def test_prediction_sees_pictures_as_the_validation_did(run: Path, streets: Path, tmp_path: Path) -> None:
    """Its masks are those that a judging of the same checkpoint writes for the server."""
    content = read_checkpoint(run / "checkpoints/best.ckpt")
    content["origin"]["eval_size"] = [64, 96]
    torch.save(content, tmp_path / "net.ckpt")
    flags: list[dict[str, Any]] = [{}, {"size": [128, 160]}]
    for size, changes in zip(([64, 96], [128, 160]), flags, strict=True):
        out = tmp_path / str(size)
        judged = judge(tmp_path / "net.ckpt", data=str(streets), submission=str(out / "sent"), **changes)
        images = [str(streets / "leftImg8bit/val")]
        outcome = predict(Predict(str(tmp_path / "net.ckpt"), images, str(out / "seen"), **changes))
        assert outcome.results["size"] == json.loads((out / "seen/segmentations.json").read_text())["size"] == size
        sent, seen = (
            sorted((out / name).glob(f"*{end}.png")) for name, end in (("sent", "labelIds"), ("seen", "_ids"))
        )
        assert len(sent) == len(seen) == 5
        for one, other in zip(sent, seen, strict=True):
            assert np.array_equal(np.asarray(Image.open(one)), np.asarray(Image.open(other)))
        masks, drawn = (
            evaluate_segmentation(EvalSegmentation(predictions=str(out / name), data=str(streets))).results
            for name in ("sent", "seen")
        )
        assert numbers(drawn) == numbers(masks)
        assert drawn["mIoU"] == judged["mIoU"]


def test_the_size_of_a_prediction_is_told(
    run: Path,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "densenets")
    Image.fromarray(np.full((50, 70, 3), 90, dtype=np.uint8)).save(tmp_path / "one.png")
    assert main(["eval-seg", "--checkpoint", str(checkpoint)]) == 2
    assert "is of detection" in capsys.readouterr().err
    assert "pictures are seen" not in caplog.text
    words = ["--images", str(tmp_path / "one.png"), "--out", str(tmp_path / "out"), "--accelerator", "cpu"]
    assert main(["predict", "--checkpoint", str(run), *words]) == 0
    assert "pictures are seen at their own size, as in the run's validation" in caplog.text
    assert main(["predict", "--checkpoint", str(run), *words, "--size", "64"]) == 0
    assert "pictures are seen at height 64, width 64 px, as --size says" in caplog.text
    assert main(["predict", "--checkpoint", str(checkpoint), *words, "--size", "64"]) == 2
    assert "--size: goes with a segmenter" in capsys.readouterr().err


def outcome_ids(run: Path) -> list[int]:
    ids: list[int] = read_checkpoint(run / "checkpoints/best.ckpt")["densenets"]["category_ids"]
    return ids


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["eval-det", "--checkpoint", "RUN"],
            "RUN: is of segmentation (head lraspp), not of detection; eval-seg --che",
        ),
        (["eval-det", "--checkpoint", "RUN/checkpoints/best.ckpt"], "eval-seg --checkpoint RUN/checkpoints/best.ckpt"),
        (["train-det", "--resume", "RUN"], "train-seg --resume RUN goes on with it"),
        (["train-det", "--resume=RUN/checkpoints/last.ckpt"], "train-seg --resume RUN/checkpoints/last.ckpt goes on"),
        (["train-det", "--resume", "auto", "--out", "RUN"], "train-seg --resume RUN goes on with it"),
        (["train-seg", "--head", "ssd"], "lraspp-torchvision, deeplabv3; train-det --head ssd trains it"),
        (["train-det", "--head", "lraspp"], "faster-rcnn-fpn; train-seg --head lraspp trains it"),
        (["eval-seg", "--predictions", "x", "--flip"], "--flip: goes with --checkpoint"),
        (["eval-seg"], "give either --checkpoint or --predictions"),
        (["train-seg", "--scale-range", "2", "1"], "--scale-range"),
    ],
    ids=str,
)
def test_what_does_not_belong_is_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*")}
    assert main([word.replace("RUN", str(run)) for word in words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("densenets: error: ")]
    assert len(lines) == 1
    assert said.replace("RUN", str(run)) in lines[0]
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*")} == before
