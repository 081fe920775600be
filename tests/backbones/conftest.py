"""Nets whose outputs say something: with random weights and statistics from data, not BatchNorm's defaults."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn


def _liven(module: nn.Module, size: int = 64, images: Tensor | None = None) -> nn.Module:
    """Random affine terms, running statistics from `images` or a random batch, logits of order 1; in evaluation mode.

    `images` must be scaled as the net's inputs will be: statistics of others make V3's activations explode.
    """
    torch.manual_seed(1)
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.2)
        norm.momentum = 1.0
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.normal_(layer.bias, std=0.1)
    with torch.no_grad():
        module.train()(torch.rand(4, 3, size, size) if images is None else images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return module.eval()


@pytest.fixture
def liven() -> Callable[..., nn.Module]:
    return _liven
