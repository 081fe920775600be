"""What a trained segmenter sees in pictures: masks of the file's size, as the validation would see them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from judged import judge, numbers
from PIL import Image

from densenets.cli import main
from densenets.config import EvalSegmentation, Predict
from densenets.run import evaluate_segmentation, predict
from densenets.training.durable import read_checkpoint


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
