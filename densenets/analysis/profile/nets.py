"""The nets that are measured: trained ones from checkpoints, fresh ones from words."""

import itertools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from densenets.backbones import BACKBONES
from densenets.backbones.base import initialize
from densenets.build import ModelDescription, build_from, canvas_of, in_px
from densenets.config import Profile
from densenets.config.detection import options_of, tell_without_effect
from densenets.errors import InputError, printable
from densenets.files import free_name
from densenets.heads import HEADS, task_of
from densenets.run.folder import find_checkpoint, name_of
from densenets.run.model import load
from densenets.run.segmentation import size_of_validation

log = logging.getLogger(__name__)


class Net(NamedTuple):
    """checkpoint: the file it came from; None of a fresh one."""

    model: nn.Module
    description: ModelDescription
    checkpoint: Path | None


def nets_of(settings: Profile) -> dict[str, Net]:
    """By names, each of them once. Raises InputError."""
    if not settings.checkpoint:
        _refuse_unknown("backbone", settings.backbone, BACKBONES)
        _refuse_unknown("head", settings.head, HEADS)
        pairs = itertools.product(dict.fromkeys(settings.backbone), dict.fromkeys(settings.head))
        described = [_describe(settings, backbone, head) for backbone, head in pairs]
        return {_name(one): Net(fresh(one), one, None) for one in described}
    found: dict[str, Net] = {}
    for place in settings.checkpoint:
        name = free_name(name_of(find_checkpoint(place)), found)
        found[name] = _loaded(name, place, settings.size)
    return found


def fresh(description: ModelDescription) -> nn.Module:
    """In evaluation mode, with seeded weights for measuring.

    Filters before a BatchNorm follow He's rule, as its statistics are none yet: under those that training starts with
    the values would shrink from layer to layer, until processors slow down over numbers next to nothing.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_from(replace(description, weights=None))
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is None:
                initialize(layer)
    return model.eval()


def _refuse_unknown(flag: str, words: Sequence[str], known: Iterable[str]) -> None:
    for word in words:
        if word not in known:
            raise InputError(f"--{flag}: {printable(word)}: expected one of {', '.join(known)}")


def _name(description: ModelDescription) -> str:
    height, width = description.canvas
    size = str(height) if height == width else f"{height}x{width}"
    return f"{description.backbone}-{description.head}-{size}"


def _describe(settings: Profile, backbone: str, head: str) -> ModelDescription:
    segments = task_of(head) == "segmentation"
    if not segments:
        tell_without_effect(head, settings.ssd, settings.rcnn)
    options = settings.seg if segments else options_of(head, settings.ssd, settings.rcnn)
    return ModelDescription(
        backbone=backbone,
        head=head,
        classes=[f"class {number}" for number in range(settings.num_classes)],
        category_ids=list(range(settings.num_classes)),
        canvas=canvas_of(320 if settings.size is None else settings.size, "--size"),
        width=settings.width,
        padding="torch",
        normalize="imagenet",
        reduced_tail=settings.reduced_tail,
        scale_last=not segments,
        weights=None,
        options=asdict(options),
    )


def _loaded(name: str, place: str, size: int | list[int] | None) -> Net:
    """As the run's best checkpoint has it; `size` is a segmenter's alone."""
    model, description = load(place)
    if task_of(description.head) == "segmentation":
        canvas, told = _seen(place, size, description.canvas)
        log.info("%s: measured at %s", name, told)
        description = replace(description, canvas=canvas)
    elif size is not None:
        raise InputError(f"--size: {printable(place)}: a detector sees pictures on the canvas of its training")
    return Net(model, description, find_checkpoint(place))


def _seen(place: str, asked: int | list[int] | None, crops: tuple[int, int]) -> tuple[tuple[int, int], str]:
    """(H, W) px that a trained segmenter is measured at, and that in words with where it comes from."""
    if asked is not None:
        return (canvas := canvas_of(asked, "--size")), f"{in_px(canvas)}, as --size says"
    if (seen := size_of_validation(place)) is not None:
        return seen, f"{in_px(seen)}, as in its validation; --size H W names another"
    return crops, f"the size of its crops, {in_px(crops)}; --size H W names another"
