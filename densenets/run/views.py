"""Seeing a picture more than once: at several scales, mirrored, through a window that slides over it."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from densenets.errors import InputError
from densenets.metrics.segmentation_judge import all_finite


class ManyViews(nn.Module):
    """A segmenter's class probabilities, averaged over all views of a picture (DeepLabV3, section 4.1).

    window: (H, W) px of a window that slides over the picture at each scale; None is the whole picture. overlap: part
    of a window that the next one covers too, at the least. scales: factors of the picture's size. flip: mirrored too.
    """

    def __init__(
        self,
        model: nn.Module,
        window: tuple[int, int] | None = None,
        overlap: float = 1 / 3,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.window, self.overlap, self.scales, self.flip = model, window, overlap, tuple(scales), flip

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, C, H, W) probabilities."""
        size = images.shape[-2:]
        total = None
        for view, mirrored in self._views(images):
            seen = self._seen(view)
            back = functional.interpolate(seen.flip(-1) if mirrored else seen, size, mode="bilinear")
            total = back if total is None else total.add_(back)
        assert total is not None
        return total.div_(len(self.scales) * (1 + self.flip))

    def _views(self, images: Tensor) -> Iterator[tuple[Tensor, bool]]:
        """Each picture at each scale, and whether it is mirrored."""
        height, width = images.shape[-2:]
        for scale in self.scales:
            size = (_scaled(height, scale), _scaled(width, scale))
            view = images if scale == 1 else functional.interpolate(images, size, mode="bilinear", antialias=scale < 1)
            yield view, False
            if self.flip:
                yield view.flip(-1), True

    def _seen(self, view: Tensor) -> Tensor:
        """Probabilities of one view: where windows overlap, their mean."""
        if self.window is None:
            return self._probabilities(view)
        height, width = view.shape[-2:]
        high, wide = min(self.window[0], height), min(self.window[1], width)
        total = seen = None
        for top in places(height, high, self.overlap):
            for left in places(width, wide, self.overlap):
                here = (..., slice(top, top + high), slice(left, left + wide))
                found = self._probabilities(view[here])
                if total is None:
                    total = found.new_zeros(*found.shape[:2], height, width)
                    seen = found.new_zeros(height, width)
                assert seen is not None
                total[here] += found
                seen[here[1:]] += 1
        assert total is not None
        assert seen is not None
        return total.div_(seen)

    def _probabilities(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images.contiguous(memory_format=torch.channels_last))
        if not all_finite(logits):
            return torch.full_like(logits, math.nan)  # the judge tells of it; a softmax would hide an infinity
        return logits.softmax(dim=1)


def places(length: int, window: int, overlap: float) -> list[int]:
    """Where windows begin, evenly spread, so that they cover `length` and share `overlap` of a window at the least."""
    step = max(1, math.floor(window * (1 - overlap)))
    count = math.ceil((length - window) / step)
    return [round(number * (length - window) / count) for number in range(count + 1)] if count else [0]


def _scaled(side: int, scale: float) -> int:
    if (scaled := round(side * scale)) < 1:
        raise InputError(f"--scales: {scale:g}: nothing is left of a side of {side} px")
    return scaled
