"""The words that all rooms share.

Letters: N images, C classes (background is none), M boxes of one image, K detections of one image, A default boxes,
H and W pixels. Boxes are x0 y0 x1 y1. Two units of length exist: pixels of the file, and pixels of the canvas (the
fixed (H, W) a model sees). They change into each other at two doors only: the data pipeline, and `ImageInfo.to_file`,
which the metric and `predict` use. Images are RGB in [0, 1]; each backbone normalises them itself.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


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


class Batch(NamedTuple):
    """images: (N, 3, H, W), uint8 as loaded or float in [0, 1] as a model takes them; targets and infos: N each.

    skipped: one line for each picture that could not be read and was replaced by another. In validation there may be
    more images than infos: filling that brings every batch to the same size and counts for nothing.
    """

    images: Tensor
    targets: list[Boxes]
    infos: list[ImageInfo]
    skipped: tuple[str, ...] = ()


class Detections(NamedTuple):
    """The prediction for N images at a fixed shape, best first, filled up with score 0.

    boxes: (N, K, 4) float32, canvas px; labels: (N, K) int64 in 0..C-1; scores: (N, K) float32 in [0, 1].
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor


class Detector(Protocol):
    """A detection model. None of the three jobs looks at `self.training` to choose what it returns."""

    num_classes: int
    canvas: tuple[int, int]  # (H, W)

    def losses(self, images: Tensor, targets: list[Boxes]) -> dict[str, Tensor]:
        """Scalars whose sum is to be minimised."""
        ...

    def raw(self, images: Tensor) -> tuple[Tensor, ...]:
        """The network's own output at fixed shapes, before decoding and NMS; torch.export-clean."""
        ...

    def forward(self, images: Tensor) -> Detections:
        """The prediction at fixed shapes; torch.export-clean."""
        ...
