"""What every detection head shares: a fixed canvas, what may be given to it, and how its maps become rows."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from densenets.backbones.base import Backbone
from densenets.config import DetectionOptions
from densenets.contract import Boxes, ClassLayer
from densenets.errors import InputError
from densenets.layers import start_small


class Detection(nn.Module, ABC):
    """A backbone and what stands on its taps, for images of one size (see `contract.Detector`).

    A head sets `defaults`, (A, 4) default boxes or anchors in canvas px, `sized_by`, the flag that gives them the sizes
    they have, `finds_from`, the overlap with an object from which one of them has to find it, and `normed`, rows and
    columns of maps that a BatchNorm sees, the smallest among them.

    Args:
        num_classes: C, without background.
        canvas: (H, W) of every image it will ever see, in px.
    """

    task = "detection"
    output_stride = 32
    atrous = "slim"
    keep_ratio: ClassVar[bool] = False
    defaults_are: ClassVar[str] = "default boxes"

    backbone: Backbone
    options: DetectionOptions
    defaults: Tensor
    sized_by: str
    finds_from: float
    normed: Sequence[tuple[int, int]]

    def __init__(self, num_classes: int, canvas: tuple[int, int], options: DetectionOptions) -> None:
        super().__init__()
        self.num_classes, self.canvas, self.options = num_classes, canvas, options

    @abstractmethod
    def class_layers(self) -> list[ClassLayer]:
        """The layers with outputs of single classes."""

    @staticmethod
    def initialise(part: nn.Module) -> None:
        """The head, and a backbone without weights; as TensorFlow's recipes for these detectors and torchvision's."""
        part.apply(start_small)

    def check_batch(self, images: int) -> None:
        if images * min(rows * columns for rows, columns in self.normed) < 2:
            raise InputError(
                f"a batch of {images} image (in each process): the last map is 1x1, where BatchNorm needs two images "
                "at least; take a larger batch (--batch-size) or canvas, or more pictures [T04]"
            )

    def check_images(self, images: Tensor) -> None:
        """Raises ValueError for images that do not fill the canvas."""
        if images.shape[1:] != (3, *self.canvas):
            raise ValueError(
                f"images of shape {tuple(images.shape)}, expected (N, 3, {self.canvas[0]}, {self.canvas[1]})"
            )

    def check_labels(self, targets: Sequence[Boxes]) -> None:
        """Raises ValueError for a label outside 0..C-1: -1 would pass as background."""
        labels = torch.cat([target.labels for target in targets])
        if ((labels < 0) | (labels >= self.num_classes)).any():
            found = f"{int(labels.min())} to {int(labels.max())}"
            raise ValueError(f"labels from {found}, expected 0 to {self.num_classes - 1}")


def grids_of(canvas: tuple[int, int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """(rows, columns) of maps of these strides."""
    return [(-(-canvas[0] // stride), -(-canvas[1] // stride)) for stride in strides]


def as_rows(output: Tensor, values: int) -> Tensor:
    """(N, P * values, h, w) -> (N, h * w * P, values): free of copies where the memory is channels_last."""
    return output.permute(0, 2, 3, 1).reshape(output.shape[0], -1, values)
