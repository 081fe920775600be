"""Segmentation through the functions behind the commands: train, go on, and what does not belong."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from broken_off import train_with_a_stop
from judged import Quick, numbers
from PIL import Image

from densenets.analysis.uncertainty import segmentation_samples
from densenets.cli import main
from densenets.errors import InputError
from densenets.metrics.image_counts import read_image_counts
from densenets.run import train_segmentation
from densenets.training.durable import read_checkpoint
from densenets.training.records import read_rows


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
