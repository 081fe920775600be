"""Real pictures where DENSENETS_REAL_DATA names their folder: coco_mini, bccd and weights as its README lists them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from densenets.config import EvalDetection, SSDOptions, TrainDetection
from densenets.run import evaluate_detection, train_detection

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_coco_mini_trains_an_epoch_and_judges_without_a_warning(real_data: Path, tmp_path: Path) -> None:
    words = [
        "tools/train_det.py",
        "--backbone",
        "v3-small",
        "--head",
        "ssdlite",
        "--data",
        str(real_data / "coco_mini"),
    ]
    words += ["--epochs", "1", "--out", str(tmp_path / "run"), "--workers", "1"]
    command = [sys.executable, "-W", "always", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours = [line for line in done.stderr.splitlines() if "arning" in line and "ImportWarning" not in line]
    assert not [line for line in ours if "densenets" in line or "UserWarning" in line], ours
    assert len(json.loads((tmp_path / "run/results.json").read_text())["per_class"]) == 80


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a training of 6 minutes where nothing else runs
def test_eight_images_of_coco_are_learnt_by_heart(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "coco_mini"
    document = json.loads((root / "annotations/instances_train2017.json").read_text())
    document["images"] = document["images"][:8]
    kept = {image["id"] for image in document["images"]}
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] in kept]
    file = tmp_path / "eight.json"
    file.write_text(json.dumps(document))
    both = {
        f"{split}_{what}": value
        for split in ("train", "val")
        for what, value in (("annotations", str(file)), ("images", str(root / "train2017")))
    }
    weights = str(real_data / "weights/mobilenet_v2_1.0_imagenet_torchvision.pth")
    recipe = {
        "optimizer": "adamw",
        "lr": 0.001,
        "augment": "none",
        "batch_size": 8,
        "epochs": 300,
        "validate_every": 300,
    }
    net = {"weights": weights, "padding": "tf", "normalize": "half", "size": 320, "ssd": SSDOptions(bn_momentum=0.1)}
    settings = TrainDetection(**both, **recipe, **net, weight_decay=0.0, workers=1, out=str(tmp_path / "run"))  # type: ignore[arg-type]
    assert train_detection(settings).results["AP50"] > 0.95


def test_blood_cells_are_judged_from_a_predictions_file(real_data: Path, tmp_path: Path) -> None:
    """A file with the truth itself as predictions gets 1.0 wherever there is truth."""
    from densenets.data import open_split

    truth = open_split(real_data / "bccd", "test").ground_truth()
    found = [{k: a[k] for k in ("image_id", "category_id", "bbox")} | {"score": 0.9} for a in truth["annotations"]]
    (tmp_path / "p.json").write_text(json.dumps(found))
    settings = EvalDetection(predictions=str(tmp_path / "p.json"), data=str(real_data / "bccd"), split="test")
    outcome = evaluate_detection(settings)
    assert outcome.results["AP"] == pytest.approx(1.0)
    assert outcome.results["counts"] == {"images": 72, "annotations": 945, "detections": 945, "cut": 0}
