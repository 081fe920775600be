"""What every segmentation head shares: the losses over the mask's pixels, and logits at the image's size."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from densenets.backbones.base import Backbone
from densenets.config import SegmentationOptions
from densenets.contract import IGNORED, ClassLayer, Mask
from densenets.errors import InputError
from densenets.heads import segmentation_loss as loss
from densenets.heads.upsampling import upsampled
from densenets.layers import ActivationName, ConvNormAct, precise, start_small

AUXILIARY_TAP = "c4"


class Segmentation(nn.Module, ABC):
    """A backbone and what stands on its taps, for images of any size (see `contract.Segmenter`).

    Args:
        backbone: is pruned to the taps that are read.
        num_classes: C; a mask's uint8 tells 255 apart at most.
        canvas: (H, W) in px of the crops it is trained on, for the record.
    """

    task = "segmentation"
    options_type = SegmentationOptions
    taps: ClassVar[tuple[str, ...]] = ("context",)
    output_stride = 16
    atrous = "slim"
    filters = 256
    dropout = 0.0
    norms_pooled = False  # whether BatchNorm sees one value an image

    def __init__(
        self, backbone: Backbone, num_classes: int, canvas: tuple[int, int], options: SegmentationOptions
    ) -> None:
        super().__init__()
        if num_classes > IGNORED:
            raise InputError(f"{num_classes} classes: a mask tells {IGNORED} apart at most")
        weights = options.class_weights
        if weights is not None and len(weights) != num_classes:
            raise InputError(
                f"--seg.class-weights: {num_classes} classes, of which each needs a weight; given: {len(weights)}"
            )
        auxiliary = (AUXILIARY_TAP,) if options.auxiliary else ()
        self.backbone = backbone.keep([*self.taps, *auxiliary])
        self.num_classes, self.canvas, self.options = num_classes, canvas, options
        self.filters = options.filters or self.filters
        self.left_out = nn.Dropout(self.dropout if options.dropout is None else options.dropout)
        self.register_buffer("class_weights", None if weights is None else torch.tensor(weights), persistent=False)
        self.auxiliary = self._auxiliary() if options.auxiliary else None

    class_weights: Tensor | None

    def _auxiliary(self) -> nn.Sequential:
        """A 3x3 convolution to a quarter of the channels, and a classifier (torchvision's FCN head)."""
        before = self.backbone.specs[AUXILIARY_TAP].channels
        inner = max(1, before // 4)
        head = nn.Sequential(self._conv(before, inner, 3), nn.Dropout(0.1), nn.Conv2d(inner, self.num_classes, 1))
        self.initialise(head)
        return head

    def _conv(
        self, before: int, after: int, kernel: int = 1, dilation: int = 1, activation: ActivationName = "relu"
    ) -> ConvNormAct:
        momentum = self.options.bn_momentum
        return ConvNormAct(before, after, kernel, dilation=dilation, activation=activation, momentum=momentum)

    @staticmethod
    def initialise(part: nn.Module) -> None:
        """The head, and a backbone without weights. On small scenes V2 and V3-small with either head got further in
        120 steps of SGD at 0.02 from these than from He's filters or TensorFlow's, of 0.09; at 0.1 about as far."""
        part.apply(start_small)

    def check_batch(self, images: int, size: Sequence[int] | None = None) -> None:
        """Of this size in px; of the canvas where not given."""
        single = self.norms_pooled or max(size or self.canvas) <= self.backbone.specs["context"].stride
        if images < 2 and single:
            raise InputError(
                f"a batch of {images} image (in each process): BatchNorm sees a map of 1x1 in this net and needs two "
                "images at least; take a larger batch (--batch-size), or more pictures [T04]"
            )

    @abstractmethod
    def decode(self, taps: dict[str, Tensor]) -> Tensor:
        """The backbone's maps -> (N, C, h, w) logits."""

    @abstractmethod
    def classifiers(self) -> list[nn.Conv2d]:
        """The layers whose outputs are the logits, summed where there are several."""

    def class_layers(self) -> list[ClassLayer]:
        second = [] if self.auxiliary is None else [self.auxiliary[-1]]
        return [ClassLayer(layer) for layer in [*self.classifiers(), *second]]

    def raw(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, C, h, w) logits, at the stride where the head ends."""
        return self.decode(self.backbone(images))

    def raw_with_auxiliary(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`raw`, and the second head's logits at the stride of its map, which only a training asks for."""
        assert self.auxiliary is not None
        taps = self.backbone(images)
        return self.decode(taps), self.auxiliary(taps[AUXILIARY_TAP])

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, C, H, W) logits in float32."""
        return upsampled(precise(self.raw(images)), images.shape[-2:])

    def losses(self, images: Tensor, targets: list[Mask]) -> dict[str, Tensor]:
        """`cross_entropy` and, where asked for, `dice`, `lovasz` and `auxiliary`, each times its weight.

        Logits are brought to the masks' size, never the masks down. Raises InputError for a batch too small for
        BatchNorm, ValueError for masks of another size than the images or with ids that are no class.
        """
        if self.training:
            self.check_batch(len(images), images.shape[-2:])
        ids = stacked(targets, images, self.num_classes)
        if self.auxiliary is None:
            return self._judge(precise(self.raw(images)), ids)
        logits, coarse = self.raw_with_auxiliary(images)
        found = self._judge(precise(logits), ids)
        entropy = loss.cross_entropy(precise(coarse), ids, self.class_weights, self.options.label_smoothing)
        return {**found, "auxiliary": self.options.auxiliary * entropy}

    def _judge(self, logits: Tensor, ids: Tensor) -> dict[str, Tensor]:
        options = self.options
        if options.loss == "ohem" or options.dice or options.lovasz:  # these need them fine, once is enough
            logits = upsampled(logits.contiguous(), ids.shape[-2:])
        plain = (self.class_weights, options.label_smoothing)
        if options.loss == "ohem":
            entropy = loss.hard_cross_entropy(logits, ids, *plain, options.ohem_threshold, options.ohem_kept)
        else:
            entropy = loss.cross_entropy(logits, ids, *plain)
        found = {"cross_entropy": entropy}
        if options.dice:
            found["dice"] = options.dice * loss.dice(logits, ids)
        if options.lovasz:
            found["lovasz"] = options.lovasz * loss.lovasz(logits, ids)
        return found


def stacked(targets: Sequence[Mask], images: Tensor, num_classes: int) -> Tensor:
    """(N, H, W) int64 ids. Raises ValueError unless the masks belong to the images and hold classes or IGNORED."""
    shapes = {tuple(target.ids.shape) for target in targets}
    if shapes != {tuple(images.shape[-2:])} or len(targets) != len(images):
        raise ValueError(f"{len(targets)} masks of {shapes} for images of {tuple(images.shape)}")
    ids = torch.stack([target.ids for target in targets])
    strange = (ids >= num_classes) & (ids != IGNORED)
    if strange.any():
        raise ValueError(f"masks with id {int(ids[strange][0])}, expected 0 to {num_classes - 1} or {IGNORED}")
    return ids.long()
