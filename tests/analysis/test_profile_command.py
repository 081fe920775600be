"""`densenets profile`: what it prints and writes, of fresh and trained nets, and what it refuses."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from densenets.analysis.profile import costs, profile
from densenets.build import ModelDescription, build_from
from densenets.cli import main
from densenets.config import Profile, SegmentationOptions, SSDOptions
from densenets.run.prediction import write_picture

ROOT = Path(__file__).parent.parent.parent
QUICK = ["profile", "--rounds", "3", "--warmup", "0"]


@pytest.fixture
def no_process(monkeypatch) -> None:
    """Its memory is measured in a process of its own, which takes seconds; the whole way is gone once, below."""
    monkeypatch.setattr(costs_module(), "peak_bytes", lambda *_: 123_000_000)


def costs_module() -> Any:
    return sys.modules[costs.__module__]


def test_the_threads_of_the_process_are_left_as_they_were(no_process: None) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        profile(Profile(backbone=["v3-small"], head=["lraspp"], size=64, rounds=3, warmup=0, threads=1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_fresh_nets_of_a_grid_take_turns(no_process: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--backbone", "v3-small", "v2", "--head", "lraspp", "ssdlite", "--width", "0.25", "--size", "64", "96"]
    assert main([*QUICK, *words, "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "profile.json").read_text())["models"]
    assert [model["name"] for model in found] == [
        f"{net}-{head}-64x96" for net in ("v3-small", "v2") for head in ("lraspp", "ssdlite")
    ]
    assert all(model["latency"]["p50"] > 0 for model in found)
    assert "v2-lraspp-64x96: v2 x 0.25 + lraspp, 80 classes, 64 x 96 px (height x width)" in capsys.readouterr().out
    assert main([*QUICK, "--backbone", "v2", "v9"]) == 2
    assert "--backbone: v9: expected one of v1, v2" in capsys.readouterr().err


def checkpoint(path: Path, head: str, **origin: Any) -> Path:
    """A run folder with a net as it begins; of three classes, at 64 px. origin: settings of its training."""
    segments = head == "lraspp"
    options = SegmentationOptions() if segments else SSDOptions()
    palette = [[0, 0, 0], [9, 9, 9], [255, 0, 0]] if segments else None
    described: list[Any] = ["v3-small", head, ["a", "b", "c"], [0, 1, 2], (64, 64), 0.25, "torch", "imagenet", False]
    description = ModelDescription(*described, not segments, None, asdict(options), palette)
    state = {f"model.{name}": value for name, value in build_from(description).state_dict().items()}
    (path / "checkpoints").mkdir(parents=True)
    content = {"densenets": description.plain(), "state_dict": state, "global_step": 1, "origin": origin}
    torch.save(content, path / "checkpoints" / "best.ckpt")
    return path


def test_the_tool_measures_a_fresh_net(tmp_path) -> None:
    """In a process of its own, as users start it; no file beside it is taken for a module of ours."""
    for stranger in ("densenets", "torch", "numpy"):
        (tmp_path / f"{stranger}.py").write_text("raise SystemExit(7)\n")
    net = ["--backbone", "v2", "--size", "256", "--num-classes", "3"]
    command = [sys.executable, str(ROOT / "tools" / "profile_model.py"), *QUICK[1:], *net, "--out", "cost"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("v2-ssdlite-256: v2 x 1 + ssdlite, 3 classes, 256 x 256 px, fresh weights")
    assert done.stdout.endswith("cost/profile.json\n")
    results = json.loads((tmp_path / "cost" / "profile.json").read_text())
    (model,) = results["models"]
    for figure in ("parameters", "madds", "activation_bytes"):
        assert sum(part[figure] for part in model["parts"]) == model["costs"][figure] > 0
    assert sum(part["time_share"] for part in model["parts"]) == pytest.approx(1)
    assert model["costs"]["checkpoint_bytes"] is None
    if sys.platform == "linux":  # a prediction holds at least the activations that it needs at once
        needed = model["costs"]["peak_activation_bytes"]
        assert 0.9 * needed < model["costs"]["peak_bytes"] < 3 * model["costs"]["activation_bytes"]
    assert model["latency"]["p90"] >= model["latency"]["p50"] > model["latency"]["network"] / 2 > 0
    assert results["machine"]["threads"] == results["produced_by"]["threads"] == 1
    assert results["timing"]["pictures"] == {"drawn": 8, "seed": 0, "height": 480, "width": 640}


def test_trained_nets_of_both_tasks_side_by_side(tmp_path, monkeypatch, capsys, no_process) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [str(checkpoint(tmp_path / name, head)) for name, head in (("boxes", "ssdlite"), ("masks", "lraspp"))]
    assert main([*QUICK, "--checkpoint", *runs, runs[0], "--out", "cost", "--images", str(picture(tmp_path))]) == 0
    printed = capsys.readouterr().out
    results = json.loads(Path("cost/profile.json").read_text())
    assert [model["name"] for model in results["models"]] == ["boxes", "masks", "boxes-2"]
    assert [model["task"] for model in results["models"]] == ["detection", "segmentation", "detection"]
    for model in results["models"]:
        assert model["costs"]["checkpoint_bytes"] == Path(model["checkpoint"]).stat().st_size
        assert model["costs"]["peak_bytes"] == 123_000_000
        assert f"\n{model['name']} " in printed
    assert "123.0 MB above the loaded model, held at once" in printed
    assert "picture.png" in printed
    assert results["timing"]["pictures"] == {"files": [str(tmp_path / "picture.png")]}


def test_a_trained_segmenter_at_another_size(tmp_path, capsys, no_process) -> None:
    run = str(checkpoint(tmp_path / "masks", "lraspp"))
    for size, out in (([], "own"), (["--size", "64", "128"], "wide")):
        assert main([*QUICK, "--checkpoint", run, *size, "--out", str(tmp_path / out)]) == 0
    (own,), (wide,) = (json.loads((tmp_path / out / "profile.json").read_text())["models"] for out in ("own", "wide"))
    assert (own["canvas"], wide["canvas"]) == ([64, 64], [64, 128])
    assert wide["costs"]["madds"] > 1.9 * own["costs"]["madds"]
    assert wide["costs"]["parameters"] == own["costs"]["parameters"]


@pytest.mark.parametrize(
    ("seen", "flags", "told", "canvas"),
    [
        (None, [], "masks: measured at the size of its crops, 64 x 64 px; --size H W names another", [64, 64]),
        (
            [64, 96],
            [],
            "masks: measured at 64 x 96 px (height x width), as in its validation; --size H W names another",
            [64, 96],
        ),
        ([64, 96], ["--size", "96"], "masks: measured at 96 x 96 px, as --size says", [96, 96]),
    ],
)
def test_a_segmenters_size_is_told_once(
    seen: Any, flags: list[str], told: str, canvas: list[int], tmp_path, caplog, no_process
) -> None:
    caplog.set_level("INFO")
    run = checkpoint(tmp_path / "masks", "lraspp", eval_size=seen)
    assert main([*QUICK, "--checkpoint", str(run), *flags, "--out", str(tmp_path / "out")]) == 0
    assert [line for line in caplog.messages if " px" in line] == [told]
    (model,) = json.loads((tmp_path / "out/profile.json").read_text())["models"]
    assert model["canvas"] == canvas


@pytest.mark.parametrize(
    ("tasks", "size"),
    [(["ssdlite"], "480 x 640"), (["lraspp"], "64 x 64"), (["lraspp", "ssdlite"], "480 x 640")],
    ids=["detector", "segmenter", "both"],
)
def test_drawn_pictures_are_a_photos_size_wherever_a_detector_sees_them(
    tasks: list[str], size: str, tmp_path, capsys, no_process
) -> None:
    assert main([*QUICK, "--checkpoint", *(str(checkpoint(tmp_path / head, head)) for head in tasks)]) == 0
    assert f"drawn street scenes of {size} px" in capsys.readouterr().out


def picture(folder: Path) -> Path:
    import numpy as np

    write_picture(folder / "picture.png", np.full((40, 50, 3), 100, np.uint8))
    return folder / "picture.png"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--backbone", "v9"], ": --backbone: v9: expected one of v1, v2"),
        (["--head", "yolo"], ": --head: yolo: expected one of ssd"),
        (["--num-classes", "0"], "0 classes: expected 1 to 10000"),
        (["--head", "lraspp", "--num-classes", "300"], "a mask tells 255 apart"),
        (["--size", "20"], ": --size: 20: expected 32 px or more"),
        (["--rounds", "2"], "--rounds: 2: expected 3 to 100000"),
        (["--accelerator", "gpu"], "--accelerator: gpu: torch finds no CUDA GPU on this machine"),
        (["--threads", "0"], "--threads: 0: expected 1 to 1024"),
        (["--images", "nowhere"], "nowhere: no such picture or folder"),
        (["--images", "broken.png"], "broken.png"),
        (["--checkpoint", "nowhere"], "nowhere: no such run folder or checkpoint"),
        (["--checkpoint", "boxes", "--width", "0.5"], "--width: a checkpoint says that itself"),
        (["--checkpoint", "boxes", "--reduced-tail"], "--reduced-tail: a checkpoint says that itself"),
        (["--checkpoint", "boxes", "--ssd.candidates", "9"], "--ssd: a checkpoint says that itself"),
        (["--checkpoint", "boxes", "--size", "96"], "a detector sees pictures on the canvas of its training"),
        (["--reduced-tail", "--backbone", "v1"], "no paper describes its tail reduced"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_refused(words: list[str], told: str, tmp_path, monkeypatch, capsys) -> None:
    """One line, exit code 2, and the folder that was to be made is not there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    checkpoint(Path("boxes"), "ssdlite")
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    assert main([*QUICK, *words, "--out", "cost"]) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("densenets: error: ")]
    assert len(lines) == 1
    assert told in lines[0]
    assert printed.out == ""
    assert not Path("cost").exists()
