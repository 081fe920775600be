"""The whole way, in process: train, judge, predict, resume, and what a run folder holds."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from broken_off import train_with_a_stop
from PIL import Image

from densenets.backbones import BACKBONES
from densenets.build import build_model
from densenets.config import EvalDetection, Predict, RCNNOptions, SSDOptions
from densenets.errors import DivergedError, InputError
from densenets.metrics.coco_map import NUMBERS
from densenets.run import evaluate_detection, predict, train_detection
from densenets.training.durable import read_checkpoint
from densenets.training.records import read_rows

LEARN = {"epochs": 150, "lr": 0.004, "optimizer": "adamw", "validate_every": 150, "weight_decay": 0.0}
FAST = SSDOptions(bn_momentum=0.2)  # statistics that settle within some tens of steps


def test_a_run_folder_holds_everything(shapes, quick) -> None:
    data = shapes(train=range(8), val=range(8, 12))
    settings = quick(data)
    outcome = train_detection(settings)
    run = Path(settings.out)
    results = json.loads((run / "results.json").read_text())
    assert results.keys() >= {*NUMBERS, "per_class", "seconds", "produced_by", "model", "seed"}
    assert results["per_class"].keys() == {"red", "green", "blue"}
    assert results["model"]["padding"] == "torch"
    assert results["model"]["category_ids"] == [4, 9, 17]
    assert {r["category_id"] for r in json.loads((run / "predictions.json").read_text())} <= {4, 9, 17}
    assert [row["epoch"] for row in read_rows(run / "metrics.csv")] == [0, 1]
    assert "AP" in read_rows(run / "metrics.csv")[1]
    assert yaml.safe_load((run / "config.yaml").read_text())["width"] == 0.5
    for name in ("validation.png", "loss.png", "ap.png"):
        assert min(Image.open(run / name).size) > 100
    assert (run / "checkpoints/best.ckpt").is_file()
    assert (run / "checkpoints/last.ckpt").is_file()
    assert any((run / "tensorboard").iterdir())
    assert "AP50" in outcome.text
    assert str(run / "results.json") in str(outcome)


@pytest.mark.parametrize("head", ["ssd", "ssdlite"])
def test_each_head_learns_four_images_by_heart(shapes, quick, head: str) -> None:
    data = shapes(train=range(4), val=range(4))
    outcome = train_detection(quick(data, head=head, ssd=FAST, **LEARN))
    assert outcome.results["AP50"] > 0.99


RCNN = RCNNOptions(bn_momentum=0.2, train_proposals=100, map_proposals=200, samples=32)
FORMS = [("faster-rcnn", "full"), ("faster-rcnn-fpn", "full"), ("faster-rcnn-fpn", "light")]


@pytest.mark.parametrize(
    ("backbone", "head", "fpn"),
    [
        pytest.param(backbone, *form, marks=() if (backbone, form[1]) == ("v3-small", "light") else pytest.mark.slow)
        for backbone in BACKBONES
        for form in FORMS
    ]
    + [pytest.param("v3-large", "faster-rcnn-fpn", "torchvision", marks=pytest.mark.slow)],
)
def test_each_form_of_faster_rcnn_learns_four_images_by_heart(
    shapes, quick, backbone: str, head: str, fpn: str
) -> None:
    data = shapes(train=range(4), val=range(4))
    learn = {**LEARN, "lr": 0.002}
    options = replace(RCNN, fpn=fpn)
    if head == "faster-rcnn":  # each crop of 6 x 6 cells sees nearly all of them: to tell it from others takes longer
        learn, options = {**learn, "lr": 0.003, "epochs": 300, "validate_every": 300}, replace(options, samples=100)
    outcome = train_detection(quick(data, backbone=backbone, head=head, rcnn=options, **learn))
    assert outcome.results["AP50"] > 0.99


def test_the_focal_loss_learns_too(shapes, quick) -> None:
    data = shapes(train=range(4), val=range(4))
    outcome = train_detection(quick(data, ssd=replace(FAST, loss="focal"), **LEARN))
    assert outcome.results["AP50"] > 0.99


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9, "epochs": 5, "schedule": "constant", "lr": 0.1}])
def test_a_predictions_file_gives_the_numbers_of_its_checkpoint(shapes, quick, tmp_path, changes: dict) -> None:
    data = shapes(train=range(8), val=range(8, 12))
    settings = quick(data, **changes)
    trained = train_detection(settings).results
    again = evaluate_detection(
        EvalDetection(checkpoint=settings.out, data=str(data), out=str(tmp_path / "e"), workers=0)
    )
    file = str(tmp_path / "e" / "predictions.json")
    from_file = evaluate_detection(EvalDetection(predictions=file, data=str(data))).results
    for name in NUMBERS:
        assert trained[name] == again.results[name] == from_file[name]
    assert [one["judge"] for one in (trained, again.results, from_file)] == ["pycocotools"] * 3  # it stands in each
    best = str(Path(settings.out) / "checkpoints" / "best.ckpt")
    assert evaluate_detection(EvalDetection(checkpoint=best, data=str(data), workers=0)).results["AP"] == trained["AP"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema": 0.9},
        {"accumulate": 2, "optimizer": "adamw"},
        {"head": "faster-rcnn-fpn", "rcnn": replace(RCNN, fpn="light")},
    ],
    ids=["plain", "averaged", "accumulated", "two stages"],
)
def test_a_resumed_run_equals_the_unbroken_one(shapes, quick, tmp_path, changes: dict) -> None:
    data = shapes(train=range(8), val=range(8, 10))
    settings = quick(data, epochs=4, augment="ssd", out=str(tmp_path / "whole"), **changes)
    train_detection(settings)
    stopped = replace(settings, out=str(tmp_path / "parts"))
    with pytest.raises(KeyboardInterrupt):
        train_with_a_stop(stopped, after=2)
    train_detection(replace(stopped, resume=stopped.out))
    whole, parts = (read_checkpoint(tmp_path / name / "checkpoints/last.ckpt") for name in ("whole", "parts"))
    assert whole["global_step"] == parts["global_step"] > 0
    for part in ("state_dict", "averaged"):
        for name, value in whole.get(part, {}).items():
            assert torch.equal(value, parts[part][name]), name
    rows = [read_rows(tmp_path / name / "metrics.csv") for name in ("whole", "parts")]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in rows[0]] == [
        {k: v for k, v in row.items() if k != "seconds"} for row in rows[1]
    ]


def test_a_loss_that_is_not_finite_stops_at_once_and_keeps_the_last_good_checkpoint(shapes, quick) -> None:
    data = shapes(train=range(8), val=range(8, 10))
    explodes = {"schedule": "step", "milestones": [0.5], "gamma": 1e30, "warmup": 0}
    settings = quick(data, epochs=4, **explodes)
    with pytest.raises(DivergedError) as caught:
        train_detection(settings)
    assert caught.value.exit_code == 3
    assert ".png" in str(caught.value)
    assert "loss is not finite" in str(caught.value)
    last = read_checkpoint(Path(settings.out) / "checkpoints/last.ckpt")
    assert last["epoch"] == 1
    assert all(torch.isfinite(value).all() for value in last["state_dict"].values())


def test_unreadable_pictures_are_skipped_in_training_and_refused_in_evaluation(shapes, quick) -> None:
    data = shapes(train=range(8), val=range(8, 10))
    broken = data / "train" / "3.png"
    broken.write_bytes(broken.read_bytes()[:2000])
    settings = quick(data, epochs=1)
    train_detection(settings)
    lines = (Path(settings.out) / "skipped.jsonl").read_text().splitlines()
    assert len(lines) >= 1
    assert "3.png" in lines[0]
    with pytest.raises(InputError, match=r"3\.png"):
        evaluate_detection(EvalDetection(checkpoint=settings.out, data=str(data), split="train", workers=0))


def test_prediction_in_file_px(shapes, quick, tmp_path) -> None:
    data = shapes(train=range(4), val=range(4))
    settings = quick(data, ssd=FAST, **LEARN)
    train_detection(settings)
    big = Image.open(data / "val" / "0.png").resize((512, 256))
    (tmp_path / "pictures").mkdir()
    big.save(tmp_path / "pictures" / "big.png")
    predict(Predict(settings.out, [str(tmp_path / "pictures")], out=str(tmp_path / "p"), threshold=0.4))
    found = json.loads((tmp_path / "p" / "detections.json").read_text())["images"][0]
    truth = json.loads((data / "annotations/instances_val.json").read_text())["annotations"]
    wanted = [np.array(a["bbox"]) * [4, 2, 4, 2] for a in truth if a["image_id"] == 100]
    assert len(found["detections"]) >= len(wanted)
    for x, y, width, height in wanted:
        box = np.array([x, y, x + width, y + height])
        assert min(np.abs(np.array(d["box"]) - box).max() for d in found["detections"]) < 30
    assert Image.open(tmp_path / "p" / "big.png").size == (512, 256)


def test_predict_finds_what_a_judging_finds_where_a_picture_does_not_fill_the_canvas(shapes, quick, tmp_path) -> None:
    data = shapes(train=range(4), val=range(4, 8))
    settings = quick(data, head="faster-rcnn-fpn", rcnn=replace(RCNN, fpn="light"), size=[64, 112], epochs=1)
    train_detection(settings)
    judged = json.loads((Path(settings.out) / "predictions.json").read_text())
    asked = Predict(checkpoint=settings.out, images=[str(data / "val")], out=str(tmp_path / "p"), threshold=0.0)
    found = [row for image in predict(asked).results["images"] for row in image["detections"]]
    assert len(found) == len(judged) > 20
    assert all(row["box"][0] < row["box"][2] <= 128 and row["box"][1] < row["box"][3] <= 128 for row in found)
    by_score = sorted(row["score"] for row in found)
    assert np.allclose(by_score, sorted(row["score"] for row in judged), atol=1e-5)


def test_freezing_by_flag(shapes, quick) -> None:
    data = shapes(train=range(8), val=range(8, 10))
    settings = quick(data, epochs=1, freeze_stages=3, freeze_norm=True, lr=0.1, seed=0)
    train_detection(settings)
    state = read_checkpoint(Path(settings.out) / "checkpoints/last.ckpt")["state_dict"]
    torch.manual_seed(0)
    model = build_model("v3-small", "ssdlite", 3, size=96, width=0.5)
    fresh = model.backbone.state_dict()
    still = {name for name, value in fresh.items() if torch.equal(state[f"model.backbone.{name}"], value)}
    assert {name for name in fresh if name.endswith(("running_mean", "running_var"))} <= still
    norms = [name for name, module in model.backbone.named_modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {f"{name}.{part}" for name in norms for part in ("weight", "bias")} <= still
    stages = [int(name.split(".")[1]) for name in fresh.keys() - still if name.startswith("blocks.")]
    assert min(stages) == 3  # blocks 0 to 2 of V3-small end at stride 8
    assert "stem.conv.weight" in still


def test_clipping_limits_the_step(shapes, quick, tmp_path) -> None:
    """Plain SGD for one step: the weights move by the learning rate times the clipped gradient, in norm."""
    data = shapes(train=range(4), val=range(4, 6))
    plain = {"epochs": 1, "momentum": 0.0, "weight_decay": 0.0, "warmup": 0, "schedule": "constant", "lr": 0.1}
    moved = {}
    for clip in (0.0, 0.01):
        settings = quick(data, **plain, clip=clip, out=str(tmp_path / f"clip{clip}"))
        train_detection(settings)
        state = read_checkpoint(Path(settings.out) / "checkpoints/last.ckpt")["state_dict"]
        torch.manual_seed(0)
        fresh = build_model("v3-small", "ssdlite", 3, size=96, width=0.5)
        parts = [(state[f"model.{n}"] - p).detach().flatten() for n, p in fresh.named_parameters()]
        moved[clip] = torch.cat(parts).norm().item()
    assert moved[0.01] == pytest.approx(0.1 * 0.01, rel=0.01)
    assert moved[0.0] > 10 * moved[0.01]


def test_rmsprop_with_bf16_accumulation_and_ema_learns(shapes, quick) -> None:
    data = shapes(train=range(8), val=range(8, 10))
    changes = {"optimizer": "rmsprop", "precision": "bf16-mixed", "accumulate": 2, "ema": 0.9, "lr": 0.01, "size": 160}
    settings = quick(data, epochs=6, validate_every=6, **changes)
    train_detection(settings)
    rows = read_rows(Path(settings.out) / "metrics.csv")
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    assert rows[-1]["step"] == 6  # two batches an epoch, added up for one step


def test_a_used_folder_is_not_overwritten(shapes, quick) -> None:
    data = shapes(train=range(8), val=range(8, 10))
    settings = quick(data, epochs=1)
    train_detection(settings)
    with pytest.raises(InputError, match=r"of v3-small x 0\.5 \+ ssdlite at 96x96 already; continue it with --resume"):
        train_detection(settings)
    with pytest.raises(InputError, match=r"which --resume cannot continue with v3-small x 0\.5 \+ ssd at 96x96; name"):
        train_detection(replace(settings, head="ssd"))
    (Path(settings.out) / "config.yaml").write_text("[]")
    with pytest.raises(InputError, match="holds a run already; continue it with --resume"):
        train_detection(settings)


def test_a_finished_run_is_said_to_be_so(shapes, quick, caplog) -> None:
    caplog.set_level("INFO", "densenets")
    settings = quick(shapes(train=range(8), val=range(8, 10)), epochs=1)
    trained = train_detection(settings).results
    assert "already finished" not in caplog.text
    assert train_detection(replace(settings, resume=settings.out)).results["AP"] == trained["AP"]
    assert "step 2, the end of epoch 1/1: already finished; it is judged again" in caplog.text


def test_the_last_epoch_is_always_judged(shapes, quick) -> None:
    data = shapes(train=range(8), val=range(8, 10))
    settings = quick(data, epochs=3, validate_every=2)
    train_detection(settings)
    assert ["AP" in row for row in read_rows(Path(settings.out) / "metrics.csv")] == [False, True, True]


def test_weights_that_are_not_finite_are_never_saved(shapes, quick) -> None:
    """The last step of an epoch that nobody judges explodes; the loss before it was fine."""
    data = shapes(train=range(8), val=range(8, 10))
    explodes = {"schedule": "step", "milestones": [0.8], "gamma": 1e36, "warmup": 0}
    settings = quick(data, epochs=3, validate_every=2, **explodes)
    with pytest.raises(DivergedError):
        train_detection(settings)
    last = read_checkpoint(Path(settings.out) / "checkpoints/last.ckpt")
    assert all(torch.isfinite(value).all() for value in last["state_dict"].values())


def test_a_resume_that_does_not_fit_changes_nothing(shapes, quick, tmp_path) -> None:
    data = shapes(train=range(8), val=range(8, 10))
    settings = quick(data, epochs=1)
    train_detection(settings)
    config = Path(settings.out) / "config.yaml"
    before = config.read_bytes()
    other = replace(settings.ssd, scales=[0.1] * 7)
    with pytest.raises(InputError) as caught:
        train_detection(replace(settings, resume=settings.out, width=1.0, ssd=other))
    lines = str(caught.value).splitlines()
    assert [line.partition("last.ckpt: ")[2] for line in lines] == [
        "--width: 1.0, the run has 0.5; a resumed run keeps its net [T18]",
        "--ssd.scales: [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], the run has null; a resumed run keeps its net [T18]",
    ]
    assert config.read_bytes() == before
    stray = tmp_path / "w.ckpt"
    stray.write_bytes((Path(settings.out) / "checkpoints/last.ckpt").read_bytes())
    with pytest.raises(InputError, match="expected a run folder"):
        train_detection(replace(settings, resume=str(stray)))
    with pytest.raises(InputError, match="stays in its folder"):
        train_detection(replace(settings, resume=settings.out, out=str(tmp_path / "elsewhere")))


def test_a_run_knows_its_own_data(shapes, quick, tmp_path) -> None:
    data = shapes(train=range(8), val=range(8, 12))
    settings = quick(data, epochs=1)
    trained = train_detection(settings).results
    judged = evaluate_detection(EvalDetection(checkpoint=settings.out, out=str(tmp_path / "e"), workers=0)).results
    from_file = evaluate_detection(EvalDetection(predictions=str(tmp_path / "e" / "predictions.json"))).results
    assert trained["AP"] == judged["AP"] == from_file["AP"]
    assert judged["data"]["data"] == str(data)


def test_a_broken_picture_does_not_end_a_prediction(shapes, quick, tmp_path) -> None:
    data = shapes(train=range(4), val=range(4, 8))
    settings = quick(data, epochs=1)
    train_detection(settings)
    broken = data / "val" / "5.png"
    broken.write_bytes(broken.read_bytes()[:500])
    outcome = predict(Predict(settings.out, [str(data / "val")], out=str(tmp_path / "p")))
    assert len(outcome.results["images"]) == 3
    assert "5.png" in outcome.results["skipped"][0]
    with pytest.raises(InputError, match=r"5\.png"):
        predict(Predict(settings.out, [str(broken)], out=str(tmp_path / "q")))
