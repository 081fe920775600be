"""Bench of SSDLite-V3-large: one training step, one image from tensor to boxes, decode + augmentation, memory."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from bench_measure import Action, memory_row, peak_of, row, take_turns, training_step
from torch import Tensor

from densenets.boxes import NMS_POOL
from densenets.build import load_torchvision
from densenets.contract import Boxes, Detections
from densenets.heads.ssd import SSD

SIZE, BATCH, OBJECTS = 320, 16, 8
SPREAD = 1.0  # of the class predictors: scores as peaked as a trained net's, most of them near 0


def rows(folder: Path | None, rounds: int, compiled: bool) -> Iterator[str]:
    """folder: of pictures to load; else real ones, else scenes."""
    yield from training_rows(rounds, compiled)
    yield from inference_rows(rounds * 4)
    yield from loading_rows(folder, rounds)
    if sys.platform == "linux":
        yield memory_row(f"peak memory, training at batch {BATCH}", "detection-train")
        yield memory_row("peak memory, one image", "detection-infer")


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
    medians = [took.seconds for took in take_turns(rounds, *training_steps(compiled))]
    found = [row(what, medians[0], medians[1])]
    return [*found, row(f"{what}, --compile", medians[0], medians[2])] if compiled else found


def inference_rows(rounds: int) -> list[str]:
    """As torchvision selects (the same detections, which is checked), and as densenets does by default."""
    theirs, ours = models()
    theirs.eval()
    ours.eval()
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    found = []
    for top_k, candidates, note in (("per-class", 300, "same detections"), ("global", 400, "default")):
        ours.options.top_k, ours.options.candidates = top_k, candidates  # type: ignore[assignment]
        with torch.inference_mode():
            raw = ours.raw(image)
            if top_k == "per-class":
                check_equal(theirs([image[0]])[0], ours(image))
            entering = int((ours.decode_scores(raw[0]) > ours.options.score_threshold).sum())
            after = partial(ours.decode, *raw)
            took = take_turns(rounds, lambda: theirs([image[0]]), lambda: ours(image), after)
        whole = [side.seconds for side in took]
        pool = min(entering, NMS_POOL if top_k == "per-class" else candidates)
        what = f"one image, tensor to boxes, top-k {top_k} ({note}); {pool} of {entering} scores go into NMS"
        found.append(row(what, whole[0], whole[1]))
        found.append(f"| of that, ours after the network | | {whole[2] * 1e3:.1f} ms, {whole[2] / whole[1]:.0%} | |")
    return found


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
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = []
    for recipe in ("ssdlite", "ssd"):
        sides = [partial(theirs_load, files, recipe, backend) for backend in ("pil", "tensor")]
        took = take_turns(max(3, rounds // 3), *sides, partial(ours_load, files, recipe))
        seconds = [side.seconds for side in took]
        theirs, backend = min(zip(seconds, ("pil", "tensor"), strict=False))
        what = (
            f"decode + augmentation `{recipe}`, one worker, {len(files)} pictures of {folder.name} ({backend} backend)"
        )
        rates = len(files) / theirs, len(files) / seconds[2]
        found.append(f"| {what} | {rates[0]:.0f}/s | {rates[1]:.0f}/s | {rates[1] / rates[0]:.2f} |")
    torch.set_num_threads(threads)
    return found


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


def peak_training(side: str) -> float:
    return peak_of(training_steps(False)[int(side)])


def peak_inference(side: str) -> float:
    theirs, ours = (model.eval() for model in models())
    image = torch.rand(1, 3, SIZE, SIZE)
    actions: tuple[Action, Action] = (lambda: theirs([image[0]]), lambda: ours(image))
    with torch.inference_mode():
        return peak_of(actions[int(side)])


JOBS: dict[str, Callable[[str], float]] = {"detection-train": peak_training, "detection-infer": peak_inference}
