"""Parameters, MAdds and activations of one image, part by part.

MAdds are multiply-adds of convolutions and fully connected layers, as the papers count: a bias, BatchNorm, activation,
interpolation, the cutting of windows and products of activations (h-swish, squeeze-excite, attention) count nothing.
Activations are what a prediction allocates: every tensor that an operation makes counts once, with all its bytes; what
is changed in place or only seen another way counts nothing. Memory inside an operation is not seen.
"""

import weakref
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from densenets.analysis.profile.parts import AFTER, BETWEEN, followed, parts_of

COUNTED = (nn.Conv1d, nn.Conv2d, nn.Linear)


class Part(NamedTuple):
    """shapes: of its outputs, one for each layer that gives one to the outside; none where it did not run."""

    name: str
    shapes: list[list[int]]
    parameters: int
    madds: int
    activation_bytes: int


class Counts(NamedTuple):
    """peak_bytes: the most activations that were alive at once, the image not among them."""

    parts: list[Part]
    parameters: int
    trainable: int
    madds: int
    activation_bytes: int
    peak_bytes: int


def count(model: nn.Module, size: tuple[int, int]) -> Counts:
    """Of one image of size (H, W) px. The sums over `parts` are the totals.

    Raises ValueError for a model in training mode.
    """
    if model.training:
        raise ValueError("a model in training mode: its outputs are no prediction's")
    ledger = _run(model, size)
    parameters = _parameters(model)
    names = [*parts_of(model), BETWEEN, AFTER]
    parts = [
        Part(name, ledger.shapes[name], parameters.get(name, 0), ledger.madds[name], ledger.made[name])
        for name in names
    ]
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    sums = (sum(parameters.values()), trainable, sum(ledger.madds.values()), sum(ledger.made.values()))
    return Counts(parts, *sums, ledger.peak)


def _parameters(model: nn.Module) -> dict[str, int]:
    """By part; those of none of them stand under BETWEEN."""
    left = {id(p): p.numel() for p in model.parameters()}
    found = {
        name: sum(left.pop(id(p), 0) for layer in layers for p in layer.parameters())
        for name, layers in parts_of(model).items()
    }
    return {**found, BETWEEN: sum(left.values())}


def noise(size: tuple[int, int], device: torch.device) -> Tensor:
    """One image of size (H, W) px as a model takes it, (1, 3, H, W) in [0, 1]: always the same."""
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    return image.to(device, memory_format=torch.channels_last)


def _run(model: nn.Module, size: tuple[int, int]) -> "Ledger":
    ledger = Ledger()
    image = noise(size, next(model.parameters()).device)
    layers = [layer for layer in model.modules() if isinstance(layer, COUNTED)]
    handles = [layer.register_forward_hook(ledger.multiplied) for layer in layers]
    try:
        with torch.no_grad(), followed(model, ledger.enter, ledger.gave), ledger:  # inference_mode hides operations
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return ledger


class Ledger(TorchDispatchMode):
    """Sees every operation, and notes it under the part at work."""

    def __init__(self) -> None:
        super().__init__()
        self.part = BETWEEN
        self.made: dict[str, int] = defaultdict(int)
        self.madds: dict[str, int] = defaultdict(int)
        self.shapes: dict[str, list[list[int]]] = defaultdict(list)
        self.peak = self._live = 0
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def enter(self, part: str) -> None:
        self.part = part

    def gave(self, part: str, output: object) -> None:
        maps = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        self.shapes[part] += [list(x.shape) for x in (maps if isinstance(output, list) else maps[-1:])]

    def multiplied(self, layer: nn.Module, given: object, output: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        self.madds[self.part] += output.numel() * weight[0].numel()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor) and id(leaf.untyped_storage()) not in given:
                self._note(leaf.untyped_storage())
        return output

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._known:
            return

        def gone(_: object) -> None:
            del self._known[key]
            self._live -= size

        self._known[key] = weakref.ref(storage, gone)
        self.made[self.part] += size
        self._live += size
        self.peak = max(self.peak, self._live)
