"""What every light net shares: where its taps are, its output stride, pruning and freezing."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from densenets.contract import FeatureSpec
from densenets.errors import InputError, printable
from densenets.layers import (
    ConvNormAct,
    DepthwiseSeparable,
    InvertedResidual,
    PaddingRule,
    Part,
    Parts,
    make_divisible,
)

NORMALIZATIONS = {  # mean and standard deviation of RGB in [0, 1]
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # to [-1, 1], as TensorFlow's nets
}


@dataclass(frozen=True)
class NetOptions:
    """How a net departs from the paper's table.

    width: the multiplier of every channel count.
    output_stride: 32, 16 or 8; a block that would stride further dilates those behind it instead.
    atrous: whether it dilates itself too ("torchvision") or not ("slim", TensorFlow's); see `place`.
    padding: "torch" pads both sides alike, "tf" is TensorFlow's SAME (for weights that come from there).
    normalize: "imagenet", or "half" for inputs in [-1, 1].
    reduced_tail: the output channels of the last stage are halved, by one of two reductions of V3's paper: "detection"
        is its dagger (Table 6), "segmentation" its RF2 (Table 7), which halves the stage's expansions in V3 as well.
    scale_last: V2's last convolution shrinks too below width 1 (slim's nets for detection). V3's always does, V1 has
        none: both do what is asked either way.
    bn_momentum: torch's momentum (1 - decay) for all BatchNorms; None is the net's own.
    bn_eps: what all BatchNorms add to a variance; None is the net's own.
    """

    width: float = 1.0
    output_stride: int = 32
    padding: PaddingRule = "torch"
    normalize: str = "imagenet"
    reduced_tail: str = "none"
    scale_last: bool = False
    bn_momentum: float | None = None
    atrous: str = "slim"
    bn_eps: float | None = None

    def __post_init__(self) -> None:
        _one_of("output_stride", self.output_stride, (32, 16, 8))
        _one_of("reduced_tail", self.reduced_tail, ("none", "detection", "segmentation"))
        _one_of("atrous", self.atrous, ("slim", "torchvision"))
        _one_of("padding", self.padding, ("torch", "tf"))
        _one_of("normalize", self.normalize, tuple(NORMALIZATIONS))
        if not 0 < self.width <= 10:
            raise InputError(f"width: {self.width}: expected a number above 0, at most 10")
        if self.bn_momentum is not None and not 0 < self.bn_momentum <= 1:
            raise InputError(f"bn_momentum: {self.bn_momentum}: expected a number above 0, at most 1")
        if self.bn_eps is not None and not 0 < self.bn_eps <= 1:
            raise InputError(f"bn_eps: {self.bn_eps}: expected a number above 0, at most 1")

    def channels(self, paper: float) -> int:
        """The paper's channel count at this width."""
        return make_divisible(paper * self.width)

    def momentum(self, own: float) -> float:
        """That of BatchNorm, where `own` is the net's."""
        return own if self.bn_momentum is None else self.bn_momentum

    def eps(self, own: float) -> float:
        """That of BatchNorm, where `own` is the net's."""
        return own if self.bn_eps is None else self.bn_eps


def _one_of(what: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise InputError(f"{what}: {printable(value)}: expected one of {', '.join(map(str, choices))}")


DEFAULT = NetOptions()


class Placed(NamedTuple):
    """Where a block stands: its convolution's stride and dilation; the stride of its output in the paper's net
    (nominal) and in this one (actual)."""

    stride: int
    dilation: int
    nominal: int
    actual: int


def place(strides: Sequence[int], output_stride: int, atrous: str = "slim") -> list[Placed]:
    """The paper's strides of the blocks, behind a stem of stride 2, at an output stride.

    The atrous rule of TensorFlow's slim: the block that would have strided keeps the dilation so far, those behind it
    use the rate. torchvision's: that block uses the rate as well. Weights know no difference, what they compute does.
    """
    nominal, actual, rate = 2, 2, 1
    placed = []
    for stride in strides:
        nominal *= stride
        if actual * stride > output_stride:
            placed.append(Placed(1, rate * stride if atrous == "torchvision" else rate, nominal, actual))
            rate *= stride
        else:
            actual *= stride
            placed.append(Placed(stride, rate, nominal, actual))
    return placed


class Tap(NamedTuple):
    """A place in a net: the part of the block with that index; index len(blocks) is the top."""

    block: int
    part: Part


PART_ORDER: dict[Part, int] = {"expand": 0, "depthwise": 1, "out": 2}
Block = DepthwiseSeparable | InvertedResidual


def depth(tap: Tap) -> tuple[int, int]:
    return tap.block, PART_ORDER[tap.part]


def find_taps(nominal: Sequence[int], blocks: Sequence[Block], has_top: bool, context: str) -> dict[str, Tap]:
    """The house's taps in order of depth: `nominal` strides place them, whatever the output stride is."""
    first = {stride: nominal.index(stride) for stride in (8, 32)}
    last = {stride: len(nominal) - 1 - nominal[::-1].index(stride) for stride in (4, 8, 16, 32)}
    taps = {
        "c2": Tap(last[4], "out"),
        "c3_first": Tap(first[8], "out"),
        "c3_dw": Tap(last[8], "depthwise"),
        "c3": Tap(last[8], "out"),
        "c4": Tap(last[16], "out"),
        "c4_expand": Tap(first[32], "expand") if "expand" in blocks[first[32]].channels else Tap(last[16], "out"),
        "c5_first": Tap(first[32], "out"),
        "c5": Tap(last[32], "out"),
        "top": Tap(len(blocks), "out") if has_top else Tap(last[32], "out"),
    }
    taps["context"] = taps[context]
    return dict(sorted(taps.items(), key=lambda item: depth(item[1])))  # stable: names of one place keep this order


class Backbone(nn.Module):
    """Stem, blocks and, in V2 and V3, a last 1x1 convolution (`top`).

    `specs` names the taps that `forward` returns, in order of depth: all of them, or those of `keep`. The strides in
    it are those of this net; the names keep to the paper's strides. Two taps may be one place (V1: c5 and top).
    `context` is the map that segmentation reads in the papers: V3's last convolution, but V2's last block.
    """

    EPS: ClassVar[float] = 1e-5
    MOMENTUM: ClassVar[float] = 0.1
    HIDDEN: ClassVar[int | None] = None  # the classifier's hidden layer
    WIDTHS: ClassVar[Sequence[int]]  # the paper's output channels of each block, at width 1
    CONTEXT: ClassVar[str] = "c5"
    REDUCES_TAIL: ClassVar[Sequence[str]] = ()  # for which task a paper says how

    specs: dict[str, FeatureSpec]
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        options: NetOptions,
        stem: ConvNormAct,
        blocks: Sequence[Block],
        top: ConvNormAct | None,
        placed: Sequence[Placed],
    ) -> None:
        super().__init__()
        if options.reduced_tail not in ("none", *self.REDUCES_TAIL):
            raise InputError(
                f"reduced_tail: {type(self).__name__}: no paper describes its tail reduced for {options.reduced_tail}"
            )
        self.options = options
        mean, std = NORMALIZATIONS[options.normalize]
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.top = top
        self._nominal = [row.nominal for row in placed]
        self._frozen = (0, False)
        self._reach = len(blocks) + 1  # blocks, and the top, that `forward` runs
        self._taps = find_taps(self._nominal, blocks, top is not None, self.CONTEXT)
        self.specs = {name: self._spec(tap, blocks, placed) for name, tap in self._taps.items()}
        self.apply(initialize)

    def _spec(self, tap: Tap, blocks: Sequence[Block], placed: Sequence[Placed]) -> FeatureSpec:
        if tap.block == len(blocks):
            assert self.top is not None
            return FeatureSpec(self.top.channels, placed[-1].actual)
        behind = tap.block - 1 if tap.part == "expand" else tap.block  # an expansion runs before the stride
        return FeatureSpec(blocks[tap.block].channels[tap.part], placed[behind].actual)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """images: (N, 3, H, W) RGB in [0, 1]. Each tap: (N, channels, ceil(H / stride), ceil(W / stride)).

        Raises ValueError for another shape, and for whole numbers, which are 0 to 255 as files have them.
        """
        check_images(images)
        found: dict[str, Tensor] = {}
        x = self.stem(self.normalize(images))
        for index, block in enumerate(islice(self.blocks, self._reach)):
            x = self._collect(index, block(x), found)
        if self.top is not None and self._reach > len(self.blocks):
            self._collect(len(self.blocks), Parts(None, None, self.top(x)), found)
        return found

    def tail(self, x: Tensor) -> Tensor:
        """What `split` put off: (N, channels of c4, h, w) -> (N, `tail_channels`, h / 2, w / 2), rounded up."""
        for block in islice(self.blocks, self._reach, None):
            x = block(x).out
        return x if self.top is None else self.top(x)

    @property
    def tail_channels(self) -> int:
        last = self.blocks[-1]
        assert isinstance(last, Block)
        return last.channels["out"] if self.top is None else self.top.channels

    def normalize(self, images: Tensor) -> Tensor:
        """In this order: one fused pass is a little faster, but no longer bit-equal to the weights' source."""
        return (images - self.mean) / self.std

    def _collect(self, index: int, parts: Parts, found: dict[str, Tensor]) -> Tensor | None:
        """The block's output. A part that no tap reads dies here, not under the next block: a CPU feels it."""
        found |= {name: getattr(parts, tap.part) for name, tap in self._taps.items() if tap.block == index}
        return parts.out

    def keep(self, taps: Iterable[str]) -> "Backbone":
        """Drop, for good, every tap but these and every layer that none of them needs; returns this net.

        Raises InputError for no tap at all and for one that this net does not have or has dropped.
        """
        wanted = list(taps)
        unknown = [name for name in wanted if name not in self._taps]
        if unknown or not wanted:
            named = ", ".join(map(printable, unknown)) or "none"
            raise InputError(f"taps of {type(self).__name__}: {named}: expected some of {', '.join(self._taps)}")
        self._taps = {name: tap for name, tap in self._taps.items() if name in wanted}
        self.specs = {name: self.specs[name] for name in self._taps}
        self._prune(max(self._taps.values(), key=depth))
        return self

    def split(self) -> "Backbone":
        """Leave `forward` the part up to c4, its only tap then, and the part of stride 32 to `tail`; returns this net.

        Raises InputError for a net whose part of stride 32 does not halve the map of c4, or is gone.
        """
        begin = self._nominal.index(32) if 32 in self._nominal else len(self._nominal)
        whole = "c4" in self._taps and len(self.blocks) > begin
        if not whole or self.specs["c4"].stride != 16 or self.options.output_stride != 32:
            raise InputError(
                f"backbone: {type(self).__name__} at output stride {self.options.output_stride} cannot be split: no "
                "part of it turns a map of stride 16 into one of stride 32"
            )
        self._taps, self.specs = {"c4": self._taps["c4"]}, {"c4": self.specs["c4"]}
        self._reach = begin
        return self

    def _prune(self, deepest: Tap) -> None:
        if deepest.block == len(self.blocks):
            return
        self.top = None
        del self.blocks[deepest.block + 1 :]
        last = self.blocks[deepest.block]
        assert isinstance(last, Block)
        last.keep(deepest.part)

    def freeze(self, stages: int = 0, norm: bool = False) -> None:
        """Hold a part of the net still in training; a later call replaces an earlier one.

        stages: the stem and the blocks up to a nominal stride of 2^stages get no gradient, and their BatchNorms keep
            their statistics; 0 is none, 5 is all of the net.
        norm: every BatchNorm of the net stays as it is: statistics, weight and bias.
        """
        _one_of("frozen stages", stages, (0, 1, 2, 3, 4, 5))
        self._frozen = (stages, norm)
        for nominal, layer in self.layers():
            layer.requires_grad_(nominal > 2**stages)
            for module in layer.modules() if norm else ():
                if isinstance(module, nn.BatchNorm2d):
                    module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Backbone":
        super().train(mode)
        stages, norm = self._frozen
        still = [layer for nominal, layer in self.layers() if norm or nominal <= 2**stages]
        for module in (module for layer in still for module in layer.modules()):
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def layers(self) -> Iterator[tuple[int, nn.Module]]:
        """Each layer with the nominal stride of its output."""
        yield 2, self.stem
        yield from zip(self._nominal, self.blocks, strict=False)  # keep() leaves fewer blocks
        if self.top is not None:
            yield self._nominal[-1], self.top


def check_images(images: Tensor) -> None:
    """By shape and type alone: their values would have to be looked up, and no export could do that."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images of shape {tuple(images.shape)}, expected (N, 3, H, W); of a single one images[None]")
    if not images.is_floating_point():
        raise ValueError(f"images of {images.dtype}, expected float in [0, 1]: images.float() / 255 of whole numbers")


def initialize(module: nn.Module) -> None:
    """He's rule by the outputs of one group: a depthwise filter starts as large as a dense one of its size."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.out_channels * math.prod(module.kernel_size) // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
