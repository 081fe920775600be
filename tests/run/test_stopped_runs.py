"""What a run that never ended, or a file of its own, is judged on: its own data or none, never the default scenes."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from broken_off import train_with_a_stop

from densenets.cli import main
from densenets.config import EvalDetection, EvalSegmentation, TrainSegmentation
from densenets.data.synthetic import write_cityscapes_streets
from densenets.run import evaluate_detection, evaluate_segmentation, train_segmentation
from densenets.run.evaluation import JUDGED_ON, earlier_data
from densenets.training.durable import read_checkpoint


@pytest.fixture(autouse=True)
def no_streets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for the default scenes fails."""
    for module in ("data", "segmentation"):
        monkeypatch.setattr(f"densenets.run.{module}.streets_folder", pytest.fail)


def stopped(settings: Any, *train: Callable[[Any], Any]) -> Path:
    """A run of two epochs that ended behind its first."""
    with pytest.raises(KeyboardInterrupt):
        train_with_a_stop(settings, 1, *train)
    run = Path(settings.out)
    assert not (run / "results.json").exists()
    return run


def older(run: Path, *places: str) -> None:
    """As a version left it whose checkpoints did not tell."""
    for file in [Path(place) for place in places] or [*(run / "checkpoints").glob("*.ckpt")]:
        content = read_checkpoint(file)
        content.pop(JUDGED_ON, None)
        torch.save(content, file)
        file.with_name(f"{file.name}.sha256").unlink(missing_ok=True)


def judge(place: Path, **changes: Any) -> dict[str, Any]:
    settings = EvalDetection(checkpoint=str(place), workers=0, accelerator="cpu")
    return evaluate_detection(replace(settings, **changes)).results


def test_a_stopped_training_is_judged_on_its_own_data(
    shapes: Any, quick: Any, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    """By what its checkpoint tells, or of an older version its settings; one without either needs flags."""
    data = shapes(train=range(8), test=range(8, 11), choose=range(11, 14))
    run = stopped(quick(data, val_split="choose"))
    wanted = {"data": str(data), "annotations": None, "images": None}
    assert judge(run, split="test")["data"] == {**wanted, "split": "test"}
    assert earlier_data(str(run)) == {**wanted, "split": "choose"}

    alone = Path(shutil.copy(run / "checkpoints/best.ckpt", tmp_path / "alone.ckpt"))
    assert judge(alone, split="test")["data"] == {**wanted, "split": "test"}

    older(run)
    monkeypatch.chdir(tmp_path)
    assert judge(run, split="test")["data"]["data"] == str(data)
    older(run, str(alone))
    assert main(["eval-det", "--checkpoint", "alone.ckpt", "--split", "test", "--workers", "0"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "densenets: error: --data is needed: alone.ckpt does not tell its data; --data FOLDER names them, "
        "or --data streets"
    )
    assert judge(alone, split="test", data=str(data))["counts"]["images"] == 3


def test_one_of_annotation_files_knows_them(shapes: Any, quick: Any, tmp_path: Path) -> None:
    data = shapes(train=range(8), val=range(8, 10))
    files = {
        f"{split}_{name}": str(data / place)
        for split in ("train", "val")
        for name, place in (("annotations", f"annotations/instances_{split}.json"), ("images", split))
    }
    run = stopped(quick(data, **files))
    wanted = {"data": None, "annotations": files["val_annotations"], "images": files["val_images"], "split": "val"}
    assert judge(run)["data"] == wanted
    older(run)
    assert judge(run)["data"] == wanted


def test_a_stopped_segmentation_is_judged_on_its_own_data(tmp_path: Path, capsys: Any) -> None:
    tree = write_cityscapes_streets(
        tmp_path / "tree", images={"train": 4, "val": 2}, size=(64, 96), workers=1, progress=False
    )
    small: dict[str, Any] = {"backbone": "v3-small", "width": 0.35, "size": 64, "batch_size": 4, "epochs": 2}
    rest: dict[str, Any] = {"data": str(tree), "out": str(tmp_path / "run"), "workers": 0, "accelerator": "cpu"}
    settings = TrainSegmentation(**small, **rest, ignore_ids=[200])
    run = stopped(settings, train_segmentation)
    plain = EvalSegmentation(workers=0, accelerator="cpu")
    wanted = {"data": str(tree), "split": "val", "ignore_ids": [200]}
    places: dict[str, Any] = {"out": str(tmp_path / "out"), "submission": str(tmp_path / "out/masks")}
    results = evaluate_segmentation(replace(plain, checkpoint=str(run), **places)).results
    assert results["data"] == wanted
    older(run)
    assert evaluate_segmentation(replace(plain, checkpoint=str(run))).results["data"] == wanted

    again = evaluate_segmentation(replace(plain, predictions=places["out"])).results  # beside its results.json
    assert (again["data"], again["mIoU"]) == (wanted, results["mIoU"])
    capsys.readouterr()
    assert main(["eval-seg", "--predictions", places["submission"]]) == 2
    assert capsys.readouterr().err.startswith(f"densenets: error: --data is needed: {places['submission']} does not")


def test_predictions_that_nobody_knows_are_not_judged_on_the_default_scenes(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "p.json").write_text(json.dumps([]))
    assert main(["eval-det", "--predictions", str(tmp_path / "p.json")]) == 2
    assert "--data is needed: " in capsys.readouterr().err
