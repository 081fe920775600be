"""Bad flags and bad files through the commands: exit code 2, lines that name what is wrong, and nothing left behind.

Faults inside of data sets stand in tests/run.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from densenets.cli import main

ROOT = Path(__file__).parent.parent
TRAIN = ["train-det", "--backbone", "v3-small", "--width", "0.25", "--size", "96", "--batch-size", "2", "--epochs", "1"]
TRAIN += ["--workers", "0", "--accelerator", "cpu", "--out", "run"]
EVAL = ["eval-det", "--workers", "0", "--out", "run"]
PREDICT = ["predict", "--out", "run", "--accelerator", "cpu"]

# What may stand in the place of a file; all are made below `odd`.
KINDS: dict[str, Callable[[Path], object]] = {
    "nowhere": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "empty": lambda path: path.touch(),
    "pipe": lambda path: os.mkfifo(path),
    "loop": lambda path: path.symlink_to(path),
    "dangling": lambda path: path.symlink_to("gone"),
    "zero": lambda path: path.symlink_to("/dev/zero"),
    "null": lambda path: path.symlink_to("/dev/null"),
    "zeros": lambda path: path.write_bytes(bytes(4096)),
    "html": lambda path: path.write_text("<!DOCTYPE html><html>404</html>"),
    "lfs": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 64),
}
NAMES = {
    "too long": "n" * 300,
    "far too long": "d/" * 3000,
    "surrogate": os.fsdecode(b"\xff\xfe"),
    "newline": "a\nb",
    "escape": "\x1b[2J",
    "empty": "",
    "space": " ",
    "dash": "-",
}
FLAGS: dict[str, Callable[[str, str], list[str]]] = {  # (path, data) -> words; each is given a bad path in turn
    "weights": lambda path, data: [*TRAIN, "--data", data, "--weights", path],
    "config": lambda path, data: [*TRAIN, "--data", data, "--config", path],
    "resume": lambda path, data: [*TRAIN[:-2], "--data", data, "--resume", path],
    "data": lambda path, data: [*TRAIN, "--data", path],
    "train-annotations": lambda path, data: [
        *(*TRAIN, "--train-annotations", path, "--train-images", f"{data}/train"),
        *("--val-annotations", f"{data}/annotations/instances_val.json", "--val-images", f"{data}/val"),
    ],
    "checkpoint": lambda path, data: [*EVAL, "--data", data, "--checkpoint", path],
    "predictions": lambda path, data: [*EVAL, "--data", data, "--predictions", path],
    "predict": lambda path, data: [*PREDICT, "--images", f"{data}/val", "--checkpoint", path],
    "pictures": lambda path, data: [*PREDICT, "--images", path, "--checkpoint", "good.ckpt"],
    "check-data": lambda path, data: ["check-data", "--data", path, "--out", "run"],
}
SUFFIXES = {"weights": ".pth", "train-annotations": ".json", "predictions": ".json", "pictures": ".png"}


@pytest.fixture
def data(shapes, tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    folder = str(shapes(train=range(3), val=range(3, 5)))
    good_checkpoint(Path("good.ckpt"))
    return folder


def good_checkpoint(path: Path) -> None:
    from dataclasses import asdict

    from densenets.build import ModelDescription, build_from
    from densenets.config import SSDOptions

    plain = [
        "v3-small",
        "ssdlite",
        ["red", "green", "blue"],
        [4, 9, 17],
        (64, 64),
        0.1,
        "torch",
        "imagenet",
        False,
        True,
    ]
    description = ModelDescription(*plain, None, asdict(SSDOptions()))  # type: ignore[arg-type]
    state = {f"model.{name}": value for name, value in build_from(description).state_dict().items()}
    torch.save({"densenets": description.plain(), "state_dict": state, "global_step": 1}, path)


def tree(folder: Path) -> dict[str, object]:
    """Every path below and what it is; the content of plain files."""
    return {
        str(path): path.read_bytes()
        if path.is_file() and path.stat().st_size < 10**6 and not path.is_symlink()
        else path.lstat().st_mode
        for path in sorted(folder.rglob("*"))
    }


def refused(capsys: pytest.CaptureFixture[str], words: list[str], code: int = 2) -> list[str]:
    """The error lines of a command that ends with `code`, having left everything as it was."""
    before = tree(Path())
    assert main(words) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert all(line.isprintable() for line in printed.err.splitlines())
    assert tree(Path()) == before
    lines = [line for line in printed.err.splitlines() if line.startswith("densenets: error: ")]
    assert 0 < len(lines) <= 21
    return lines


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flag", FLAGS)
def test_anything_in_place_of_the_file(data: str, capsys, flag: str, kind: str) -> None:
    path = Path("odd" + SUFFIXES.get(flag, ""))
    KINDS[kind](path)
    assert path.name in "".join(refused(capsys, FLAGS[flag](str(path), data)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("flag", FLAGS)
def test_odd_names(data: str, capsys, flag: str, name: str) -> None:
    refused(capsys, FLAGS[flag](NAMES[name], data))


OUTS: dict[str, Callable[[Path], object]] = {
    "a file": lambda path: path.write_text("keep"),
    "a pipe": lambda path: os.mkfifo(path),
    "a loop": lambda path: path.symlink_to(path),
    "a dangling link": lambda path: path.symlink_to("gone/further"),
    "below a file": lambda path: path.parent.write_text("keep"),
}
WRITERS: dict[str, Callable[[str, str], list[str]]] = {
    "train-det": lambda out, data: [*TRAIN[:-2], "--data", data, "--out", out],
    "eval-det": lambda out, data: [
        "eval-det",
        "--checkpoint",
        "good.ckpt",
        "--data",
        data,
        "--workers",
        "0",
        "--out",
        out,
    ],
    "predict": lambda out, data: ["predict", "--checkpoint", "good.ckpt", "--images", f"{data}/val", "--out", out],
    "check-data": lambda out, data: ["check-data", "--data", data, "--out", out],
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", [*OUTS, "too long"])
@pytest.mark.parametrize("command", WRITERS)
def test_no_folder_to_write_to(data: str, capsys, command: str, kind: str) -> None:
    path = Path("o" * 300 if kind == "too long" else "file/out" if kind == "below a file" else "out")
    OUTS.get(kind, lambda _: None)(path)
    assert path.name in refused(capsys, WRITERS[command](str(path), data))[0]


VALUES: dict[str, list[str]] = {  # of flags, for which no setting of that kind exists
    "--batch-size": ["0", "-1", "1.5", "x", "", "null", "[1]", "nan", "1e99"],
    "--lr": ["-1", "x", "nan", "inf", "null", "[1]", "1e999"],
    "--size": ["0", "31", "-320", "1e9", "99999", "[320]x", "[]", "[1,2,3]", "x", "99999999999999999999"],
    "--width": ["0", "-1", "nan", "11", "1e300", "x"],
    "--backbone": ["", "v9", "../v2", "V2", "null", "[v2]"],
    "--head": ["", "yolo", "os.system"],
    "--epochs": ["0", "-5", "x", "1e400"],
    "--seed": ["-1", "4294967296", "x"],
    "--augment": ["", "all", "null"],
    "--optimizer": ["adam", ""],
    "--schedule": ["linear"],
    "--ssd.scales": ["[.nan]", "[0,1]", "[[1]]", "x", "[.inf,1,1,1,1,1,1]", "[-1,1,1,1,1,1,1]"],
    "--ssd.detections": ["0", "1e12", "1000000000000", "null"],
    "--ssd.nms-iou": ["2", "-0.1", "nan"],
    "--ssd.aspect-ratios": ["[0]", "[.nan]", "[[2],[2]]"],
    "--rcnn.sizes": ["[.nan]", "[[0]]", "[]", "x", "[[1,2],[3]]", "[[.inf]]"],
    "--rcnn.proposals": ["0", "1e12", "null"],
    "--rcnn.fpn": ["none", ""],
    "--rcnn.class-path": ["os.system"],
    "--max-skip": ["2", "-1", "x"],
    "--max-pixels": ["0", "1e9", "nan"],
    "--box-format": ["yxyx"],
    "--workers": ["-2", "5000", "x"],
    "--devices": ["nonsense", "-7", "0"],
    "--precision": ["8"],
    "--strict": ["maybe", "3"],
    "--no-such-flag": ["1"],
    "--ssd": ["x.yaml", "os.path"],
    "--ssd.class-path": ["os.system"],
    "--help-me": [""],
}


@pytest.mark.parametrize(("flag", "value"), [(flag, value) for flag, values in VALUES.items() for value in values])
def test_values_that_no_flag_takes(data: str, capsys, flag: str, value: str) -> None:
    lines = refused(capsys, [*TRAIN, "--data", data, f"{flag}={value}"])
    assert len(lines) == 1
    assert flag.lstrip("-").split(".")[-1].replace("-", "") in lines[0].replace("-", "").replace("_", "")


WORDS = {
    "a loose word": [*TRAIN, "loose"],
    "no value": [*TRAIN, "--lr"],
    "no checkpoint": [*PREDICT, "--images", "x"],
    "no pictures": [*PREDICT, "--checkpoint", "good.ckpt"],
    "neither": EVAL,
    "both": [*EVAL, "--checkpoint", "good.ckpt", "--predictions", "p.json"],
    "half a pair": [*EVAL, "--checkpoint", "good.ckpt", "--annotations", "a.json"],
    "half of two pairs": [*TRAIN, "--train-annotations", "a.json", "--train-images", "x"],
    "an unknown command": ["train"],
    "a command of control characters": ["\x1b[2J"],
    "a threshold beyond 1": [*PREDICT, "--checkpoint", "good.ckpt", "--images", "x", "--threshold", "1.1"],
    "an accelerator that is none": [*PREDICT, "--checkpoint", "good.ckpt", "--images", "x", "--accelerator", "tpu9"],
}


@pytest.mark.parametrize("name", WORDS)
def test_words_that_make_no_command(data: str, capsys, name: str) -> None:
    assert len(refused(capsys, WORDS[name])) == 1


PREDICTIONS = {
    "nan": '[{"image_id": 103, "category_id": 4, "bbox": [NaN, 0, 1, 1], "score": 1}]',
    "unknown image": '[{"image_id": 1, "category_id": 4, "bbox": [0, 0, 1, 1], "score": 1}]',
    "text for an id": '[{"image_id": "103", "category_id": 4, "bbox": [0, 0, 1, 1], "score": 1}]',
    "unknown class": '[{"image_id": 103, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]',
    "three numbers": '[{"image_id": 103, "category_id": 4, "bbox": [0, 0, 1], "score": 1}]',
    "no score": '[{"image_id": 103, "category_id": 4, "bbox": [0, 0, 1, 1]}]',
    "negative": '[{"image_id": 103, "category_id": 4, "bbox": [0, 0, -1, 1], "score": 1}]',
    "object": "{}",
    "cut short": '[{"image_id": 103',
    "deep": "[" * 100_000,
    "long number": '[{"image_id": ' + "9" * 5000 + "}]",
    "control characters": '["\\u001b[2J\\n"]',
}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_bad_predictions(data: str, capsys, name: str) -> None:
    Path("p.json").write_text(PREDICTIONS[name])
    assert all("p.json: " in line for line in refused(capsys, [*EVAL, "--data", data, "--predictions", "p.json"]))


def test_the_table_is_as_long_as_promised() -> None:
    cases = len(FLAGS) * (len(KINDS) + len(NAMES)) + len(WRITERS) * (len(OUTS) + 1)
    assert cases + sum(map(len, VALUES.values())) + len(WORDS) + len(PREDICTIONS) >= 300


# Permissions: as a user who may not read or write; root without the right to pass over that

NOT_ALLOWED = """
import json, os, sys
from densenets.cli import main
for name, words in json.loads(sys.argv[1]).items():
    try: code = main(words)
    except BaseException as fault: code = repr(fault)
    print(json.dumps([name, code]), flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="no permissions of this kind")
def test_what_may_not_be_read_or_written(data: str, tmp_path) -> None:
    for name in ("w.pth", "c.yaml", "p.json", "x.ckpt"):
        Path(name).write_bytes(b"secret")
        Path(name).chmod(0)
    for name in ("shut", "bare"):
        Path(name).mkdir()
        Path(name).chmod(0 if name == "shut" else 0o555)
    cases = {flag: FLAGS[flag](path, data) for flag, path in (
        ("weights", "w.pth"), ("config", "c.yaml"), ("resume", "shut"), ("data", "shut"), ("checkpoint", "x.ckpt"),
        ("predictions", "p.json"), ("predict", "x.ckpt"), ("pictures", "shut"), ("check-data", "shut"),
    )}  # fmt: skip
    cases |= {f"{name} out": words("bare/out", data) for name, words in WRITERS.items()}
    command = [sys.executable, "-c", NOT_ALLOWED, json.dumps(cases)]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root passes over permissions, and there is no setpriv to stop it")
        limits = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={limits}", f"--inh-caps={limits}", *command]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    Path("shut").chmod(0o755)
    codes = dict(json.loads(line) for line in done.stdout.splitlines())
    assert codes == dict.fromkeys(cases, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("densenets: error: ") >= len(cases)
    assert not Path("run").exists()


# In processes of their own, as a user starts them

REAL = {
    "a pipe for a checkpoint": FLAGS["predict"]("pipe", "d"),
    "a device for predictions": FLAGS["predictions"]("/dev/zero", "shapes"),
    "a device for a configuration": FLAGS["config"]("/dev/zero", "shapes"),
    "a device for weights": FLAGS["weights"]("zero.pth", "shapes"),
    "bytes that are no text": FLAGS["data"](os.fsdecode(b"\xff\xfe"), "shapes"),
    "bytes for a flag": [*TRAIN, os.fsdecode(b"--\xff=1")],
    "a size beyond memory": [*TRAIN, "--data", "shapes", "--size", "1000000000"],
    "a net beyond memory": [*TRAIN, "--data", "shapes", "--width", "100000"],
    "a long word": [*TRAIN, "--data", "x" * 100_000],
    "a nested value": [*TRAIN, "--size=" + "[" * 3000],
}


QUICK = ("a pipe for a checkpoint", "a device for a configuration", "bytes for a flag", "a nested value")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in REAL]
)
def test_as_a_user_starts_it(data: str, tmp_path, name: str) -> None:
    os.mkfifo("pipe")
    Path("zero.pth").symlink_to("/dev/zero")
    before = tree(Path())
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "densenets.cli", *REAL[name]]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, timeout=120)
    err = done.stderr.decode()
    assert done.returncode == 2, err
    assert done.stdout == b""
    assert "Traceback" not in err
    assert err.count("densenets: error: ") == 1
    assert tree(Path()) == before
