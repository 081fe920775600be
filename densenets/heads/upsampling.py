"""Logits of a coarse map at the size of the image, and their cross-entropy there.

The cross-entropy never has the fine logits in memory: interpolation, softmax and the gradients of both go over some
rows of one image at a time, which mostly stay in a CPU's cache. For 19 classes at 512x1024 that takes a quarter of the
time of the same steps over whole maps, and the largest tensors of a training step are gone. Interpolation is a product
of matrices there, so that its gradient is deterministic on CUDA too, which torch's own is not.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from densenets.contract import IGNORED

BAND = {"cpu": 2**21}  # values at once; elsewhere as many as an image has: launches cost more than memory there


def upsampled(logits: Tensor, size: Sequence[int]) -> Tensor:
    """(N, C, h, w) at another height and width, by bilinear interpolation between the cells' centres."""
    resized: Tensor = functional.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)
    return resized


def summed_entropy(logits: Tensor, ids: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum over the pixels that count of cross-entropy times the class's weight; ().

    logits: (N, C, h, w) float32, `upsampled` to ids, (N, H, W) int64 in 0..C-1 or IGNORED. weights: (C,).
    """
    total: Tensor = _SummedEntropy.apply(logits, ids, weights)
    return total


def interpolation(fine: int, coarse: int, like: Tensor) -> Tensor:
    """(fine, coarse) matrix of linear interpolation between the cells' centres; each row sums to 1."""
    places = (torch.arange(fine, device=like.device, dtype=torch.float64) + 0.5) * coarse / fine - 0.5
    places = places.clamp(0, coarse - 1)
    before = places.floor().long().clamp(max=max(coarse - 2, 0))
    part = places - before
    matrix = torch.zeros(fine, coarse, dtype=torch.float64, device=like.device)
    matrix.scatter_(1, before[:, None], 1 - part[:, None])
    if coarse > 1:
        matrix.scatter_(1, before[:, None] + 1, part[:, None])
    return matrix.to(like.dtype)


class _SummedEntropy(torch.autograd.Function):
    """The gradient is made on the way: forward and backward would need the same softmax."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, ids: Tensor, weights: Tensor | None) -> Tensor:
        with torch.autocast(logits.device.type, enabled=False):
            total, gradient = _both(logits.contiguous(), ids, weights)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * given, None, None


def _both(logits: Tensor, ids: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """The sum and its gradient by `logits`."""
    (classes, height, width), (fine_height, fine_width) = logits.shape[1:], ids.shape[1:]
    down, across = interpolation(fine_height, height, logits), interpolation(fine_width, width, logits)
    step = max(1, BAND.get(logits.device.type, fine_height * fine_width * classes) // (classes * fine_width))
    wide = logits @ across.T  # (N, C, h, W)
    gradient = torch.zeros_like(wide)
    totals = []
    for image, slopes, truth in zip(wide, gradient, ids, strict=True):
        for top in range(0, fine_height, step):
            band = down[top : top + step]
            used = slice(*_used(top, len(band), fine_height, height))
            total, slope = _band(band[:, used] @ image[:, used], truth[top : top + step], weights)
            slopes[:, used] += band[:, used].T @ slope
            totals.append(total)
    return torch.stack(totals).sum(), gradient @ across


def _used(top: int, rows: int, fine: int, coarse: int) -> tuple[int, int]:
    """First and last coarse row that some fine rows are made of; one more at each end does no harm."""
    return max(0, int(top * coarse / fine) - 1), min(coarse, int((top + rows) * coarse / fine) + 2)


def _band(logits: Tensor, truth: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """(C, b, W) logits and (b, W) ids -> the summed loss and its gradient, for which the logits' memory is used."""
    counted = truth != IGNORED
    label = truth.where(counted, 0)
    weight = counted.to(logits.dtype) if weights is None else weights[label] * counted
    logits -= logits.amax(dim=0)
    right = logits.gather(0, label[None])[0]
    chance = logits.exp_()
    size = chance.sum(dim=0)
    total = ((size.log() - right) * weight).sum()
    slope = chance.mul_(weight / size)
    slope.scatter_add_(0, label[None], -weight[None])
    return total, slope
