"""Bench of judging masks: one image against the official evaluation in pure Python, and the memory of a whole split.

The images are street scenes that densenets draws. A prediction is the truth moved by a few px, with wrong squares of
8 px, as a net's is wrong at its stride; and noise, the worst there can be.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from bench_measure import resident, row, run_job, take_turns
from PIL import Image

from densenets.data import open_segmentation
from densenets.data.cityscapes import CLASSES, LABELS
from densenets.data.segmentation import SegmentationSplit
from densenets.metrics.prediction_masks import judge_folder
from densenets.metrics.segmentation_iou import confusion, count
from densenets.metrics.segmentation_rules import columns_of, rules_of

SIZE = (1024, 2048)
FEW, TIMES = 20, 5  # images of the smaller split, and how often the larger one has each
MOVED, CELL, WRONG = 3, 8, 0.05  # px, px, and the part of the squares


def rows(rounds: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield from counting_rows(Path(folder), rounds)
        if sys.platform == "linux":
            yield from memory_rows(Path(folder))


def draw(folder: Path, images: int, size: tuple[int, int]) -> Path:
    from densenets.data.synthetic import write_cityscapes_streets

    return write_cityscapes_streets(folder, images={"val": images}, size=size, progress=False)


# One image


def counting_rows(folder: Path, rounds: int) -> list[str]:
    split = open_segmentation(crowded(folder), "val")
    truth, numbers = (read(files[0]) for files in (split.masks, split.instances))  # type: ignore[index]
    what = f"{SIZE[0]}x{SIZE[1]} with {len(np.unique(numbers[numbers >= 1000]))} objects"
    found = []
    for name, ids in predictions(truth).items():
        file = write_prediction(folder / name, str(split.files[0]), ids)
        check_equal(file, split)
        scopes = {
            "matrix and objects, from three PNG files": from_files(file, split),
            "matrix and objects, from arrays": from_arrays(ids, split, objects=True),
            "matrix alone, from arrays": from_arrays(ids, split, objects=False),
        }
        for scope, sides in scopes.items():
            theirs, ours = take_turns(rounds, *sides)
            found.append(row(f"confusion of {what}, {name}: {scope}", theirs.seconds, ours.seconds))
    return found


def read(file: object) -> np.ndarray:
    return np.array(Image.open(str(file)))


def crowded(folder: Path) -> Path:
    """A set of one image: the four fullest of some scenes of half its sides. Cityscapes has 19 objects an image."""
    drawn = open_segmentation(draw(folder / "half", FEW, (SIZE[0] // 2, SIZE[1] // 2)), "val")
    assert drawn.instances is not None
    pairs = [(read(mask), read(numbers)) for mask, numbers in zip(drawn.masks, drawn.instances, strict=True)]
    pairs = sorted(pairs, key=lambda pair: len(np.unique(pair[1])))[-4:]
    numbers = [np.where(pair[1] >= 1000, pair[1] + 100 * place, pair[1]) for place, pair in enumerate(pairs)]
    parts = {"_gtFine_labelIds": [pair[0] for pair in pairs], "_gtFine_instanceIds": numbers}
    core = "val/quayside/quayside_000000_000019"
    for name, four in parts.items():
        save(folder / f"crowded/gtFine/{core}{name}.png", np.vstack([np.hstack(four[:2]), np.hstack(four[2:])]))
    save(folder / f"crowded/leftImg8bit/{core}_leftImg8bit.png", np.zeros((*SIZE, 3), dtype=np.uint8))
    return folder / "crowded"


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def predictions(truth: np.ndarray) -> dict[str, np.ndarray]:
    """(H, W) ids of files."""
    rng = np.random.default_rng(0)
    cells = (truth.shape[0] // CELL, truth.shape[1] // CELL)
    coarse, other = (
        part.repeat(CELL, 0).repeat(CELL, 1) for part in (rng.random(cells), rng.choice(CLASSES.ids, cells))
    )
    near = np.where(coarse < WRONG, other, np.roll(truth, MOVED, axis=1)).astype(np.uint8)
    return {"as a net's": near, "noise": rng.integers(0, len(LABELS), truth.shape).astype(np.uint8)}


def write_prediction(folder: Path, picture: str, ids: np.ndarray) -> Path:
    file = folder / Path(picture).name.replace("leftImg8bit", "prediction")
    save(file, ids)
    return file


Sides = tuple[Callable[[], object], Callable[[], object]]


def from_files(file: Path, split: SegmentationSplit) -> Sides:
    """Theirs reads and counts; ours finds the file and scores besides."""
    script = official()
    return partial(evaluate_pair, script, str(file), str(split.masks[0])), partial(judge_folder, file.parent, split)


def from_arrays(ids: np.ndarray, split: SegmentationSplit, objects: bool) -> Sides:
    """Ours has the truth's classes and objects, as its reader gives them; theirs the ids of the files."""
    assert split.instances is not None
    pixels = {"labelIds": read(split.masks[0]), "instanceIds": read(split.instances[0]), "prediction": ids}
    rules = rules_of(split, of_files=True)
    columns = torch.from_numpy(columns_of(split, rules).astype(np.uint8)[ids])
    truth = split.truth(0, instances=True)

    def theirs() -> None:
        script = official()
        script.args.evalInstLevelScore = objects
        before, script.Image = script.Image, SimpleNamespace(open=lambda name: Shown(pixels[name]))
        evaluate_pair(script, "prediction", "labelIds")
        script.Image, script.args.evalInstLevelScore = before, True

    if objects:
        return theirs, partial(count, columns, truth, rules)
    return theirs, partial(confusion, columns, truth.ids, *rules.shape)


class Shown:
    """An array that the official script takes for a picture."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.size = pixels, pixels.shape[::-1]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.pixels


def official() -> Any:
    """The evaluation in pure Python, silent; it was written for a NumPy that had `in1d`."""
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as script

    vars(np).setdefault("in1d", np.isin)
    script.CSUPPORT, script.args.quiet, script.args.JSONOutput = False, True, False
    return script


def evaluate_pair(script: Any, prediction: str, truth: str) -> None:
    """One image in the script's own unit: read, the matrix, and the instances for iIoU."""
    matrix = script.generateMatrix(script.args)
    script.evaluatePair(prediction, truth, matrix, script.generateInstanceStats(script.args), {}, script.args)


def check_equal(file: Path, split: SegmentationSplit) -> None:
    script, ours = official(), judge_folder(file.parent, split)
    theirs = script.evaluateImgLists([str(file)], [str(split.masks[0])], script.args)
    for name, word in (("mIoU", "averageScoreClasses"), ("iIoU", "averageScoreInstClasses")):
        assert abs(ours[name] - theirs[word]) < 1e-12, f"the two give another {name}"


# Many images


def memory_rows(folder: Path) -> list[str]:
    """Peaks of `eval-seg` in processes of their own, which load their pictures themselves."""
    few = draw(folder / "few", FEW, SIZE)
    many = multiplied(few, folder / "many")
    write_checkpoint(folder / "net.ckpt")
    peaks = [
        f"{FEW * times} images {run_job('evaluation', str(place)):.0f} MiB"
        for times, place in ((1, few), (TIMES, many))
    ]
    what = f"peak memory of eval-seg, V3-small + LR-ASPP, whole images of {SIZE[0]}x{SIZE[1]}"
    return [f"| {what} | | {', '.join(peaks)} | |"]


def multiplied(few: Path, many: Path) -> Path:
    """The same scenes under several names each."""
    for file in few.rglob("*_000019_*.png"):
        for number in range(TIMES):
            name = many / file.relative_to(few).with_name(file.name.replace("_000019_", f"_{number:06}_"))
            name.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, name)
    return many


def write_checkpoint(path: Path) -> None:
    """Of a net that has learned nothing."""
    from densenets.build import ModelDescription, build_from
    from densenets.config import SegmentationOptions

    description = ModelDescription(
        backbone="v3-small",
        head="lraspp",
        classes=list(CLASSES.names),
        category_ids=list(CLASSES.ids),
        canvas=SIZE,
        width=1.0,
        padding="torch",
        normalize="imagenet",
        reduced_tail=False,
        scale_last=True,
        weights=None,
        options=asdict(SegmentationOptions()),
        palette=CLASSES.colours().tolist(),
    )
    state = {f"model.{name}": value for name, value in build_from(description).state_dict().items()}
    torch.save({"state_dict": state, "densenets": description.plain()}, path)


def peak_evaluation(place: str) -> float:
    """MiB at most of a process that judges the checkpoint beside a data set on it."""
    from densenets.config import EvalSegmentation
    from densenets.run.segmentation import evaluate_segmentation

    checkpoint = Path(place).with_name("net.ckpt")
    settings = EvalSegmentation(checkpoint=str(checkpoint), data=place, workers=0, accelerator="cpu")
    evaluate_segmentation(settings)
    return resident("VmHWM")


JOBS: dict[str, Callable[[str], float]] = {"evaluation": peak_evaluation}
