"""The layers that every light net is made of. They know no net; a block answers with `Parts`: a tap needs no hook."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ActivationName = Literal["relu6", "relu", "hswish"]
PaddingRule = Literal["torch", "tf"]
Stride = int | tuple[int, int]  # down and across, where they differ
Part = Literal["expand", "depthwise", "out"]


def make_divisible(v: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `v`, at least `divisor` and never below 0.9 v (slim's rule)."""
    rounded = max(divisor, int(v + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * v else rounded


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """TensorFlow's SAME: what to add (before, after) for an output of ceil(size / stride); the odd one comes after."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """A strided convolution with TensorFlow's SAME padding, worked out from the size of each input."""

    def forward(self, x: Tensor) -> Tensor:
        top, bottom = same_padding(x.shape[2], self.kernel_size[0], self.stride[0], self.dilation[0])
        left, right = same_padding(x.shape[3], self.kernel_size[1], self.stride[1], self.dilation[1])
        around = (top, left)
        if around != (bottom, right):
            x, around = F.pad(x, (left, right, top, bottom)), (0, 0)
        return F.conv2d(x, self.weight, self.bias, self.stride, around, self.dilation, self.groups)


def convolution(
    in_channels: int, out_channels: int, kernel: int, stride: Stride, dilation: int, groups: int, padding: PaddingRule
) -> nn.Conv2d:
    """Without bias. At stride 1 the two rules agree, so that only a strided one ever needs `SameConv2d`."""
    kind: type[nn.Conv2d] = SameConv2d if padding == "tf" and stride not in (1, (1, 1)) else nn.Conv2d
    around = 0 if kind is SameConv2d else (kernel - 1) // 2 * dilation
    return kind(in_channels, out_channels, kernel, stride, around, dilation, groups, bias=False)


def start_small(module: nn.Module) -> None:
    """A convolution's filters normal of 0.03, its bias 0. Before BatchNorm a filter's size only sets how fast it turns;
    from He's larger ones a short training learns several times slower (measured, under both kinds of heads)."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=0.03)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def precise(output: Tensor) -> Tensor:
    """In float32 at least."""
    return output.to(torch.promote_types(output.dtype, torch.float32))


class Pointwise(nn.Conv2d):
    """A 1x1 convolution with bias for outputs that are rows of a longer table, as a predictor's are.

    Their gradient comes in strided slices, which a matrix product takes better than oneDNN's convolution does: a step
    of SSDLite-V3-large gets 8% shorter (tools/bench.py, 2 cores). In eval mode it stays a convolution.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


# Autograd keeps the input of these two, in place only by a copy of it: in place is the faster one without a graph only.
class ReLU6(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x, inplace=not torch.is_grad_enabled())


class HSwish(nn.Module):
    """x * relu6(x + 3) / 6."""

    def forward(self, x: Tensor) -> Tensor:
        return F.hardswish(x, inplace=not torch.is_grad_enabled())


ACTIVATIONS: dict[str | None, Callable[[], nn.Module]] = {
    "relu6": ReLU6,
    "relu": partial(nn.ReLU, inplace=True),  # autograd keeps its output: in place is free
    "hswish": HSwish,
    None: nn.Identity,
}


class ConvNormAct(nn.Module):
    """Convolution without bias, BatchNorm, activation (None: linear)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: Stride = 1,
        *,
        dilation: int = 1,
        groups: int = 1,
        activation: ActivationName | None = "relu6",
        padding: PaddingRule = "torch",
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.channels = out_channels
        self.conv = convolution(in_channels, out_channels, kernel, stride, dilation, groups, padding)
        self.norm = nn.BatchNorm2d(out_channels, eps, momentum)
        self.act = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


def global_mean(x: Tensor, training: bool) -> Tensor:
    """(N, C, H, W) -> (N, C, 1, 1).

    training: the gradient is as large as x, and only this way comes in channels_last, as what it is added to; a sum of
    two layouts is slow. The gradient of V3-large's excitations takes half (960 channels) to nine tenths (72) of the
    time; no bit of the result differs.
    """
    if training:
        return x.permute(0, 2, 3, 1).mean((1, 2))[:, :, None, None]
    return x.mean((2, 3), keepdim=True)


class SqueezeExcite(nn.Module):
    """x times a gate per channel: global mean, 1x1 to `squeezed`, ReLU, 1x1 back, hard sigmoid."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = global_mean(x, self.training)  # (N, C, 1, 1)
        return x * F.hardsigmoid(self.expand(F.relu(self.reduce(mean))))


class Parts(NamedTuple):
    """What a block made on its way, each after norm and activation; None where it has no such part, or no more.

    expand: (N, E, H, W) before the stride; depthwise: (N, E, h, w) before squeeze-excite; out: (N, C, h, w).
    """

    expand: Tensor | None
    depthwise: Tensor | None
    out: Tensor | None


class DepthwiseSeparable(nn.Module):
    """V1's pair: depthwise, then pointwise, norm and activation after both. `channels` maps a part to its width."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        dilation: int = 1,
        activation: ActivationName = "relu6",
        padding: PaddingRule = "torch",
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        layer = partial(ConvNormAct, activation=activation, padding=padding, eps=eps, momentum=momentum)
        self.channels: dict[Part, int] = {"depthwise": in_channels, "out": out_channels}
        self.depthwise = layer(in_channels, in_channels, kernel, stride, dilation=dilation, groups=in_channels)
        self.pointwise: ConvNormAct | None = layer(in_channels, out_channels)

    def keep(self, part: Part) -> None:
        """Drop what lies behind `part`."""
        if part not in self.channels:
            raise ValueError(f"a depthwise-separable block has no {part}")
        if part == "depthwise":
            self.pointwise = None

    def forward(self, x: Tensor) -> Parts:
        depthwise = self.depthwise(x)
        return Parts(None, depthwise, None if self.pointwise is None else self.pointwise(depthwise))


class InvertedResidual(nn.Module):
    """V2's and V3's block: 1x1 to `expanded` (none where that is the input's width), depthwise, squeeze-excite to
    `squeezed` if given, linear 1x1 to the output, plus the input where stride and width allow it.

    `channels` maps a part to its width.
    """

    def __init__(
        self,
        in_channels: int,
        expanded: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        dilation: int = 1,
        squeezed: int | None = None,
        activation: ActivationName = "relu6",
        padding: PaddingRule = "torch",
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        layer = partial(ConvNormAct, activation=activation, padding=padding, eps=eps, momentum=momentum)
        self.skip = stride == 1 and in_channels == out_channels
        self.channels: dict[Part, int] = {"expand": expanded, "depthwise": expanded, "out": out_channels}
        if expanded == in_channels:
            del self.channels["expand"]
        self.expand: ConvNormAct | None = None if expanded == in_channels else layer(in_channels, expanded)
        self.depthwise: ConvNormAct | None = layer(
            expanded, expanded, kernel, stride, dilation=dilation, groups=expanded
        )
        self.excite: SqueezeExcite | None = None if squeezed is None else SqueezeExcite(expanded, squeezed)
        self.project: ConvNormAct | None = layer(expanded, out_channels, activation=None)

    def keep(self, part: Part) -> None:
        """Drop what lies behind `part`."""
        if part not in self.channels:
            raise ValueError(f"this inverted residual has no {part}")
        if part != "out":
            self.excite = self.project = None
        if part == "expand":
            self.depthwise = None

    def forward(self, x: Tensor) -> Parts:
        expand = None if self.expand is None else self.expand(x)
        if self.depthwise is None:
            return Parts(expand, None, None)
        depthwise = self.depthwise(x if expand is None else expand)
        if self.project is None:
            return Parts(expand, depthwise, None)
        out = self.project(depthwise if self.excite is None else self.excite(depthwise))
        return Parts(expand, depthwise, out.add_(x) if self.skip else out)  # nothing else reads the bare projection
