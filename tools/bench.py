#!/usr/bin/env python
"""Side by side with torchvision: one training step, one image from tensor to boxes, decode + augmentation, memory.

Both sides run in one process and take turns; a figure is the median, a ratio is torchvision's time over ours. Peak
memory is measured in a process of its own for each side. Prints a table on stdout.

    tools/bench.py [--images FOLDER] [--rounds 15]
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import cast

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import numpy as np
import torch
from torch import Tensor

from densenets.boxes import NMS_POOL
from densenets.build import load_torchvision
from densenets.contract import Boxes, Detections
from densenets.heads.ssd import SSD

SIZE, BATCH, OBJECTS = 320, 16, 8
SPREAD = 1.0  # of the class predictors: scores as peaked as a trained net's, most of them near 0
Action = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder of pictures; else real ones, else scenes")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--compile", action="store_true", help="time the training step under torch.compile too")
    parser.add_argument("--memory", choices=["train-ours", "train-theirs", "infer-ours", "infer-theirs"])
    options = parser.parse_args()
    if options.memory:
        print(peak_memory(options.memory))
        return
    machine = f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads"
    rows = [*training_rows(options.rounds, options.compile), *inference_rows(options.rounds * 4)]
    rows += loading_rows(options.images, options.rounds)
    rows += memory_rows() if sys.platform == "linux" else []
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "albumentations", "pillow"))
    print(f"{machine}; {versions}; medians of {options.rounds} rounds taken in turns\n")
    print("| what | torchvision | densenets | ratio |\n|---|---|---|---|")
    print("\n".join(rows))


def take_turns(rounds: int, *actions: Action) -> list[float]:
    """Median seconds of each, after two rounds to warm up."""
    times: list[list[float]] = [[] for _ in actions]
    for turn in range(rounds + 2):
        for action, own in zip(actions, times, strict=True):
            started = time.perf_counter()
            action()
            if turn >= 2:
                own.append(time.perf_counter() - started)
    return [statistics.median(own) for own in times]


def row(what: str, theirs: float, ours: float, unit: str = "ms", scale: float = 1e3) -> str:
    return f"| {what} | {theirs * scale:.1f} {unit} | {ours * scale:.1f} {unit} | {theirs / ours:.2f} |"


def models() -> tuple[torch.nn.Module, SSD]:
    """torchvision's SSDLite as it comes, and ours with the same weights; BatchNorm has seen data."""
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    torch.manual_seed(0)
    theirs = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    for layer in theirs.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    for predictor in theirs.head.classification_head.module_list:
        torch.nn.init.normal_(predictor[-1].weight, std=SPREAD)
    with torch.no_grad():
        for _ in range(20):
            theirs.head(list(theirs.backbone(torch.rand(4, 3, SIZE, SIZE) * 2 - 1).values()))
    with tempfile.TemporaryDirectory() as folder:
        torch.save(theirs.state_dict(), Path(folder) / "theirs.pth")
        ours = cast(SSD, load_torchvision(Path(folder) / "theirs.pth"))
    return theirs, ours


def training_step(model: torch.nn.Module, losses: Callable[[], dict[str, Tensor]]) -> Action:
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        sum(losses().values()).backward()  # type: ignore[union-attr]
        optimizer.step()

    return step


def training_steps(compiled: bool) -> list[Action]:
    theirs, ours = models()
    images, corners = torch.rand(BATCH, 3, SIZE, SIZE), torch.rand(BATCH, OBJECTS, 2, 2)
    boxes = torch.cat([corners.amin(2), corners.amax(2) + 0.05], dim=2).clamp(max=1) * SIZE
    labels = torch.randint(0, 90, (BATCH, OBJECTS))
    for_theirs = [{"boxes": b, "labels": x + 1} for b, x in zip(boxes, labels, strict=True)]
    for_ours = [Boxes(b, x) for b, x in zip(boxes, labels, strict=True)]
    moved = images.contiguous(memory_format=torch.channels_last)
    theirs.train()
    ours.train()
    steps = [
        training_step(theirs, lambda: theirs(list(images), for_theirs)),
        training_step(ours, lambda: ours.losses(moved, for_ours)),
    ]
    if compiled:
        third = models()[1].train()
        third.raw = torch.compile(third.raw)  # type: ignore[method-assign]
        steps.append(training_step(third, lambda: third.losses(moved, for_ours)))
    return steps


def training_rows(rounds: int, compiled: bool) -> list[str]:
    what = f"training step, SSDLite-V3-large {SIZE} px, batch {BATCH}"
    medians = take_turns(rounds, *training_steps(compiled))
    rows = [row(what, medians[0], medians[1])]
    return [*rows, row(f"{what}, --compile", medians[0], medians[2])] if compiled else rows


def inference_rows(rounds: int) -> list[str]:
    """As torchvision selects (the same detections, which is checked), and as densenets does by default."""
    theirs, ours = models()
    theirs.eval()
    ours.eval()
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    rows = []
    for top_k, candidates, note in (("per-class", 300, "same detections"), ("global", 400, "default")):
        ours.options.top_k, ours.options.candidates = top_k, candidates  # type: ignore[assignment]
        with torch.inference_mode():
            raw = ours.raw(image)
            if top_k == "per-class":
                check_equal(theirs([image[0]])[0], ours(image))
            entering = int((ours.decode_scores(raw[0]) > ours.options.score_threshold).sum())
            after = partial(ours.decode, *raw)
            whole = take_turns(rounds, lambda: theirs([image[0]]), lambda: ours(image), after)
        pool = min(entering, NMS_POOL if top_k == "per-class" else candidates)
        what = f"one image, tensor to boxes, top-k {top_k} ({note}); {pool} of {entering} scores go into NMS"
        rows.append(row(what, whole[0], whole[1]))
        rows.append(f"| of that, ours after the network | | {whole[2] * 1e3:.1f} ms, {whole[2] / whole[1]:.0%} | |")
    return rows


def check_equal(theirs: dict[str, Tensor], ours: Detections) -> None:
    count = len(theirs["scores"])
    assert torch.allclose(theirs["scores"], ours.scores[0, :count], atol=1e-4), "the two give different scores"
    assert torch.equal(theirs["labels"] - 1, ours.labels[0, :count]), "the two give different labels"


def loading_rows(folder: Path | None, rounds: int) -> list[str]:
    """Decode and augment the same pictures, one worker, both recipes; torchvision by the faster of its two backends."""
    if folder is None and (real := os.environ.get("DENSENETS_REAL_DATA")):
        folder = Path(real) / "coco_mini" / "val2017"
    if folder is None:
        from densenets.run.data import streets_folder

        folder = streets_folder() / "train"
    files = sorted(folder.glob("*.jpg"))[:50]
    torch.set_num_threads(1)
    rows = []
    for recipe in ("ssdlite", "ssd"):
        sides = [partial(theirs_load, files, recipe, backend) for backend in ("pil", "tensor")]
        seconds = take_turns(max(3, rounds // 3), *sides, partial(ours_load, files, recipe))
        theirs, backend = min(zip(seconds, ("pil", "tensor"), strict=False))
        what = (
            f"decode + augmentation `{recipe}`, one worker, {len(files)} pictures of {folder.name} ({backend} backend)"
        )
        rates = len(files) / theirs, len(files) / seconds[2]
        rows.append(f"| {what} | {rates[0]:.0f}/s | {rates[1]:.0f}/s | {rates[1] / rates[0]:.2f} |")
    return rows


def some_boxes(width: int, height: int) -> np.ndarray:
    corners = np.random.default_rng(0).random((OBJECTS, 2, 2))
    unit = np.concatenate([corners.min(1) * 0.8, corners.max(1) * 0.8 + 0.15], axis=1)
    return (unit * [width, height, width, height]).astype(np.float32)


def theirs_load(files: list[Path], recipe: str, backend: str) -> None:
    """torchvision's reference presets for detection, and the resize that its model does."""
    import torchvision.transforms.v2 as v2
    from PIL import Image
    from torchvision import tv_tensors

    colour = [v2.RandomPhotometricDistort(), v2.RandomZoomOut(fill=(123, 117, 104))] if recipe == "ssd" else []
    first = [v2.ToImage()] if backend == "tensor" else []
    steps = [*first, *colour, v2.RandomIoUCrop(), v2.RandomHorizontalFlip(), v2.ToImage()]
    tail = [v2.ToDtype(torch.float32, scale=True), v2.SanitizeBoundingBoxes(), v2.Resize((SIZE, SIZE), antialias=False)]
    transform = v2.Compose([*steps, *tail])
    for file in files:
        image = Image.open(file).convert("RGB")
        boxes = torch.from_numpy(some_boxes(*image.size))
        boxes = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=image.size[::-1])
        transform(image, {"boxes": boxes, "labels": torch.zeros(OBJECTS, dtype=torch.int64)})


def ours_load(files: list[Path], recipe: str) -> None:
    from densenets.data.decode import read_image
    from densenets.data.transforms import build_augmentation

    augment = build_augmentation(recipe, (SIZE, SIZE))
    for index, file in enumerate(files):
        image = read_image(file)
        canvas, _, _ = augment(image, some_boxes(image.shape[1], image.shape[0]), index)
        torch.from_numpy(canvas).permute(2, 0, 1)


def memory_rows() -> list[str]:
    rows = []
    for job, what in (("train", f"peak memory, training at batch {BATCH}"), ("infer", "peak memory, one image")):
        theirs, ours = (float(run_self(f"{job}-{side}")) for side in ("theirs", "ours"))
        rows.append(row(what, theirs, ours, "MiB", 1))
    return rows


def run_self(job: str) -> str:
    command = [sys.executable, __file__, "--memory", job]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def peak_memory(job: str) -> float:
    """MiB that the job adds to what the process holds with the models made; Linux only."""
    what, _, side = job.partition("-")
    index = 0 if side == "theirs" else 1
    if what == "train":
        action = training_steps(False)[index]
    else:
        theirs, ours = (model.eval() for model in models())
        image = torch.rand(1, 3, SIZE, SIZE)
        action = (lambda: theirs([image[0]])) if side == "theirs" else (lambda: ours(image))
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    before = resident("VmRSS")
    for _ in range(3):
        with torch.inference_mode(what == "infer"):
            action()
    return resident("VmHWM") - before


def resident(key: str) -> float:
    """MiB, by Linux's own account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


if __name__ == "__main__":
    main()
