"""R-ASPP, LR-ASPP and DeepLabV3's ASPP (papers: V3 section 6.4 and Figure 10, V2 section 6.3, DeepLabV3)."""

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from densenets.backbones.base import Backbone
from densenets.config import SegmentationOptions
from densenets.heads.segmentation import Segmentation
from densenets.heads.upsampling import upsampled
from densenets.layers import ConvNormAct, global_mean

# Side of the gate's pooling window in cells, and its strides down and across, by the stride of the map. 49 cells of
# stride 16 are a crop of 769 px. The paper gives the row of 16, its authors' code that of 32; 8 has 16's px.
GATE_WINDOWS = {8: (97, (32, 40)), 16: (49, (16, 20)), 32: (25, (4, 5))}
RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}  # of the atrous 3x3 convolutions, by the stride of the map


class ImagePool(nn.Module):
    """The mean of a map, a 1x1 convolution, and back to the map's size; (N, C, h, w) -> (N, F, h, w)."""

    def __init__(self, conv: ConvNormAct) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.conv(global_mean(x, self.training))
        return pooled.expand(-1, -1, x.shape[2], x.shape[3])


class ASPP(Segmentation):
    """Parallel branches over the deepest map, concatenated, projected to the head's width, classified there."""

    dropout = 0.1  # the authors' code
    norms_pooled = True

    def __init__(
        self, backbone: Backbone, num_classes: int, canvas: tuple[int, int], options: SegmentationOptions
    ) -> None:
        super().__init__(backbone, num_classes, canvas, options)
        channels, stride = self.backbone.specs["context"]
        self.branches = nn.ModuleList(self._branches(channels, stride))
        self.project = self._conv(self.filters * len(self.branches), self.filters)
        self.classifier = nn.Conv2d(self.filters, num_classes, 1)
        for part in (self.branches, self.project, self.classifier):
            self.initialise(part)

    @abstractmethod
    def _branches(self, channels: int, stride: int) -> list[nn.Module]:
        """What reads the map of so many channels at this stride, side by side."""

    def classifiers(self) -> list[nn.Conv2d]:
        return [self.classifier]

    def decode(self, taps: dict[str, Tensor]) -> Tensor:
        x = taps["context"]
        joined = torch.cat([branch(x) for branch in self.branches], dim=1)
        logits: Tensor = self.classifier(self.left_out(self.project(joined)))
        return logits


class RASPP(ASPP):
    """The reduced form without atrous convolutions: 1x1 and image pooling (V2 Table 7 "without ASPP", V3 Table 7)."""

    def _branches(self, channels: int, stride: int) -> list[nn.Module]:
        return [self._conv(channels, self.filters), ImagePool(self._conv(channels, self.filters))]


class DeepLabV3(ASPP):
    """1x1, three atrous 3x3 and image pooling (V2 Table 7 "with ASPP")."""

    def _branches(self, channels: int, stride: int) -> list[nn.Module]:
        atrous = [self._conv(channels, self.filters, 3, rate) for rate in RATES[stride]]
        return [self._conv(channels, self.filters), *atrous, ImagePool(self._conv(channels, self.filters))]


def window_means(x: Tensor, axis: int, side: int, stride: int) -> Tensor:
    """(N, C, h, w) with one axis, 2 or 3, as the means of windows along it; a shorter axis is one window long."""
    if x.shape[axis] <= side:
        return x.mean(axis, keepdim=True)
    if axis == 2:
        return functional.avg_pool2d(x, (side, 1), (stride, 1))
    return functional.avg_pool2d(x, (1, side), (1, stride))


class LRASPP(Segmentation):
    """V3 Figure 10: a 1x1 branch times a gate from pooled windows, and the logits of a finer map added at stride 8."""

    taps = ("c3_dw", "context")
    filters = 128
    gate_bias = True

    def __init__(
        self, backbone: Backbone, num_classes: int, canvas: tuple[int, int], options: SegmentationOptions
    ) -> None:
        super().__init__(backbone, num_classes, canvas, options)
        fine, (channels, stride) = self.backbone.specs[self.taps[0]], self.backbone.specs["context"]
        self.windows, self.coarser = GATE_WINDOWS[stride], stride != fine.stride
        self.branch = self._conv(channels, self.filters)
        self.gate = nn.Conv2d(channels, self.filters, 1, bias=self.gate_bias)
        self.low_classifier = nn.Conv2d(fine.channels, num_classes, 1)
        self.high_classifier = nn.Conv2d(self.filters, num_classes, 1)
        for part in (self.branch, self.gate, self.low_classifier, self.high_classifier):
            self.initialise(part)

    def classifiers(self) -> list[nn.Conv2d]:
        return [self.low_classifier, self.high_classifier]

    def decode(self, taps: dict[str, Tensor]) -> Tensor:
        low, x = taps[self.taps[0]], taps["context"]
        gates = self.gates(x)  # before the branch, whose gradient then sets the layout of x's: channels_last
        y = self.left_out(self.branch(x) * gates)
        if self.coarser:
            y = upsampled(y, low.shape[-2:])
        logits: Tensor = self.low_classifier(low) + self.high_classifier(y)
        return logits

    def gates(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> factors (N, F, h, w), or (N, F, 1, 1) where one window is all of the map."""
        side, (down, across) = self.windows
        gates: Tensor = self.gate(window_means(window_means(x, 2, side, down), 3, side, across)).sigmoid()
        return upsampled(gates, x.shape[-2:]) if x.shape[2] > side or x.shape[3] > side else gates


class LRASPPTorchvision(LRASPP):
    """torchvision's form: one window, a gate without bias, the low map from the first block of stride 8."""

    taps = ("c3_first", "context")
    atrous = "torchvision"
    gate_bias = False

    def gates(self, x: Tensor) -> Tensor:
        gates: Tensor = self.gate(global_mean(x, self.training)).sigmoid()
        return gates
