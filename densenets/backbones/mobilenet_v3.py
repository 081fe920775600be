"""MobileNetV3-Large and -Small (arXiv 1905.02244)."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, NamedTuple

from densenets.backbones.base import DEFAULT, Backbone, NetOptions, place
from densenets.layers import ActivationName, ConvNormAct, InvertedResidual, make_divisible


class Row(NamedTuple):
    """A bneck of the paper's tables; nl is RE (ReLU) or HS (h-swish)."""

    kernel: int
    exp: int
    out: int
    se: bool
    nl: str
    stride: int


NON_LINEARITY: dict[str, ActivationName] = {"RE": "relu", "HS": "hswish"}
STEM = 16


class MobileNetV3(Backbone):
    """Inverted residuals with squeeze-excite, one row of TABLE each.

    At other widths an expansion is its ratio in the table times the scaled input: that meets Table 9, scaling the
    printed expansions does not.
    """

    EPS = 1e-3
    MOMENTUM = 0.01
    CONTEXT = "top"
    REDUCES_TAIL = ("detection", "segmentation")
    TABLE: ClassVar[Sequence[Row]]
    TOP: ClassVar[int]

    def __init__(self, options: NetOptions = DEFAULT) -> None:
        momentum = options.momentum(self.MOMENTUM)
        layer = partial(
            ConvNormAct, activation="hswish", padding=options.padding, eps=options.eps(self.EPS), momentum=momentum
        )
        residual = partial(InvertedResidual, padding=options.padding, eps=options.eps(self.EPS), momentum=momentum)
        placed = place([row.stride for row in self.TABLE], options.output_stride, options.atrous)
        halved = 1.0 if options.reduced_tail == "none" else 0.5
        tail = [halved if at.nominal == 32 else 1.0 for at in placed]
        outs = [row.out * part for row, part in zip(self.TABLE, tail, strict=True)]
        ratios = self.ratios()
        if options.reduced_tail == "segmentation":  # the blocks behind this one follow their halved inputs
            ratios[tail.index(halved)] *= halved
        widths = [options.channels(out) for out in (STEM, *outs)]
        blocks = []
        for row, ratio, before, after, at in zip(self.TABLE, ratios, widths[:-1], widths[1:], placed, strict=True):
            expanded = make_divisible(before * ratio)
            squeezed = make_divisible(expanded / 4) if row.se else None
            act = NON_LINEARITY[row.nl]
            blocks.append(
                residual(
                    before,
                    expanded,
                    after,
                    row.kernel,
                    at.stride,
                    dilation=at.dilation,
                    squeezed=squeezed,
                    activation=act,
                )
            )
        top = layer(widths[-1], options.channels(self.TOP * tail[-1]))
        super().__init__(options, layer(3, widths[0], 3, 2), blocks, top, placed)

    @classmethod
    def ratios(cls) -> list[float]:
        """Expansion over input of each row."""
        inputs = (STEM, *(row.out for row in cls.TABLE[:-1]))
        return [row.exp / before for row, before in zip(cls.TABLE, inputs, strict=True)]


class MobileNetV3Large(MobileNetV3):
    TABLE = (  # Table 1
        Row(3, 16, 16, False, "RE", 1),
        Row(3, 64, 24, False, "RE", 2),
        Row(3, 72, 24, False, "RE", 1),
        Row(5, 72, 40, True, "RE", 2),
        Row(5, 120, 40, True, "RE", 1),
        Row(5, 120, 40, True, "RE", 1),
        Row(3, 240, 80, False, "HS", 2),
        Row(3, 200, 80, False, "HS", 1),
        Row(3, 184, 80, False, "HS", 1),
        Row(3, 184, 80, False, "HS", 1),
        Row(3, 480, 112, True, "HS", 1),
        Row(3, 672, 112, True, "HS", 1),
        Row(5, 672, 160, True, "HS", 2),
        Row(5, 960, 160, True, "HS", 1),
        Row(5, 960, 160, True, "HS", 1),
    )
    WIDTHS = tuple(row.out for row in TABLE)
    TOP = 960
    HIDDEN = 1280


class MobileNetV3Small(MobileNetV3):
    TABLE = (  # Table 2; its squeeze-excite tick on the last convolution is a misprint
        Row(3, 16, 16, True, "RE", 2),
        Row(3, 72, 24, False, "RE", 2),
        Row(3, 88, 24, False, "RE", 1),
        Row(5, 96, 40, True, "HS", 2),
        Row(5, 240, 40, True, "HS", 1),
        Row(5, 240, 40, True, "HS", 1),
        Row(5, 120, 48, True, "HS", 1),
        Row(5, 144, 48, True, "HS", 1),
        Row(5, 288, 96, True, "HS", 2),
        Row(5, 576, 96, True, "HS", 1),
        Row(5, 576, 96, True, "HS", 1),
    )
    WIDTHS = tuple(row.out for row in TABLE)
    TOP = 576
    HIDDEN = 1024  # 1280 in arXiv v1 and at ICCV
