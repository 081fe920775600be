"""MobileNetV1 (arXiv 1704.04861)."""

from functools import partial

from densenets.backbones.base import DEFAULT, Backbone, NetOptions, place
from densenets.layers import ConvNormAct, DepthwiseSeparable


class MobileNetV1(Backbone):
    """Thirteen depthwise-separable pairs; the paper's ReLU is ReLU6 here, as in the authors' code and its weights."""

    TABLE = (  # Table 1: output channels, stride
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (1024, 2),
        (1024, 1),  # printed s2 with 7x7 in and out: a misprint
    )
    WIDTHS = tuple(out for out, _ in TABLE)

    def __init__(self, options: NetOptions = DEFAULT) -> None:
        momentum = options.momentum(self.MOMENTUM)
        layer = partial(ConvNormAct, padding=options.padding, eps=options.eps(self.EPS), momentum=momentum)
        pair = partial(DepthwiseSeparable, padding=options.padding, eps=options.eps(self.EPS), momentum=momentum)
        placed = place([stride for _, stride in self.TABLE], options.output_stride, options.atrous)
        widths = [options.channels(out) for out in (32, *self.WIDTHS)]
        blocks = [
            pair(before, after, 3, at.stride, dilation=at.dilation)
            for before, after, at in zip(widths[:-1], widths[1:], placed, strict=True)
        ]
        super().__init__(options, layer(3, widths[0], 3, 2), blocks, None, placed)
