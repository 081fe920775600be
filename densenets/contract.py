"""The words that all rooms share.

Letters: N images, C classes (background is none), M boxes of one image, K detections of one image, A default boxes,
H and W pixels. Boxes are x0 y0 x1 y1. Two units of length exist: pixels of the file, and pixels of the canvas (the
(H, W) a model sees: fixed for a detector, any for a segmenter). They change into each other at two doors only: the data
pipeline, and `ImageInfo`, which the metric and `predict` use. Images are RGB in [0, 1]; each backbone normalises them
itself.
"""

from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import _pytree


class FeatureSpec(NamedTuple):
    """What a tap gives: (N, channels, ceil(H / stride), ceil(W / stride))."""

    channels: int
    stride: int


class Boxes(NamedTuple):
    """The objects of one image.

    boxes: (M, 4) float32, canvas px, 0 <= x0 < x1 <= W and 0 <= y0 < y1 <= H.
    labels: (M,) int64 in 0..C-1.
    scores: (M,) float32, falling; None in a target.
    ignore: (R, 4) float32 regions where a detection is neither right nor wrong (COCO crowds); None where none are.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor | None = None
    ignore: Tensor | None = None


def size_told(size: tuple[int, int]) -> str:
    """(H, W) in words, as no two numbers alone say which is which."""
    return f"height {size[0]}, width {size[1]} px"


IGNORED = 255  # in a mask: of no class, counts nowhere


class Mask(NamedTuple):
    """The class of each pixel of one image.

    ids: (H, W) uint8 in 0..C-1, or IGNORED. Canvas px in training; file px in validation, where it is compared.
    instances: (H, W) int32, of validation alone: which pixels are one object (equal numbers above 0, each within one
    class), 0 where the data set counts none; None where it has no such map.
    """

    ids: Tensor
    instances: Tensor | None = None


Target = TypeVar("Target", Boxes, Mask)


class ImageInfo(NamedTuple):
    """Where an image came from. height and width are file px; canvas px = file px * scale, with scale = (x, y)."""

    image_id: int
    file: str
    height: int
    width: int
    scale: tuple[float, float]

    def to_file(self, boxes: Tensor) -> Tensor:
        """(K, 4) boxes of the canvas in file px, cut at the file's edges."""
        factor = torch.tensor([*self.scale, *self.scale], dtype=torch.float64)
        limit = torch.tensor([self.width, self.height, self.width, self.height], dtype=torch.float64)
        return (boxes.detach().cpu().double() / factor).clamp(min=0).minimum(limit)

    def logits_to_file(self, logits: Tensor) -> Tensor:
        """(C, H, W) logits of the canvas at the file's height and width, by bilinear interpolation."""
        size = (self.height, self.width)
        if logits.shape[-2:] == size:
            return logits
        resized: Tensor = functional.interpolate(logits[None].float(), size=size, mode="bilinear", align_corners=False)
        return resized[0]


class Batch(NamedTuple, Generic[Target]):
    """images: (N, 3, H, W), uint8 as loaded or float in [0, 1] as a model takes them; targets and infos: N each.

    skipped: one line for each picture that could not be read and was replaced by another. In validation there may be
    more images than infos: filling that brings every batch to the same size and counts for nothing.
    """

    images: Tensor
    targets: list[Target]
    infos: list[ImageInfo]
    skipped: tuple[str, ...] = ()


class Detections(NamedTuple):
    """The prediction for N images at a fixed shape, best first, filled up with score 0.

    boxes: (N, K, 4) float32, canvas px; labels: (N, K) int64 in 0..C-1; scores: (N, K) float32 in [0, 1].
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor


# An exported detector can be saved only so: torch has no public name for it, and names this one in its message.
_pytree._register_namedtuple(Detections, serialized_type_name="densenets.contract.Detections")


class ClassLayer(NamedTuple):
    """A layer whose outputs are, once or several times over: `before` of no class, then `values` of each class."""

    layer: nn.Module
    before: int = 0
    values: int = 1


class Detector(Protocol):
    """A detection model. None of the three jobs looks at `self.training` to choose what it returns."""

    num_classes: int
    canvas: tuple[int, int]  # (H, W)
    keep_ratio: bool  # whether pictures fill the canvas only as far as their ratio lets them, or are stretched to it

    def check_batch(self, images: int) -> None:
        """InputError where a training step of so many images cannot be: BatchNorm would have a single value."""
        ...

    def losses(self, images: Tensor, targets: list[Boxes]) -> dict[str, Tensor]:
        """Scalars whose sum is to be minimised."""
        ...

    def raw(self, images: Tensor) -> tuple[Tensor, ...]:
        """The network's own output at fixed shapes, before decoding and NMS; torch.export-clean."""
        ...

    def forward(self, images: Tensor) -> Detections:
        """The prediction at fixed shapes; torch.export-clean."""
        ...

    def class_layers(self) -> list[ClassLayer]:
        """Where the number of classes shows; a training that starts from other classes takes its rows by name."""
        ...


class Segmenter(Protocol):
    """A segmentation model, for images of any size. None of its jobs looks at `self.training` to choose its result."""

    num_classes: int

    def check_batch(self, images: int) -> None:
        """As of a `Detector`."""
        ...

    def losses(self, images: Tensor, targets: list[Mask]) -> dict[str, Tensor]:
        """Scalars whose sum is to be minimised; 0 where no pixel counts."""
        ...

    def raw(self, images: Tensor) -> Tensor:
        """(N, C, h, w) logits as the head computes them, before they are brought to the input's size."""
        ...

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) logits at the input's size; torch.export-clean."""
        ...

    def class_layers(self) -> list[ClassLayer]:
        """As of a `Detector`."""
        ...
