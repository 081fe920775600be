"""--compile: all layers of a training step are in what torch compiles, and the losses stay what they are.

A backend that runs what it is given takes the compiler's place: that takes minutes, and is torch's own.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densenets.config import SegmentationOptions, TrainSegmentation
from densenets.contract import Mask
from densenets.run.training import _build, _describe


class Train:
    """As much of a split as a description of a model asks for."""

    classes = ("sky", "road", "car")
    category_ids = (0, 1, 2)


def step(model: nn.Module) -> dict[str, Tensor]:
    torch.manual_seed(0)  # of the images, and of dropout
    images = torch.rand(2, 3, 32, 32)
    losses: dict[str, Tensor] = model.train().losses(images, [Mask(torch.ones(32, 32, dtype=torch.uint8))] * 2)
    return losses


@pytest.mark.parametrize("auxiliary", [0.0, 0.4])
def test_every_convolution_of_a_step_is_compiled(auxiliary: float, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    settings = TrainSegmentation(backbone="v3-small", width=0.25, size=32, seg=SegmentationOptions(auxiliary=auxiliary))
    settings.compile = True
    torch.manual_seed(1)
    compiled = _build(settings, _describe(settings, Train), from_checkpoint=False)
    settings.compile = False
    torch.manual_seed(1)
    plain = _build(settings, _describe(settings, Train), from_checkpoint=False)
    found, expected = step(compiled), step(plain)
    assert found.keys() == expected.keys() == {"cross_entropy"} | ({"auxiliary"} if auxiliary else set())
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    in_graphs = [node for graph in graphs for node in graph.graph.nodes if "conv2d" in str(node.target)]
    assert len(in_graphs) == sum(isinstance(module, nn.Conv2d) for module in plain.modules())
    sum(found.values()).backward()
    assert all(parameter.grad is not None for parameter in compiled.parameters())
