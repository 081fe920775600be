"""Bench of LR-ASPP on V3-large against torchvision's as it comes: training steps, inference, memory of a step.

Ours is timed in three forms: the paper's, which `--head lraspp` trains, with its reduced tail (RF2, V3 Table 7) and
with the tail that ImageNet weights have; and torchvision's own with its weights, whose logits are checked to be equal.
Torchvision's images are normalised before the clock starts; ours normalises itself.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import torch
from bench_measure import Action, Took, memory_row, peak_of, row, take_turns, training_step
from torch import Tensor, nn
from torch.nn import functional

from densenets.build import build_model, load_torchvision
from densenets.contract import IGNORED, Mask
from densenets.heads.segmentation import Segmentation

CLASSES, BATCH, CROP = 19, 4, (512, 1024)
SIZES = ((512, 1024), (1024, 2048))  # of single images
BLOCK = 16  # px: the sides of the truth's pieces
FORMS = ("`lraspp --reduced-tail`", "`lraspp`", "`lraspp-torchvision`")


def rows(rounds: int) -> Iterator[str]:
    for size in SIZES:
        yield from inference_rows(max(3, rounds // 2), size)
    yield from training_rows(max(3, rounds // 3))
    if sys.platform == "linux":
        yield memory_row(f"peak memory, training step of {sized(CROP, BATCH)}", "segmentation-train")


def sized(size: tuple[int, int], batch: int = 1) -> str:
    return f"{batch}x{size[0]}x{size[1]}"


def models() -> tuple[nn.Module, *tuple[Segmentation, ...]]:
    """torchvision's, then FORMS, the last with the same weights; BatchNorm has seen data."""
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    torch.manual_seed(0)
    theirs = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES)
    settle(theirs, torch.rand(4, 3, 128, 256) * 4 - 2)
    paper = [
        cast(Segmentation, build_model("v3-large", "lraspp", CLASSES, size=CROP, reduced_tail=reduced))
        for reduced in (True, False)
    ]
    for ours in paper:
        settle(ours, torch.rand(4, 3, 128, 256))
    with tempfile.TemporaryDirectory() as folder:
        torch.save(theirs.state_dict(), Path(folder) / "theirs.pth")
        same = cast(Segmentation, load_torchvision(Path(folder) / "theirs.pth"))
    return theirs, *paper, same


def settle(model: nn.Module, images: Tensor) -> None:
    """Every BatchNorm takes the statistics of one batch."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def normalised(images: Tensor, model: Segmentation) -> Tensor:
    return model.backbone.normalize(images).contiguous()


def training_steps() -> list[Action]:
    """torchvision's with the loss of its reference script, and ours, on the same images and masks."""
    theirs, *ours = models()
    images = torch.rand(BATCH, 3, *CROP)
    blocks = torch.randint(-1, CLASSES, (BATCH, CROP[0] // BLOCK, CROP[1] // BLOCK))  # -1: of no class
    ids = blocks.repeat_interleave(BLOCK, 1).repeat_interleave(BLOCK, 2)
    ids = ids.where(ids >= 0, IGNORED)
    given, moved = normalised(images, ours[0]), images.contiguous(memory_format=torch.channels_last)
    masks = [Mask(part) for part in ids.to(torch.uint8)]
    theirs.train()

    def entropy() -> dict[str, Tensor]:
        return {"loss": functional.cross_entropy(theirs(given)["out"], ids, ignore_index=IGNORED)}

    def step(model: Segmentation) -> Action:
        return training_step(model.train(), lambda: model.losses(moved, masks))

    return [training_step(theirs, entropy), *map(step, ours)]


def training_rows(rounds: int) -> list[str]:
    theirs, *ours = take_turns(rounds, *training_steps())
    found = []
    for form, own in zip(FORMS, ours, strict=True):
        found.append(row(f"training step, LR-ASPP-V3-large {sized(CROP, BATCH)}, {form}", theirs.seconds, own.seconds))
        found.append(system_row(theirs, own))
    return found


def system_row(theirs: Took, ours: Took) -> str:
    """Of both threads together, so that it may be more than half of the step."""
    sides = " | ".join(f"{took.system * 1e3:.0f} ms" for took in (theirs, ours))
    return f"| the system's part, which hands out pages, all threads together | {sides} | |"


def inference_rows(rounds: int, size: tuple[int, int]) -> list[str]:
    theirs, *ours = (model.eval() for model in models())
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    given = normalised(image, cast(Segmentation, ours[0]))
    with torch.inference_mode():
        check_equal(theirs(given)["out"], ours[-1](image))
        took = take_turns(rounds, lambda: theirs(given), *[partial(model, image) for model in ours])
    what = f"inference, LR-ASPP-V3-large {sized(size)}, logits at that size"
    return [row(f"{what}, {form}", took[0].seconds, own.seconds) for form, own in zip(FORMS, took[1:], strict=True)]


def check_equal(theirs: Tensor, ours: Tensor) -> None:
    assert theirs.shape == ours.shape, "the two give logits of different sizes"
    assert torch.allclose(theirs, ours, atol=1e-4 * float(theirs.abs().max())), "the two give different logits"


def peak_training(side: str) -> float:
    return peak_of(training_steps()[int(side)])


JOBS: dict[str, Callable[[str], float]] = {"segmentation-train": peak_training}
