"""The optimiser, the schedule of its learning rate, and the average of the weights."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from math import cos, pi
from typing import Any

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from densenets.config import Training
from densenets.training.together import from_first

EMA_WARMUP = 10  # the average forgets its start within some tens of steps, whatever its decay


def build_optimizer(model: nn.Module, recipe: Training) -> torch.optim.Optimizer:
    """The recipe's optimiser over the parameters that want a gradient."""
    groups = parameter_groups(model, recipe)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, recipe.lr, momentum=recipe.momentum)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, recipe.lr)
    # decay 0.9 and eps 1.0 are those of TensorFlow's recipes for these nets (papers: V1 and V2 SSD).
    return torch.optim.RMSprop(groups, recipe.lr, alpha=0.9, eps=1.0, momentum=recipe.momentum)


def parameter_groups(model: nn.Module, recipe: Training) -> list[dict[str, Any]]:
    """What decays, and what does not unless `decay_all`: norms, biases, depthwise filters (V1 paper); where the head's
    learning rate is another, the backbone's part of each stands before the head's."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for place, module in model.named_modules():
        of_head = recipe.head_lr != 1 and place.partition(".")[0] != "backbone"
        depthwise = isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        for parameter in module.parameters(recurse=False):
            free = (parameter.ndim == 1 or depthwise) and not recipe.decay_all
            if parameter.requires_grad:
                groups.setdefault((of_head, free), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": 0.0 if free else recipe.weight_decay,
            **({"lr": recipe.lr * recipe.head_lr} if of_head else {}),
        }
        for (of_head, free), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def learning_rate(recipe: Training, total: int) -> Callable[[int], float]:
    """Step -> factor of the recipe's learning rate over `total` steps: a linear warm-up, then the schedule."""
    warmup = min(recipe.warmup, total // 2)  # a run shorter than its warm-up still has to come down

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min((step - warmup) / max(total - warmup, 1), 1.0)
        if recipe.schedule == "cosine":
            return (1 + cos(pi * done)) / 2
        if recipe.schedule == "poly":
            return (1 - done) ** recipe.power
        if recipe.schedule == "step":
            return recipe.gamma ** bisect_right(sorted(recipe.milestones), step / total)
        return 1.0

    return factor


class EMA(L.Callback):
    """An exponential moving average of weights and BatchNorm statistics: judged, and saved as `averaged`.

    The decay rises with the number of updates, min(decay, (1 + n) / (10 + n)), so that short runs gain too.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.step = 0
        self.averaged: dict[str, Tensor] = {}
        self.trained: dict[str, Tensor] = {}

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self.averaged:
            self.averaged = _copy(pl_module.state_dict())
        self.averaged = {name: value.to(pl_module.device) for name, value in self.averaged.items()}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.global_step == self.step:  # gradients are still being accumulated
            return
        self.step = trainer.global_step
        weight = 1 - min(self.decay, (1 + self.updates) / (EMA_WARMUP + self.updates))
        self.updates += 1
        with torch.no_grad():
            self._follow(pl_module.state_dict(), weight)

    def _follow(self, state: dict[str, Tensor], weight: float) -> None:
        names = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.averaged[n] for n in names], [state[n] for n in names], weight)
        for name in state.keys() - set(names):
            self.averaged[name].copy_(state[name])

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:  # a validation of its own judges the weights it was given
            from_first([*self.averaged.values()])
            self.trained = _copy(pl_module.state_dict())
            pl_module.load_state_dict(self.averaged)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.trained:
            pl_module.load_state_dict(self.trained)
            self.trained = {}

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["averaged"] = _copy(self.averaged)
        checkpoint["ema"] = {"updates": self.updates, "step": self.step}

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        if "averaged" in checkpoint:
            self.averaged = dict(checkpoint["averaged"])
            self.updates, self.step = checkpoint["ema"]["updates"], checkpoint["ema"]["step"]


class SameStatistics(L.Callback):
    """Before validation every process gets the first one's BatchNorm statistics, which are the ones that are saved."""

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        from_first([*pl_module.buffers()])


def _copy(state: Iterable[tuple[str, Tensor]] | dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in dict(state).items()}
