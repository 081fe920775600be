"""A trained model from its checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from densenets.build import ModelDescription, build_from, check_shapes, load_state, read_description
from densenets.contract import size_told
from densenets.errors import InputError, printable
from densenets.heads import refuse_other_task
from densenets.run.folder import find_checkpoint
from densenets.training.durable import read_checkpoint

SHOWN = 12  # names of classes
PREFIX = "model."  # of the model's weights inside the Lightning module


def load(path: str, task: str | None = None) -> tuple[nn.Module, ModelDescription]:
    """The model of a run folder or checkpoint in evaluation mode, averaged weights where it has them.

    task: what it has to be for. Raises InputError for whatever is not such a checkpoint; runs nothing that the file
    contains.
    """
    file = find_checkpoint(path)
    checkpoint = read_checkpoint(file)
    description = read_description(checkpoint.get("densenets"), str(file))
    if task:
        refuse_other_task(description.head, task, path, "--checkpoint")
    state = judged_state(checkpoint, str(file))
    check_shapes(description, state, str(file))
    model = build_from(description)
    load_state(model, state, str(file))
    return model.eval(), description


def judged_state(checkpoint: dict[str, Any], source: str = "checkpoint") -> dict[str, torch.Tensor]:
    """The weights that validation judged: the averaged ones, else the trained ones. Raises InputError: no tensors."""
    state = checkpoint.get("averaged") or checkpoint.get("state_dict") or {}
    if not isinstance(state, dict) or not all(_named(item) for item in state.items()):
        raise InputError(f"{printable(source)}: its weights are no tensors by name")
    return {name.removeprefix(PREFIX): value for name, value in state.items()}


def _named(item: tuple[object, object]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], torch.Tensor)


def describe(description: ModelDescription, model: nn.Module) -> str:
    """The model in one line; padding and scaling stand there because no weights file can tell them."""
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return (
        f"{description.backbone} x {description.width:g} + {description.head}, {len(description.classes)} classes, "
        f"{size_told(description.canvas)}, {millions:.2f} M parameters; padding {description.padding}, "
        f"normalize {description.normalize}, weights {printable(Path(description.weights or 'none').name)}"
    )


def listed(classes: Sequence[str]) -> str:
    """Their names, the first of many."""
    names = [printable(name) for name in classes[:SHOWN]]
    return ", ".join([*names, f"and {len(classes) - SHOWN} more"] if len(classes) > SHOWN else names)
