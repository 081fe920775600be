"""Optimiser groups, schedules and the averaged weights."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from densenets.config import TrainDetection
from densenets.layers import InvertedResidual
from densenets.training.recipe import EMA, build_optimizer, learning_rate, parameter_groups


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1))


def test_norms_biases_and_depthwise_filters_do_not_decay() -> None:
    model = net()
    decaying, free = parameter_groups(model, TrainDetection(weight_decay=0.1))
    assert [p.shape for p in decaying["params"]] == [model[0].weight.shape, model[3].weight.shape]
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert len(free["params"]) == 6


def test_all_decay_by_flag_and_frozen_ones_are_left_out() -> None:
    model = net()
    model[0].requires_grad_(False)
    groups = parameter_groups(model, TrainDetection(weight_decay=0.1, decay_all=True))
    assert [len(group["params"]) for group in groups] == [6]


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adamw", "AdamW"), ("rmsprop", "RMSprop")])
def test_optimizers(name: str, kind: str) -> None:
    optimizer = build_optimizer(net(), TrainDetection(optimizer=name, lr=0.3))  # type: ignore[arg-type]
    assert type(optimizer).__name__ == kind
    assert {group["lr"] for group in optimizer.param_groups} == {0.3}


def test_schedules_by_hand() -> None:
    def factors(**recipe: object) -> list[float]:
        factor = learning_rate(TrainDetection(**recipe), 100)  # type: ignore[arg-type]
        return [factor(step) for step in (0, 4, 9, 10, 55, 100)]

    rise = [1 / 11, 5 / 11, 10 / 11]
    assert factors(warmup=10, schedule="cosine") == pytest.approx([*rise, 1.0, 0.5, 0.0])
    assert factors(warmup=10, schedule="poly", power=0.9) == pytest.approx([*rise, 1.0, 0.5**0.9, 0.0])
    assert factors(warmup=10, schedule="constant") == pytest.approx([*rise, 1.0, 1.0, 1.0])
    assert factors(warmup=0, schedule="step", milestones=[0.5, 0.8]) == pytest.approx([1, 1, 1, 1, 0.1, 0.01])


def test_a_run_shorter_than_its_warmup_still_comes_down() -> None:
    factor = learning_rate(TrainDetection(warmup=1000), 10)
    assert max(factor(step) for step in range(10)) == 1.0
    assert factor(9) < 0.2
    assert factor(0) > 0


def test_a_depthwise_filter_is_recognised_inside_a_block() -> None:
    block = InvertedResidual(8, 16, 8)
    decaying, _ = parameter_groups(block, TrainDetection(weight_decay=0.1))
    assert sorted(tuple(p.shape) for p in decaying["params"]) == [(8, 16, 1, 1), (16, 8, 1, 1)]


def test_the_learning_rate_reaches_the_optimizer() -> None:
    recipe = TrainDetection(warmup=0, lr=0.5, schedule="cosine")
    optimizer = build_optimizer(net(), recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate(recipe, 2))
    optimizer.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.25)


def test_the_average_by_hand() -> None:
    """Weights 1 to n = 1, 2 updates: decay min(0.9, 1/10) and min(0.9, 2/11)."""
    average = EMA(0.9)
    average.averaged = {"w": torch.tensor([0.0]), "n": torch.tensor(0)}
    trainer, module = SimpleNamespace(global_step=0), SimpleNamespace()
    for step, value in ((1, 1.0), (1, 100.0), (2, 2.0)):  # the second call is within one accumulation: no update
        trainer.global_step = step
        module.state_dict = lambda value=value, step=step: {"w": torch.tensor([value]), "n": torch.tensor(step)}
        average.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
    first = 0.9 * 1.0
    assert average.averaged["w"].item() == pytest.approx(first * 2 / 11 + 2.0 * 9 / 11)
    assert average.averaged["n"] == 2
