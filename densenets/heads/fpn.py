"""Feature pyramids: each map with what the coarser ones know (paper: Feature Pyramid Networks, section 3)."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional

from densenets.layers import ConvNormAct

Layer = Callable[[int, int], nn.Module]  # channels before and after


class FPN(nn.Module):
    """A lateral layer for each map, the sum from the coarsest down, a layer on each sum.

    Args:
        channels: of the maps, in order of depth.
        width: of every map that comes out.
        lateral, output: what makes the layers.
        pooled: maps at half the size of the one before that follow, without weights.
    """

    def __init__(self, channels: Sequence[int], width: int, lateral: Layer, output: Layer, pooled: int) -> None:
        super().__init__()
        self.pooled = pooled
        self.laterals = nn.ModuleList(lateral(before, width) for before in channels)
        self.outputs = nn.ModuleList(output(width, width) for _ in channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """(N, channels, h, w) each -> (N, width, h, w) each, and the pooled ones."""
        sums = [lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)]
        for finer in reversed(range(len(sums) - 1)):
            sums[finer] = sums[finer] + _resized(sums[finer + 1], sums[finer].shape[-2:])
        found = [output(x) for output, x in zip(self.outputs, sums, strict=True)]
        for _ in range(self.pooled):
            found.append(functional.max_pool2d(found[-1], 1, 2))
        return found


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    return x if x.shape[-2:] == tuple(size) else functional.interpolate(x, size=tuple(size), mode="nearest")


def plain(kernel: int) -> Layer:
    """Convolutions with bias, as published and in torchvision."""

    def layer(before: int, after: int) -> nn.Module:
        conv = nn.Conv2d(before, after, kernel, padding=kernel // 2)
        nn.init.kaiming_uniform_(conv.weight, a=1)
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        return conv

    return layer


class Separable(nn.Sequential):
    """Depthwise 3x3 and 1x1, with BatchNorm and ReLU6 behind both."""

    def __init__(self, before: int, after: int, momentum: float, stride: int = 1) -> None:
        super().__init__(
            ConvNormAct(before, before, 3, stride, groups=before, eps=1e-3, momentum=momentum),
            ConvNormAct(before, after, eps=1e-3, momentum=momentum),
        )
