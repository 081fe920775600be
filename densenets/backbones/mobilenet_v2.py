"""MobileNetV2 (arXiv 1801.04381)."""

from functools import partial

from densenets.backbones.base import DEFAULT, Backbone, NetOptions, place
from densenets.layers import ConvNormAct, InvertedResidual, make_divisible

TABLE = (  # Table 2: expansion t, output channels c, repeats n, stride s of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
BLOCKS = tuple((t, c, s if first == 0 else 1) for t, c, n, s in TABLE for first in range(n))


class MobileNetV2(Backbone):
    """Seventeen inverted residuals with linear outputs, ReLU6 elsewhere."""

    WIDTHS = tuple(c for _, c, _ in BLOCKS)
    TOP = 1280
    REDUCES_TAIL = ("segmentation",)

    def __init__(self, options: NetOptions = DEFAULT) -> None:
        momentum = options.momentum(self.MOMENTUM)
        layer = partial(ConvNormAct, padding=options.padding, eps=options.eps(self.EPS), momentum=momentum)
        residual = partial(InvertedResidual, padding=options.padding, eps=options.eps(self.EPS), momentum=momentum)
        placed = place([stride for _, _, stride in BLOCKS], options.output_stride, options.atrous)
        halved = 0.5 if options.reduced_tail == "segmentation" else 1.0
        outs = [out * halved if at.nominal == 32 else out for out, at in zip(self.WIDTHS, placed, strict=True)]
        widths = [options.channels(out) for out in (32, *outs)]
        blocks = [
            residual(before, make_divisible(before * t), after, 3, at.stride, dilation=at.dilation)
            for (t, _, _), before, after, at in zip(BLOCKS, widths[:-1], widths[1:], placed, strict=True)
        ]
        # The paper: the multiplier applies to all layers but the last one where it is below 1.
        top = self.TOP if options.width < 1 and not options.scale_last else options.channels(self.TOP)
        super().__init__(options, layer(3, widths[0], 3, 2), blocks, layer(widths[-1], top), placed)
