"""The parts of a model, and which of them is at work: stages of its backbone, layers of its head, what lies between.

Nothing in the models knows of this: it listens at their seams.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

BETWEEN = "between the parts"  # scaling of the colours, joining of maps, cutting of windows, proposals' NMS
AFTER = "after the network"  # scores, boxes and NMS; logits to the size of the image


def parts_of(model: nn.Module) -> dict[str, list[nn.Module]]:
    """Layers by the name of their part, in order of depth: "backbone.c1" (stride 2) to "backbone.c5", "backbone.top"
    where the net has one, then the head's.

    The strides are those of the paper's net: at output stride 16 c5 is dilated and as fine as c4.
    """
    backbone: Any = model.backbone
    found: dict[str, list[nn.Module]] = {}
    for nominal, layer in backbone.layers():
        stage = "top" if layer is backbone.top else f"c{nominal.bit_length() - 1}"
        found.setdefault(f"backbone.{stage}", []).append(layer)
    for name, layer in model.named_children():
        if layer is not backbone and any(True for _ in layer.parameters()):
            found[name] = list(layer) if isinstance(layer, nn.ModuleList) else [layer]
    return found


@contextlib.contextmanager
def seams(model: nn.Module, at: Callable[[str], None]) -> Iterator[None]:
    """While it lasts, a prediction calls at("network") as it begins and at("post") as its network ends.

    A segmenter's ends with the head's own logits, before they are brought to the size of the image; a detector's before
    the scores are worked out. Of a two-stage detector both stages are network, the proposals' NMS between them too.
    """
    name = "raw" if model.task == "segmentation" else "decode"
    own: Callable[..., Any] = getattr(model, name)

    def marked(*given: Tensor) -> Any:
        if name == "decode":
            at("post")
            return own(*given)
        found = own(*given)
        at("post")
        return found

    setattr(model, name, marked)  # shadows the class's
    handle = model.register_forward_pre_hook(lambda *_: at("network"))
    try:
        yield
    finally:
        handle.remove()
        delattr(model, name)


@contextlib.contextmanager
def followed(
    model: nn.Module, enter: Callable[[str], None], made: Callable[[str, object], None] = lambda part, output: None
) -> Iterator[None]:
    """While it lasts, a prediction calls `enter` with the name of each part as it starts, and `made` with its outputs.

    Behind each part BETWEEN is entered, behind the network's end AFTER.
    """

    def begin(part: str) -> Callable[..., None]:
        return lambda *_: enter(part)

    def end(part: str) -> Callable[..., None]:
        def ended(layer: nn.Module, given: object, output: object) -> None:
            enter(BETWEEN)
            made(part, output)

        return ended

    with contextlib.ExitStack() as stack:
        stack.enter_context(seams(model, lambda place: enter(BETWEEN if place == "network" else AFTER)))
        for part, layers in parts_of(model).items():
            for layer in layers:
                stack.callback(layer.register_forward_pre_hook(begin(part)).remove)
                stack.callback(layer.register_forward_hook(end(part)).remove)
        yield
