"""Bad flags, files and checkpoints of segmentation: exit code 2, lines that name what is wrong, nothing left behind.

Faults inside of its data sets stand in tests/data and tests/run.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_bad_input import KINDS, NAMES, good_checkpoint, refused, tree

from densenets.build import ModelDescription, build_from
from densenets.cli import main
from densenets.config import SegmentationOptions

CLASSES = ["sky", "road", "car"]
TRAIN = ["train-seg", "--backbone", "v3-small", "--width", "0.25", "--size", "64", "--batch-size", "2", "--epochs", "1"]
TRAIN += ["--workers", "0", "--accelerator", "cpu", "--out", "run", "--data", "set"]
EVAL = ["eval-seg", "--workers", "0", "--accelerator", "cpu", "--data", "set", "--checkpoint", "good.ckpt"]
MASKS = ["eval-seg", "--data", "set", "--predictions", "set/masks/val"]


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def checkpoint(**changes: Any) -> dict[str, Any]:
    """Of a segmenter that has learnt nothing; changes: of its description."""
    palette = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    plain: list[Any] = ["v3-small", "lraspp", CLASSES, [0, 1, 2], (64, 64), 0.1, "torch", "imagenet", False, False]
    description = ModelDescription(*plain, None, asdict(SegmentationOptions()), palette)  # type: ignore[call-arg]
    state = {f"model.{name}": value for name, value in build_from(description).state_dict().items()}
    return {"densenets": {**description.plain(), **changes}, "state_dict": state, "global_step": 1}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`set`, a folder of masks, and good.ckpt."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for number in range(3):
            write(Path(f"set/images/{split}/{number}.png"), rng.integers(0, 256, (40, 56, 3), dtype=np.uint8))
            write(Path(f"set/masks/{split}/{number}.png"), rng.integers(0, 3, (40, 56), dtype=np.uint8))
    Path("set/classes.txt").write_text("\n".join(CLASSES))
    torch.save(checkpoint(), "good.ckpt")


# Files

FLAGS: dict[str, Callable[[str], list[str]]] = {  # each is given a bad path in turn; the last of a flag counts
    "train --data": lambda path: [*TRAIN, "--data", path],
    "eval --data": lambda path: [*EVAL, "--data", path],
    "eval --checkpoint": lambda path: [*EVAL, "--checkpoint", path],
    "eval --predictions": lambda path: [*MASKS, "--predictions", path],
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flag", FLAGS)
def test_anything_in_place_of_the_file(capsys: pytest.CaptureFixture[str], flag: str, kind: str) -> None:
    Path("odd").mkdir()
    KINDS[kind](Path("odd/file"))
    assert "odd/file" in refused(capsys, FLAGS[flag]("odd/file"))[0]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("empty", "space")])
@pytest.mark.parametrize("flag", FLAGS)
def test_odd_names(capsys: pytest.CaptureFixture[str], flag: str, name: str) -> None:
    refused(capsys, FLAGS[flag](NAMES[name]))


# Values

VALUES = {
    "--size 1": (TRAIN, "--size: 1: expected 32 px"),
    "--eval-size 1": (TRAIN, "--eval-size: 1: expected 32 px"),
    "--eval-size 64 64 64": (TRAIN, "--eval-size: [64, 64, 64]: expected one side, or height and width"),
    "--eval-batch 0": (TRAIN, "--eval-batch: 0: expected 1"),
    "--ignore-ids 300": (TRAIN, "--ignore-ids: 300: expected 0 to 255"),
    "--ignore-ids 1": (TRAIN, '--ignore-ids: 1 is the id of class "road"'),
    "--ignore-ids x": (TRAIN, "--ignore-ids"),
    "--classes sky road": (TRAIN, 'class "car" is not among the classes asked for: sky, road [D22]'),
    "--classes sky road car sky": (TRAIN, '--classes: class "sky" stands twice [D18]'),
    f"--classes sky road car {' '.join(f'k{i}' for i in range(300))}": (TRAIN, "--classes: 303 classes; 1 to 254"),
    "--scale-range 1": (TRAIN, "--scale-range: [1.0]: expected two factors"),
    "--scale-range 0 1": (TRAIN, "--scale-range: [0.0, 1.0]: expected two factors"),
    "--seg.class-weights 1 2": (TRAIN, "--seg.class-weights: 3 classes, of which each needs a weight; given: 2"),
    "--seg.class-weights 1 2 3 4": (TRAIN, "--seg.class-weights: 3 classes, of which each needs a weight; given: 4"),
    "--seg.class-weights 0 0 0": (TRAIN, "--seg.class-weights: all are 0"),
    "--seg.class-weights 1 -1 1": (TRAIN, "--seg.class-weights: -1.0: expected 0"),
    "--seg.output-stride 7": (TRAIN, "--seg.output-stride: 7: expected one of 8, 16, 32"),
    "--seg.filters 0": (TRAIN, "--seg.filters: 0: expected 1"),
    "--seg.dropout 1": (TRAIN, "--seg.dropout: 1.0: expected 0 to 0.99"),
    "--seg.loss mse": (TRAIN, "--seg.loss: mse: expected one of ce, ohem"),
    "--val-split x": (TRAIN, "--val-split: "),
    "--train-split x": (TRAIN, '/images: no split "x"; there are train, val'),
    "--head ssd": (TRAIN, "--head: ssd: expected one of raspp"),
    "--ssd.anchors tf": (TRAIN, "--ssd.anchors: no such setting"),
    "--seg.bn-momentum 2": (TRAIN, "--seg.bn-momentum: 2.0: expected 0 to 1"),
    "--seg.ohem-threshold 2": (TRAIN, "--seg.ohem-threshold: 2.0: expected 0 to 1"),
    "--seg.ohem-kept -1": (TRAIN, "--seg.ohem-kept: -1.0: expected 0 to 1"),
    "--seg.label-smoothing 2": (TRAIN, "--seg.label-smoothing: 2.0: expected 0 to 1"),
    "--seg.auxiliary nan": (TRAIN, "--seg.auxiliary: nan: expected float"),
    "--seg.x 1": (TRAIN, "--seg.x: no such setting; did you mean"),
    "--size 16": (EVAL, "--size: 16: expected 32 px"),
    "--window 0": (EVAL, "--window: 0: expected 32 px"),
    "--window 64 64 64": (EVAL, "--window: [64, 64, 64]: expected one side"),
    "--overlap 1": (EVAL, "--overlap: 1.0: expected 0 to 0.9"),
    "--scales 0": (EVAL, "--scales: 0.0: expected 0.05 to 10"),
    "--scales nan": (EVAL, "--scales: nan: expected float"),
    "--scales []": (EVAL, "--scales: at least one factor"),
    "--output-stride 5": (EVAL, "--output-stride: 5: expected one of 8, 16, 32"),
    "--batch-size 0": (EVAL, "--batch-size: 0: expected 1"),
    "--split y": (EVAL, "--split: "),
    "--split x": (EVAL, '/images: no split "x"; there are train, val'),
    "--ignore-ids 2": (EVAL, '--ignore-ids: 2 is the id of class "car"'),
    "--classes a": (EVAL, "--classes: goes with --predictions"),
    "--predictions x": (EVAL, "give either --checkpoint or --predictions"),
    "--submission set/masks/val": (EVAL, "--submission: set/masks/val/0.png: is there already"),
    "--submission good.ckpt": (EVAL, "good.ckpt: cannot be written to"),
    "--submission x": (MASKS, "--submission: goes with --checkpoint"),
    "--window 64": (MASKS, "--window: goes with --checkpoint"),
}  # fmt: skip


@pytest.mark.parametrize("flag", VALUES, ids=lambda flag: flag[:40])
def test_values_that_do_not_go(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    words, said = VALUES[flag]
    line = refused(capsys, [*words, *flag.split()])[0]
    assert said in line
    if flag.startswith(("--seg.", "--size")):  # as it was typed
        assert line.startswith(f"densenets: error: {flag.split()[0]}: ")


# Checkpoints

ODD_FIELDS: dict[str, list[Any]] = {
    "palette": [None, [[1, 2, 3]], [[1, 2, 3]] * 2 + [[1, 2, 300]], "red", [[1, 2]] * 3],
    "category_ids": [[0, 1, 256], [-1, 0, 1], [0, 1], [0, 1, 1]],
    "classes": [["sky", "road"], ["sky", "road", "road"], "sky"],
    "head": ["raspp", "deeplabv3", "ssd", "x"],
    "options": [
        {},
        {**asdict(SegmentationOptions()), "filters": 4096},
        {**asdict(SegmentationOptions()), "filters": 10**12},
        {**asdict(SegmentationOptions()), "output_stride": 4},
        {**asdict(SegmentationOptions()), "class_weights": [1.0]},
        {**asdict(SegmentationOptions()), "class_weights": ["x"]},
        {**asdict(SegmentationOptions()), "auxiliary": 0.4},
        {**asdict(SegmentationOptions()), "dropout": float("nan")},
        {**asdict(SegmentationOptions()), "loss": "os.system"},
    ],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ODD_FIELDS.items() for value in values])
def test_a_description_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str], name: str, value: Any) -> None:
    torch.save(checkpoint(**{name: value}), "x.ckpt")
    for words in ([*EVAL, "--checkpoint", "x.ckpt"], ["predict", "--checkpoint", "x.ckpt", "--images", "set/images"]):
        assert "x.ckpt: " in refused(capsys, words)[0]


def test_a_sound_checkpoint_is_judged(capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise the tests above show nothing."""
    assert main([*EVAL, "--submission", "sent"]) == 0
    assert sorted(path.name for path in Path("sent").iterdir()) == ["0.png", "1.png", "2.png"]
    assert main([*MASKS, "--predictions", "sent"]) == 0


def test_a_run_of_detection_is_told_with_its_own_command(capsys: pytest.CaptureFixture[str]) -> None:
    Path("det run/checkpoints").mkdir(parents=True)
    good_checkpoint(Path("det run/checkpoints/last.ckpt"))
    is_one = "densenets: error: det run: is of detection (head ssdlite), not of segmentation; "
    (line,) = refused(capsys, [*EVAL, "--checkpoint", "det run"])
    assert line == f"{is_one}eval-det --checkpoint 'det run' judges it"
    Path("det run/config.yaml").write_text("head: ssdlite\ntrain_annotations: null\n")
    (line,) = refused(capsys, ["train-seg", "--resume", "det run"])
    assert line == f"{is_one}train-det --resume 'det run' goes on with it"


FORGED: list[Any] = [
    {"data": ["set"]},
    {"data": "set", "ignore_ids": [300]},
    {"data": "set", "ignore_ids": [True, "a", None]},
    {"data": "set", "split": []},
    {"data": {"set": 1}},
    ["set"],
]


@pytest.mark.parametrize("data", FORGED, ids=str)
def test_what_a_run_says_of_its_data_may_be_anybody_s(capsys: pytest.CaptureFixture[str], data: Any) -> None:
    Path("run/checkpoints").mkdir(parents=True)
    Path("good.ckpt").rename("run/checkpoints/best.ckpt")
    Path("run/results.json").write_text(json.dumps({"data": data}))
    assert main([*EVAL, "--checkpoint", "run"]) == 0
    assert "Traceback" not in capsys.readouterr().err


# A test split whose labels a server has


@pytest.fixture
def no_labels(here: None) -> None:
    for mask in Path("set/masks/val").iterdir():
        write(mask, np.full((40, 56), 255, dtype=np.uint8))


def test_without_labels_only_a_submission_makes_sense(no_labels: None, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = refused(capsys, [*EVAL, "--out", "out"])
    assert line == (
        "densenets: error: set, split val: no labels: no pixel of a class in any mask, as in a test split whose labels "
        "a server has; --checkpoint with --submission DIR writes what it judges [D36]"
    )
    assert main([*EVAL, "--submission", "sent", "--out", "out"]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[0] == "the split has no labels to judge by; masks for the server: sent"
    assert len([*Path("sent").iterdir()]) == 3
    assert json.loads(Path("out/results.json").read_text())["mIoU"] is None
    assert "no labels" in refused(capsys, [*MASKS, "--predictions", "sent"])[0]


def test_one_labelled_pixel_is_judged(no_labels: None, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.full((40, 56), 255, dtype=np.uint8)
    pixels[3, 4] = 1
    write(Path("set/masks/val/2.png"), pixels)
    assert main(EVAL) == 0
    assert "3 images, 1 pixels of a class" in capsys.readouterr().out


def test_a_mask_that_judging_cannot_read_is_told_by_name(no_labels: None, capsys: pytest.CaptureFixture[str]) -> None:
    Path("set/masks/val/1.png").write_bytes(Path("set/masks/val/1.png").read_bytes()[:-30])
    assert "set/masks/val/1.png: " in refused(capsys, EVAL)[0]


# Nothing is lost


def test_no_mask_takes_the_place_of_another_picture(capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("a.png", "a_ids.png", "a-2.png", "b/a.png")):
        write(Path("pictures") / name, np.full((40, 50 + number, 3), 60 * number, dtype=np.uint8))
    assert main(["predict", "--checkpoint", "good.ckpt", "--images", "pictures", "--out", "out"]) == 0
    told = json.loads(Path("out/segmentations.json").read_text())["images"]
    assert len({one["mask"] for one in told}) == 4
    for one in told:
        with Image.open(Path("out") / one["mask"]) as mask:
            assert (mask.mode, mask.size) == ("L", (one["width"], one["height"]))
    assert len([*Path("out").glob("*.png")]) == 8


def test_no_drawing_takes_the_place_of_its_picture(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("own/a.png"), np.full((40, 50, 3), 9, dtype=np.uint8))
    words = ["predict", "--checkpoint", "good.ckpt", "--images", "own", "--out"]
    assert refused(capsys, [*words, "own"]) == [
        "densenets: error: --out: own/a.png: is one of the pictures; name another folder"
    ]
    Path("link").symlink_to("own")
    assert "link/a.png: is one of the pictures" in refused(capsys, [*words, "link"])[0]
    assert main([*words, "other"]) == 0


def test_what_a_submission_holds_stays(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*EVAL, "--submission", "sent"]) == 0
    capsys.readouterr()
    before = tree(Path("sent"))
    assert len(refused(capsys, [*EVAL, "--submission", "sent"])) == 3
    assert tree(Path("sent")) == before
