"""SSD and SSDLite (papers: V1 Table 13, V2 section 6.2, V3 section 6.3; papers' wiring after TensorFlow's)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from densenets import boxes as box
from densenets.backbones.base import Backbone
from densenets.config import SSDOptions
from densenets.contract import Boxes, ClassLayer, Detections
from densenets.errors import InputError
from densenets.heads.detection import Detection, as_rows, grids_of
from densenets.heads.ssd_loss import box_loss, focal_loss, softmax_loss
from densenets.layers import ConvNormAct, Pointwise, Stride

EXTRA_DEPTHS = (512, 256, 256, 128)  # one map each, every one half the size of the map before
MIN_DEPTH = 16
FOCAL_PRIOR = 0.01  # the score every class starts with under the focal loss: bias -4.6 (papers: SSDLite-V3's recipe)


class SSD(Detection):
    """SSD with full convolutions: extras 1x1 -> 3x3 stride 2, predictors 1x1 as published with V1 (or 3x3).

    Args:
        backbone: is pruned to `taps`; the extras shrink with its width multiplier, to a depth of 16 at least.
        num_classes: C, without background.
        canvas: (H, W) of every image it will ever see, in px.
    """

    options_type = SSDOptions
    taps = ("c4_expand", "top")
    lite = False
    default_kernel = 1

    options: SSDOptions

    def __init__(self, backbone: Backbone, num_classes: int, canvas: tuple[int, int], options: SSDOptions) -> None:
        super().__init__(num_classes, canvas, options)
        self.backbone = backbone.keep(self.taps)
        width = backbone.options.width
        sizes = [backbone.specs[tap] for tap in self.taps]
        depths = [max(MIN_DEPTH, int(depth * width)) for depth in EXTRA_DEPTHS]
        channels = [spec.channels for spec in sizes] + depths
        strides = [spec.stride for spec in sizes]
        strides += [strides[-1] * 2**k for k in range(1, len(depths) + 1)]
        self.normed = grids = grids_of(canvas, strides)
        self.finds_from = options.match_iou
        shapes = self._shapes(len(channels))
        self.register_buffer("defaults", box.default_boxes(canvas, grids, shapes), persistent=False)
        inner = [max(MIN_DEPTH, int(depth * width) // 2) for depth in EXTRA_DEPTHS]
        rows = zip(channels[1:], inner, depths, map(stride_of, grids[1:]), strict=False)
        self.extras = nn.ModuleList(self._extra(*row) for row in rows)
        outputs = num_classes + (options.loss == "softmax")
        self.class_predictors = self._predictors(channels, [len(shape) * outputs for shape in shapes])
        self.box_predictors = self._predictors(channels, [len(shape) * 4 for shape in shapes])
        self._initialise()

    def _shapes(self, maps: int) -> list[Tensor]:
        options = self.options
        scales = options.scales or box.scales_of(maps)
        if len(scales) != maps + 1:
            raise InputError(
                f"--ssd.scales: {len(scales)} values given, one for each of {maps} maps and one more wanted"
            )
        self.sized_by = " ".join(["--ssd.scales", *(f"{scale:.3g}" for scale in scales)])
        each = _each_map(options.aspect_ratios, maps)
        if len(each) != maps:
            raise InputError(f"--ssd.aspect-ratios: {len(each)} lists given, one for each of {maps} maps wanted")
        if not all(0 < value <= 1000 for value in [*scales, *(ratio for row in each for ratio in row)]):
            raise InputError("--ssd.scales and --ssd.aspect-ratios must be above 0, 1000 at most")
        shapes = box.default_shapes(scales, each, "reduced" if options.anchors == "tf" else "full")
        # torchvision limits the sides of a default box to the canvas, TensorFlow does not.
        return [shape.clamp(max=1) for shape in shapes] if options.anchors == "torchvision" else shapes

    def _extra(self, before: int, inner: int, depth: int, stride: tuple[int, int]) -> nn.Sequential:
        """From the depth before to `depth` at half the size."""
        if not self.lite:
            return nn.Sequential(self._conv(before, inner), self._conv(inner, depth, kernel=3, stride=stride))
        narrow = self._conv(inner, inner, kernel=3, stride=stride, groups=inner)
        return nn.Sequential(self._conv(before, inner), narrow, self._conv(inner, depth))

    def _predictors(self, channels: Sequence[int], outputs: Sequence[int]) -> nn.ModuleList:
        return nn.ModuleList(self._predictor(c, o) for c, o in zip(channels, outputs, strict=True))

    def _predictor(self, channels: int, outputs: int) -> nn.Module:
        kernel = self.options.predictor_kernel or self.default_kernel
        if not self.lite and kernel == 1:
            return Pointwise(channels, outputs)
        if not self.lite:
            return nn.Conv2d(channels, outputs, kernel, padding=kernel // 2)
        depthwise = self._conv(channels, channels, kernel=kernel, groups=channels)
        return nn.Sequential(depthwise, Pointwise(channels, outputs))

    def _conv(self, before: int, after: int, kernel: int = 1, stride: Stride = 1, groups: int = 1) -> ConvNormAct:
        return ConvNormAct(
            before,
            after,
            kernel,
            stride,
            groups=groups,
            activation="relu6",
            padding=self.backbone.options.padding,
            eps=1e-3,
            momentum=self.options.bn_momentum,
        )

    def class_layers(self) -> list[ClassLayer]:
        lasts = [part[-1] if isinstance(part, nn.Sequential) else part for part in self.class_predictors]
        return [ClassLayer(last, before=int(self.options.loss == "softmax")) for last in lasts]

    def _initialise(self) -> None:
        for part in (self.extras, self.class_predictors, self.box_predictors):
            self.initialise(part)
        if self.options.loss == "focal":
            for last, _, _ in self.class_layers():
                assert isinstance(last, nn.Conv2d)
                assert last.bias is not None
                nn.init.constant_(last.bias, -math.log((1 - FOCAL_PRIOR) / FOCAL_PRIOR))

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) in [0, 1] -> class logits (N, A, 1 + C; N, A, C under the focal loss) and offsets (N, A, 4)."""
        self.check_images(images)
        taps = self.backbone(images)
        maps = [taps[tap] for tap in self.taps]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        outputs = self.num_classes + (self.options.loss == "softmax")
        logits = [as_rows(predict(m), outputs) for predict, m in zip(self.class_predictors, maps, strict=True)]
        offsets = [as_rows(predict(m), 4) for predict, m in zip(self.box_predictors, maps, strict=True)]
        return torch.cat(logits, dim=1), torch.cat(offsets, dim=1)

    def losses(self, images: Tensor, targets: list[Boxes]) -> dict[str, Tensor]:
        """`classification` and `box`, each divided by the number of claimed default boxes, or of images if larger.

        Raises ValueError for a label outside 0..C-1: -1 would pass as background.
        """
        options = self.options
        self.check_labels(targets)
        logits, offsets = (output.float() for output in self.raw(images))
        labels, boxes = box.match_targets(self.defaults, targets, options.match_iou)
        if options.loss == "softmax":
            classification = softmax_loss(logits, labels, options.negative_ratio, options.min_negatives)
        else:
            classification = focal_loss(logits, labels, options.focal_alpha, options.focal_gamma)
        # A batch almost without objects would otherwise divide its negatives by next to nothing.
        count = (labels >= 0).sum().clamp(min=len(targets))
        box_term = box_loss(offsets, self.defaults, labels, boxes)
        return {"classification": classification / count, "box": options.box_weight * box_term / count}

    def forward(self, images: Tensor) -> Detections:
        """(N, 3, H, W) in [0, 1] -> the `options.detections` best, see `Detections`."""
        return self.decode(*self.raw(images))

    def decode_scores(self, logits: Tensor) -> Tensor:
        """(N, A, outputs) logits -> (N, A, C) scores in [0, 1], in float32."""
        logits = logits.float()
        return logits.softmax(dim=-1)[..., 1:] if self.options.loss == "softmax" else logits.sigmoid()

    def decode(self, logits: Tensor, offsets: Tensor) -> Detections:
        """Raw outputs -> detections: scores, the best candidates, their boxes, NMS. In float32 whatever comes in.

        An image with a raw output that is not finite gets scores of NaN: NaN loses every comparison on the way and
        would be left out as if nothing had been found [V03].
        """
        options, scores = self.options, self.decode_scores(logits)
        select = box.select_global if options.top_k == "global" else box.select_per_class
        best, anchors, labels = select(scores, options.candidates)
        wanted = anchors.unsqueeze(-1).expand(-1, -1, 4)
        defaults = self.defaults[anchors]
        boxes = box.decode(offsets.float().gather(1, wanted), defaults, self.canvas)
        limits = (options.score_threshold, options.nms_iou, options.detections, max(self.canvas))
        found = box.fill(box.suppress(boxes, labels, best, *limits), options.detections)
        sound = logits.isfinite().all(dim=(1, 2)) & offsets.isfinite().all(dim=(1, 2))
        return found._replace(scores=found.scores.masked_fill(~sound.unsqueeze(1), math.nan))


class SSDLite(SSD):
    """SSD with depthwise-separable extras and predictors (V2 paper, section 6.2), predictors 3x3."""

    lite = True
    default_kernel = 3


def _each_map(ratios: list[float] | list[list[float]], maps: int) -> list[list[float]]:
    """One list of ratios a map."""
    lists = [row for row in ratios if isinstance(row, list)]
    return lists or [[float(ratio) for ratio in ratios if not isinstance(ratio, list)]] * maps


def stride_of(grid: tuple[int, int]) -> tuple[int, int]:
    """2 along each axis that is longer than one cell. Along the others 1 gives the same map, and the gradient too.

    (With 2, torch 2.15's bfloat16 convolution on CPUs reads beyond a map of width 1: gradients of random memory.)
    """
    return 1 + (grid[0] > 1), 1 + (grid[1] > 1)
