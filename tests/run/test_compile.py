"""--compile: all layers of a training step are in what torch compiles, and the losses stay what they are.

A backend that runs what it is given takes the compiler's place: that takes minutes, and is torch's own.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from densenets.config import RCNNOptions, SegmentationOptions, TrainDetection, TrainSegmentation
from densenets.contract import Boxes, Mask
from densenets.run.training import _build, description_of

SIDE = 64


class Train:
    """As much of a split as a description of a model asks for."""

    classes = ("sky", "road", "car")
    category_ids = (0, 1, 2)


def step(model: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)  # of the images, and of dropout
    images, detects = torch.rand(2, 3, SIDE, SIDE), model.task == "detection"
    target = (
        Boxes(torch.tensor([[4.0, 4, 40, 50]]), torch.tensor([1]))
        if detects
        else Mask(torch.ones(SIDE, SIDE, dtype=torch.uint8))
    )
    losses: dict[str, Tensor] = model.train().losses(images, [target] * 2)
    return losses


SETTINGS = {
    "lraspp": TrainSegmentation(seg=SegmentationOptions()),
    "auxiliary": TrainSegmentation(seg=SegmentationOptions(auxiliary=0.4)),
    "ssdlite": TrainDetection(),
    "faster-rcnn-fpn": TrainDetection(head="faster-rcnn-fpn", rcnn=RCNNOptions(fpn="light")),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_convolution_of_a_step_is_compiled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    settings = replace(SETTINGS[name], backbone="v3-small", width=0.25, size=SIDE, compile=True)
    torch.manual_seed(1)
    compiled = _build(settings, description_of(settings, Train), from_checkpoint=False)
    torch.manual_seed(1)
    plain = _build(replace(settings, compile=False), description_of(settings, Train), from_checkpoint=False)
    calls = [0]
    for place, layer in plain.named_modules():
        if isinstance(layer, nn.Conv2d) and not place.startswith("box_head"):  # its number of windows varies
            layer.register_forward_hook(lambda *_: calls.__setitem__(0, calls[0] + 1))
    found, expected = step(compiled), step(plain)
    assert found.keys() == expected.keys()
    for term, value in expected.items():
        torch.testing.assert_close(found[term], value)
    layers = [str(node.target) for graph in graphs for node in graph.graph.nodes]
    assert sum("conv2d" in layer or "linear" in layer for layer in layers) == calls[0] > 0
    sum(found.values()).backward()
    assert all(parameter.grad is not None for parameter in compiled.parameters())
