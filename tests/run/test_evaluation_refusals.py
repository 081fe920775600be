"""Judging a checkpoint: no number for nonsense, and one line for what cannot be done."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluations import ROOT, settled, tool, words

from densenets.build import build_model
from densenets.cli import main


def test_words_that_lightning_does_not_take_are_one_line(
    shapes: Any, checkpoint: Path, tmp_path: Path, capsys: Any
) -> None:
    data = shapes(val=range(2))
    for flags in (["--devices", "nonsense"], ["--strategy", "nonsense"]):
        assert main(["eval-det", *words(checkpoint, data, tmp_path / "out", *flags)]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert "--devices, --accelerator, --strategy: " in told.err
    assert not (tmp_path / "out").exists()


# A model


@pytest.fixture
def broken(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint of finite weights (others are refused) whose raw outputs overflow on every picture."""
    content = torch.load(checkpoint, weights_only=True)
    for name, value in content["state_dict"].items():
        if "box_predictors" in name and value.ndim == 4:
            value[:] = 3e38
    torch.save(content, tmp_path / "overflows.ckpt")
    return tmp_path / "overflows.ckpt"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("which", [0, 1])
def test_a_raw_output_that_is_no_number_does_not_pass_as_finding_nothing(which: int, bad: float) -> None:
    """[V03] NaN loses every comparison on its way through selection and NMS; other images are not touched."""
    model = settled(build_model("v3-small", "ssdlite", 3, size=96, width=0.5), 96)
    with torch.no_grad():
        raw = [output.clone() for output in model.raw(torch.rand(3, 3, 96, 96))]
        before = model.decode(*raw)
        raw[which][1, 5, 2] = bad
        after = model.decode(*raw)
    assert after.scores[1].isnan().all()
    assert all(torch.equal(one[[0, 2]], other[[0, 2]]) for one, other in zip(after, before, strict=True))


def test_a_model_that_gives_no_numbers_ends_with_3_and_names_the_images(
    shapes: Any, broken: Path, tmp_path: Path, capsys: Any
) -> None:
    """[V03]"""
    data = shapes(val=range(3))
    assert main(["eval-det", *words(broken, data, tmp_path / "out")]) == 3
    told = capsys.readouterr()
    what = "the model gave a box or score that is not finite [V03]"
    lines = [line for line in told.err.splitlines() if "error" in line]
    assert lines == [f"densenets: error: {data}/val/{i}.png: image {100 + i}: {what}" for i in range(3)]
    assert told.out == ""
    assert not (tmp_path / "out/results.json").exists()


@pytest.mark.slow
def test_two_processes_with_a_model_that_gives_no_numbers_end_with_3(shapes: Any, broken: Path, tmp_path: Path) -> None:
    """And each image is told once."""
    done = tool(*words(broken, shapes(val=range(3)), tmp_path / "out", "--devices", "2"))
    assert (done.returncode, done.stdout) == (3, "")
    assert len([line for line in done.stderr.splitlines() if line.endswith("[V03]")]) == 3
    assert "Traceback" not in done.stderr


def test_a_judge_that_is_missing_ends_with_2_before_anything_is_done(
    shapes: Any, checkpoint: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    assert main(["eval-det", *words(checkpoint, shapes(val=range(2)), tmp_path / "o", "--judge", "faster")]) == 2
    assert "densenets[fast]" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_what_stands_in_the_place_of_the_sheet_is_replaced_or_told(
    shapes: Any, checkpoint: Path, tmp_path: Path, capsys: Any
) -> None:
    data, other = shapes(val=range(2)), tmp_path / "other.png"
    other.write_text("kept")
    (tmp_path / "link").mkdir()
    (tmp_path / "link/validation.png").symlink_to(other)
    assert main(["eval-det", *words(checkpoint, data, tmp_path / "link")]) == 0
    assert other.read_text() == "kept"
    (tmp_path / "folder/validation.png").mkdir(parents=True)
    assert main(["eval-det", *words(checkpoint, data, tmp_path / "folder")]) == 4
    assert "validation.png: cannot be written: Is a directory" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_stdout_is_one_line(shapes: Any, judged: Any, tmp_path: Path) -> None:
    data = shapes(val=range(2))
    judged(data)
    command = [sys.executable, str(ROOT / "tools/eval_det.py"), "--predictions", str(tmp_path / "out")]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*command, "--data", str(data)], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "densenets: error: stdout: cannot be written: No space left on device"


def test_a_picture_that_ends_one_process_ends_the_others_in_words(
    shapes: Any, checkpoint: Path, tmp_path: Path
) -> None:
    data = shapes(val=range(6))
    (data / "val/1.png").write_bytes(b"broken")
    done = tool(*words(checkpoint, data, tmp_path / "out", "--devices", "2"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "1.png: not a picture" in done.stderr
