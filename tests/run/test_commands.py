"""The commands as a user starts them: exit codes, what goes to stdout, bad input, several processes."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from densenets.analysis.compare.grid import parse_training, task_of_grid
from densenets.cli import COMMANDS, main
from densenets.command_line import find_config, own_words, parse
from densenets.data.synthetic import write_cityscapes_streets

ROOT = Path(__file__).parent.parent.parent
SMALL = ["--backbone", "v3-small", "--width", "0.5", "--size", "96", "--batch-size", "4", "--epochs", "1"]
SMALL += ["--workers", "0", "--accelerator", "cpu", "--augment", "flip", "--warmup", "1"]


def run(*words: str, cwd: Path, timeout: int = 300) -> subprocess.CompletedProcess[str]:
    """tools/X.py or any module, in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DENSENETS_CACHE": str(cwd / "cache")}
    command = [sys.executable, str(ROOT / words[0]), *words[1:]]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)


def test_train_judge_predict_by_the_tools(shapes, tmp_path) -> None:
    data = str(shapes(train=range(8), val=range(8, 12)))
    trained = run("tools/train_det.py", *SMALL, "--data", data, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    lines = trained.stdout.splitlines()
    assert lines[0].startswith("AP ")
    assert any(line.startswith("green ") for line in lines)
    folder = "runs/shapes-v3-small-0.5-ssdlite-96"
    assert f"{folder}/results.json" in lines
    assert all(Path(tmp_path / line).is_file() for line in lines if line.startswith("runs/"))
    assert "Traceback" not in trained.stderr
    assert "arn" not in trained.stderr, trained.stderr  # no warning of any library
    judged = run("tools/eval_det.py", "--checkpoint", folder, "--data", data, "--workers", "0", cwd=tmp_path)
    assert judged.stdout.splitlines()[:12] == lines[:12]
    drawn = run("tools/predict.py", "--checkpoint", folder, "--images", f"{data}/val", "--threshold", "0", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert len(json.loads((tmp_path / "predictions/detections.json").read_text())["images"]) == 4


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line of a command that ends with 2."""
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = [line for line in printed.err.splitlines() if line.startswith("densenets: error: ")]
    assert len(lines) == 1
    assert "Traceback" not in printed.err
    return lines[0]


BAD_TRAINING = [
    (["--backbone", "v9"], "v9"),
    (["--head", "yolo"], "yolo: expected one of ssd, ssdlite"),
    (["--size", "1", "2", "3"], "size"),
    (["--size", "8"], "expected 32 px or more"),
    (["--data", "nowhere"], "nowhere: no such folder"),
    (["--weights", "nowhere.pth"], "nowhere.pth: no such file"),
    (["--epochs", "0"], "--epochs: 0: expected 1 or more"),
    (["--seed", "-1"], "--seed: -1"),
    (["--lr", "nan"], "--lr: nan"),
    (["--ssd.candidates", "-1"], "--ssd.candidates: -1"),
    (["--ssd.nms-iou", "1.5"], "--ssd.nms-iou: 1.5"),
    (["--devices", "nonsense"], "--devices"),
    (["--strategy", "nonsense"], "--strategy"),
    (["--accelerator", "nonsense"], "--accelerator"),
    (["--precision", "nonsense"], "--precision: nonsense: expected one of"),
    (["--resume", "nowhere"], "nowhere: no such run folder"),
    (["--train-split", "trian"], "trian"),
    (["--train-annotations", "a.json"], "go together"),
    (["--width", "0"], "width"),
    (["--reduced-tail", "--backbone", "v2"], "reduced_tail: MobileNetV2: no paper"),
    (["--freeze-stages", "6"], "--freeze-stages: 6"),
]


@pytest.mark.parametrize(("words", "message"), BAD_TRAINING, ids=[" ".join(words) for words, _ in BAD_TRAINING])
def test_bad_input_to_training_is_one_line(shapes, tmp_path, monkeypatch, capsys, words, message) -> None:
    data = shapes(train=range(2), val=range(2, 4))
    monkeypatch.chdir(tmp_path)
    line = fails(capsys, "train-det", *SMALL, "--data", str(data), *words)
    assert message in line
    assert not (tmp_path / "runs").exists()


def spoil(data: Path, how: str) -> None:
    file = data / "annotations" / "instances_train.json"
    document = json.loads(file.read_text())
    if how == "category":
        document["annotations"][0]["category_id"] = 999
    if how == "nan":
        document["annotations"][0]["bbox"][0] = float("nan")
    if how == "empty":
        document["images"], document["annotations"] = [], []
    if how == "picture":
        (data / "train" / document["images"][0]["file_name"]).unlink()
    file.write_text(json.dumps(document)[: 40 if how == "json" else None])


@pytest.mark.parametrize("how", ["category", "nan", "empty", "picture", "json"])
def test_bad_data_is_one_line_that_names_the_file(shapes, tmp_path, monkeypatch, capsys, how: str) -> None:
    data = shapes(train=range(4), val=range(4, 6))
    spoil(data, how)
    monkeypatch.chdir(tmp_path)
    line = fails(capsys, "train-det", *SMALL, "--data", str(data))
    assert ("instances_train.json" in line) or ("0.png" in line)
    assert not (tmp_path / "runs").exists()


def test_bad_input_to_judging_and_prediction_is_one_line(shapes, tmp_path, monkeypatch, capsys) -> None:
    data = str(shapes(train=range(4), val=range(4, 6)))
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.zeros(1)}, "w.ckpt")
    Path("broken.ckpt").write_bytes(b"no checkpoint")
    Path("broken.json").write_text('[{"image_id": 1}]')
    Path("nan.json").write_text('[{"image_id": 104, "category_id": 4, "bbox": [NaN, 0, 1, 1], "score": 1}]')
    Path("folder").mkdir()
    assert "give either" in fails(capsys, "eval-det", "--data", data)
    for name in ("w.ckpt", "broken.ckpt", "folder", "nowhere"):
        assert name in fails(capsys, "eval-det", "--checkpoint", name, "--data", data)
        assert name in fails(capsys, "predict", "--checkpoint", name, "--images", f"{data}/val")
        assert name in fails(capsys, "train-det", *SMALL, "--data", data, "--resume", name)
    for name in ("broken.json", "nan.json", "nowhere.json"):
        assert name in fails(capsys, "eval-det", "--predictions", name, "--data", data)
    assert "--batch-size: 0" in fails(capsys, "eval-det", "--checkpoint", "x", "--batch-size", "0")
    assert "nowhere" in fails(capsys, "predict", "--checkpoint", "x", "--images", "nowhere")
    assert "folder" in fails(capsys, "predict", "--checkpoint", "x", "--images", "folder")


def readme_commands() -> list[str]:
    text = (ROOT / "README.md").read_text().replace("\\\n", " ")
    return re.findall(r"^ {4}((?:tools/\w+\.py|densenets [\w-]+) .*?)(?: +#.*)?$", text, re.MULTILINE)


@pytest.mark.parametrize("command", readme_commands())
def test_every_command_of_the_readme_is_understood(command: str, monkeypatch, tmp_path) -> None:
    """Parsed to settings by the parser of its tool; the whole way of each tool is run above."""
    words = shlex.split(command)
    name = Path(words[0]).stem.replace("_", "-") if words[0] != "densenets" else words[1]
    flags = words[1:] if words[0] != "densenets" else words[2:]
    if name == "bench":
        return
    if COMMANDS[name].passes_on:
        flags, others = own_words(COMMANDS[name].settings, flags)
        settings = parse(COMMANDS[name].settings, flags, name)
        parse_training(task_of_grid(settings) if settings.heads else "detection", others)
    if {"--help", "--print-config"} & set(flags):
        with pytest.raises(SystemExit):
            parse(COMMANDS[name].settings, flags, name)
    else:
        parse(COMMANDS[name].settings, flags, name, COMMANDS[name].default_config)


def test_the_readme_has_commands() -> None:
    assert len(readme_commands()) >= 8


def own_folder(root: Path) -> None:
    """Pictures and masks of the ids 0, 1, 2 and 11."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 2)):
        for kind, pixels in (("images", rng.integers(0, 256, (count, 96, 128, 3))), ("masks", None)):
            (root / kind / split).mkdir(parents=True)
            ids = rng.choice([0, 1, 2, 11], (count, 96, 128)) if pixels is None else pixels
            for number in range(count):
                Image.fromarray(ids[number].astype(np.uint8)).save(root / kind / split / f"{number}.png")


@pytest.mark.slow
def test_the_tour_of_the_readme_runs_as_written(tmp_path, real_data) -> None:
    """In order, in an empty folder; one epoch in place of many, and real data where it says COCO, VOC and photos."""
    real = str(real_data)
    places = {
        "COCO": f"{real}/coco_mini",
        "VOC": f"{real}/bccd",
        "BCCD": f"{real}/bccd",
        "photos/": f"{real}/coco_mini/val2017",
        "CAMVID": f"{real}/camvid",
    }
    images = {"train": 4, "val": 2, "test": 2}
    tree = write_cityscapes_streets(tmp_path / "tree", images=images, workers=1, progress=False)
    for mask in (tree / "gtFine/test").rglob("*.png"):  # as downloaded: only the server has those
        Image.new("L" if "labelIds" in mask.name else "I;16", (480, 320)).save(mask)
    places["CITYSCAPES"] = str(tree)
    own_folder(tmp_path / "OWN")
    places["mobilenet_v2.pth"] = f"{real}/weights/mobilenet_v2_1.0_imagenet_torchvision.pth"
    for command in readme_commands():
        words = [places.get(word, word) for word in shlex.split(command)]
        if words[0] == "tools/bench.py" or real in command:
            continue
        command_word = words[words[0] == "densenets"]
        short = ["--epochs", "1"] if "train" in command_word and "--print-config" not in words else []
        short += ["--devices", "1", "--batch-size", "8"] if "--devices" in words else []
        if "compare" in command_word:
            small = ["--sizes", "96", "--seeds", "0", "--rounds", "1", "--draws", "20", "--batch-size", "8"]
            short = ["--epochs", "1", *small, *(["--cpus", "1"] if "--cpus" in words else [])]
            words = [word.replace("mobilenet_v2.pth", places["mobilenet_v2.pth"]) for word in words]
        words = ["densenets/cli.py", *words[1:]] if words[0] == "densenets" else words
        done = run(*words, *short, cwd=tmp_path, timeout=900)
        assert done.returncode == 0, (command, done.stderr[-2000:])
        assert done.stdout


def test_a_diverged_training_ends_with_3(shapes, tmp_path, monkeypatch, capsys) -> None:
    data = str(shapes(train=range(8), val=range(8, 10)))
    monkeypatch.chdir(tmp_path)
    explodes = ["--lr", "1e30", "--warmup", "0", "--epochs", "3"]
    assert main(["train-det", *SMALL, "--data", data, *explodes]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "loss is not finite" in printed.err
    assert ".png" in printed.err


def test_help_answers_within_a_second() -> None:
    import time

    started = time.monotonic()
    assert run("tools/train_det.py", "--help", cwd=ROOT).returncode == 0
    assert time.monotonic() - started < 3  # a second on an idle machine; nothing heavy may be imported
    code = "import sys, densenets.cli as c; c.main(['train-det', '--epohcs', '1']); print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"


def test_the_configurations_are_found_without_the_checkout(tmp_path) -> None:
    """A wheel holds configs/ inside the package; here only the rule by which it gets there is read."""
    import tomllib

    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"configs": "densenets/configs"}
    assert find_config("streets", "detection").parent.name == "detection"


@pytest.mark.slow
@pytest.mark.parametrize("out", [[], ["--out", "named"]])
def test_two_processes_train_into_one_folder(shapes, tmp_path, out: list[str]) -> None:
    data = str(shapes(train=range(9), val=range(9, 14)))
    words = [*SMALL, "--data", data, "--devices", "2", "--strategy", "ddp", *out]
    trained = run("tools/train_det.py", *words, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    folders = [folder for folder in [*tmp_path.glob("runs/*"), tmp_path / "named"] if folder.is_dir()]
    assert len(folders) == 1
    results = json.loads((folders[0] / "results.json").read_text())
    again = run("tools/eval_det.py", "--checkpoint", str(folders[0]), "--data", data, "--workers", "0", cwd=tmp_path)
    assert again.stdout.splitlines()[0].split()[1] == f"{results['AP']:.3f}"
    assert results["counts"]["images"] == 5
