"""Bench of Faster R-CNN on V3-large: one training step, one image from tensor to boxes, windows of a map."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import torch
from bench_detection import check_equal
from bench_measure import Action, row, take_turns, training_step
from torch import nn

from densenets.build import build_model, load_torchvision
from densenets.config import RCNNOptions
from densenets.contract import Boxes
from densenets.heads.faster_rcnn import TwoStage
from densenets.heads.windows import windows

SIZE, BATCH, OBJECTS, CLASSES = 320, 8, 8, 90
PYRAMIDS = {"full": "our pyramid", "light": "our light pyramid"}


def rows(rounds: int) -> Iterator[str]:
    yield from training_rows(rounds)
    yield from inference_rows(rounds * 3)
    yield windows_row(rounds)


def models() -> tuple[nn.Module, TwoStage]:
    """torchvision's 320 px form as it comes, and ours with the same weights and settings; BatchNorm has seen data."""
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    torch.manual_seed(0)
    theirs = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
    for layer in theirs.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    with torch.no_grad():
        for _ in range(10):
            theirs.backbone(theirs.transform(list(torch.rand(4, 3, SIZE, SIZE)))[0].tensors)
    head, predictor = theirs.rpn.head, theirs.roi_heads.box_predictor
    spread = ((head.cls_logits, 0.05), (head.bbox_pred, 0.01), (predictor.cls_score, 1.5), (predictor.bbox_pred, 0.05))
    for layer, size in spread:
        nn.init.normal_(layer.weight, std=size)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(theirs.state_dict(), Path(folder) / "theirs.pth")
        ours = cast(TwoStage, load_torchvision(Path(folder) / "theirs.pth", SIZE))
    return theirs, ours


def own(fpn: str) -> TwoStage:
    options = RCNNOptions(fpn=fpn)  # type: ignore[arg-type]
    return cast(TwoStage, build_model("v3-large", "faster-rcnn-fpn", CLASSES, size=SIZE, options=options))


def training_rows(rounds: int) -> Iterator[str]:
    theirs, ours = models()
    sides = [ours, *map(own, PYRAMIDS)]
    images, corners = torch.rand(BATCH, 3, SIZE, SIZE), torch.rand(BATCH, OBJECTS, 2, 2)
    boxes = torch.cat([corners.amin(2), corners.amax(2) + 0.05], dim=2).clamp(max=1) * SIZE
    labels = torch.randint(0, CLASSES, (BATCH, OBJECTS))
    for_theirs = [{"boxes": b, "labels": x + 1} for b, x in zip(boxes, labels, strict=True)]
    for_ours = [Boxes(b, x) for b, x in zip(boxes, labels, strict=True)]
    moved = images.contiguous(memory_format=torch.channels_last)
    steps = [training_step(theirs.train(), lambda: theirs(list(images), for_theirs))]
    steps += [training_step(side.train(), partial(side.losses, moved, for_ours)) for side in sides]
    seconds = [took.seconds for took in take_turns(rounds, *steps)]
    what = f"training step, Faster R-CNN V3-large {SIZE} px, batch {BATCH}"
    for name, took in zip(("the same net", *PYRAMIDS.values()), seconds[1:], strict=True):
        yield row(f"{what}, {name}", seconds[0], took)


def inference_rows(rounds: int) -> Iterator[str]:
    theirs, ours = models()
    sides = [side.eval() for side in (ours, *map(own, PYRAMIDS))]
    theirs.eval()
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        check_equal(theirs([image[0]])[0], ours(image))
        actions: list[Action] = [lambda: theirs([image[0]]), *[partial(side, image) for side in sides]]
        seconds = [took.seconds for took in take_turns(rounds, *actions)]
    for name, took in zip(("the same detections", *PYRAMIDS.values()), seconds[1:], strict=True):
        yield row(f"one image, tensor to boxes, Faster R-CNN V3-large {SIZE} px, {name}", seconds[0], took)


def windows_row(rounds: int) -> str:
    """128 windows of 7x7 cells in each of 4 images, from a map of 20x20 cells and 256 channels, and their gradient."""
    from torchvision.ops import roi_align

    x = torch.randn(4, 256, 20, 20).contiguous(memory_format=torch.channels_last).requires_grad_()
    corners = torch.rand(512, 2) * 200
    places = torch.cat([corners, corners + torch.rand(512, 2) * 120], dim=1).split(128)
    gradient = torch.randn(512, 256, 7, 7)

    def once(cut: Callable[[], torch.Tensor]) -> None:
        x.grad = None
        cut().backward(gradient)

    theirs = partial(once, lambda: roi_align(x, list(places), 7, 1 / 16, sampling_ratio=2))
    ours = partial(once, lambda: windows(x, places, 7, 16, 2))
    seconds = [took.seconds for took in take_turns(rounds, theirs, ours)]
    return row("512 windows of 7x7 cells and 256 channels, with gradient (roi_align)", seconds[0], seconds[1])
