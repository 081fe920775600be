"""A fixed number of cells from any box of a map: RoIAlign (paper: Mask R-CNN, section 3) as two matrix products.

The mean of bilinear samples on a grid is a weighted sum along one axis of a weighted sum along the other. The numbers
are those of torchvision's roi_align, but its gradient, which scatters every sample, takes ten times as long on a CPU
(tools/bench.py, "windows").
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def windows(
    x: Tensor, places: Sequence[Tensor], cells: int, stride: int, samples: int, share: Tensor | None = None
) -> Tensor:
    """(N, C, h, w) and, for each image, boxes (P, 4) in canvas px -> (N * P, C, cells, cells).

    Each cell is the mean of samples x samples bilinear ones; what lies more than a cell outside the map is 0, and a box
    narrower than a cell counts as one. share: (N * P,) a factor of each window.
    """
    rows, shares = [], [None] * len(places) if share is None else share.split([len(p) for p in places])
    for own, boxes, factor in zip(x.unbind(0), places, shares, strict=True):
        x0, y0, x1, y1 = (boxes / stride).unbind(1)
        down, across = _weights(y0, y1, cells, samples, x.shape[2]), _weights(x0, x1, cells, samples, x.shape[3])
        if factor is not None:
            down = down * factor[:, None, None]
        flat = own.permute(1, 2, 0).flatten(1)  # (h, w * C): no copy where the memory is channels_last
        lines = (down.flatten(0, 1) @ flat).view(len(boxes), cells, x.shape[3], x.shape[1])
        rows.append(across.unsqueeze(1) @ lines)  # (P, cells, cells, C)
    return torch.cat(rows).permute(0, 3, 1, 2)


def _weights(low: Tensor, high: Tensor, cells: int, samples: int, length: int) -> Tensor:
    """(P,) ends in cells of an axis of that length -> (P, cells, length) how much of each goes into each cell."""
    places = (torch.arange(cells * samples, dtype=low.dtype, device=low.device) + 0.5) / (cells * samples)
    at = low.unsqueeze(1) + places * (high - low).clamp(min=1).unsqueeze(1)
    seen = (at >= -1) & (at <= length)
    near = 1 - (at.clamp(0, length - 1).unsqueeze(2) - torch.arange(length, device=low.device)).abs()
    return (near.clamp(min=0) * seen.unsqueeze(2)).unflatten(1, (cells, samples)).mean(dim=2)
