"""What a segmenter minimises. Pixels of IGNORED count nowhere; where none counts, a loss is 0 and so is its gradient.

Everywhere logits are (N, C, H, W) float32 (in `cross_entropy` of any size, then upsampled) and ids (N, H, W) int64 in
0..C-1 or IGNORED.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from densenets.contract import IGNORED
from densenets.heads.upsampling import summed_entropy, upsampled


def cross_entropy(logits: Tensor, ids: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """The mean over the pixels that count, each weighted by its class; ()."""
    if smoothing == 0:
        total = summed_entropy(logits, ids, weights)
    else:
        coarse = logits.shape[-2:] != ids.shape[-2:]
        fine = upsampled(logits.contiguous(), ids.shape[-2:]) if coarse else logits
        total = pixel_losses(fine, ids, weights, smoothing).sum()
    return total / _weight(ids, ids != IGNORED, weights)


def hard_cross_entropy(
    logits: Tensor, ids: Tensor, weights: Tensor | None, smoothing: float, threshold: float, kept: float
) -> Tensor:
    """The mean over the hard pixels: those whose class gets a probability below `threshold`, and the hardest `kept`
    part of those that count in any case; ()."""
    each = pixel_losses(logits, ids, weights, smoothing)
    plain = weights is None and smoothing == 0
    hardness = each.detach() if plain else pixel_losses(logits.detach(), ids, None, 0.0)
    counted = ids != IGNORED
    limit = -math.log(max(threshold, torch.finfo(torch.float32).tiny))
    wanted = math.ceil(kept * int(counted.sum()))
    if int(((hardness > limit) & counted).sum()) < wanted:
        limit = float(hardness[counted].topk(wanted).values[-1])
        hard = counted & (hardness >= limit)
    else:
        hard = counted & (hardness > limit)
    return (each * hard).sum() / _weight(ids, hard, weights)


def pixel_losses(logits: Tensor, ids: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """(N, H, W) weighted cross-entropy of each pixel, 0 where it does not count.

    The sum is left to the caller: torch's own is not deterministic on CUDA.
    """
    return F.cross_entropy(logits, ids, weights, ignore_index=IGNORED, reduction="none", label_smoothing=smoothing)


def _weight(ids: Tensor, chosen: Tensor, weights: Tensor | None) -> Tensor:
    """What a sum of pixel losses is divided by: never 0."""
    if weights is None:
        return chosen.sum().clamp(min=1)
    return weights[ids[chosen]].sum().clamp(min=torch.finfo(torch.float32).tiny)


def dice(logits: Tensor, ids: Tensor) -> Tensor:
    """1 - 2 |P and T| / (|P| + |T|), with probabilities for P, over all pixels of the batch at once; the mean over the
    classes that occur in it; ()."""
    counted = (ids != IGNORED).flatten(1)  # (N, P)
    chance = logits.softmax(dim=1).flatten(2)  # (N, C, P)
    truth = ids.flatten(1).where(counted, 0)
    right = chance.gather(1, truth.unsqueeze(1)).squeeze(1) * counted
    size = _per_class(counted.to(chance.dtype), truth, logits.shape[1])
    both = _per_class(right, truth, logits.shape[1])
    given = (chance @ counted.to(chance.dtype).unsqueeze(2)).sum(dim=(0, 2))  # (C,)
    missed = 1 - 2 * both / (given + size).clamp(min=torch.finfo(torch.float32).tiny)
    present = size > 0
    return missed.where(present, 0).sum() / present.sum().clamp(min=1)


def _per_class(values: Tensor, classes: Tensor, count: int) -> Tensor:
    """(C,) sums of (N, P) values by their class."""
    return values.new_zeros(count).index_add(0, classes.flatten(), values.flatten())


def lovasz(logits: Tensor, ids: Tensor) -> Tensor:
    """Lovasz-Softmax: the convex extension of 1 - IoU, over all pixels of the batch at once; the mean over the classes
    that occur in it (Berman et al. 2018); ()."""
    counted = ids != IGNORED
    truth = ids[counted]
    chance = logits.softmax(dim=1).permute(1, 0, 2, 3)[:, counted]  # (C, pixels)
    present = truth.unique().tolist()
    terms = [_extension(chance[label], truth == label) for label in present]
    return torch.stack(terms).mean() if terms else chance.sum()


def _extension(chance: Tensor, truth: Tensor) -> Tensor:
    """Of one class: the errors, largest first, each times what it adds to 1 - IoU when the pixels before are wrong."""
    errors, order = torch.where(truth, 1 - chance, chance).sort(descending=True)
    right = truth[order].cumsum(0)  # of the class, among the first k; whole numbers: float32 would stop at 2^24
    wrong = torch.arange(1, len(order) + 1, device=order.device) - right
    total = right[-1]
    lost = 1 - (total - right).double() / (total + wrong)
    return errors @ lost.diff(prepend=lost.new_zeros(1)).to(errors.dtype)
