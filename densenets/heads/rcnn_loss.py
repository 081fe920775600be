"""What both stages of Faster R-CNN learn from: a fixed number of places, with as many objects among them as a part."""

import torch
from torch import Tensor
from torch.nn import functional

from densenets.boxes import BACKGROUND, encode, match_targets
from densenets.contract import Boxes


def sampled(found: Tensor, count: int, part: float) -> Tensor:
    """(N, A) true for `count` places of each image at most, drawn by torch's generator, none that is IGNORED.

    found: (N, A) class or index from 0 on, BACKGROUND or IGNORED. Up to `part` of the count are objects, the rest of it
    background.
    """
    draw = torch.rand(found.shape, device=found.device)
    objects = _first(draw, found >= 0, torch.full((len(found), 1), int(count * part), device=found.device))
    return objects | _first(draw, found == BACKGROUND, count - objects.sum(dim=1, keepdim=True))


def _first(draw: Tensor, allowed: Tensor, count: Tensor) -> Tensor:
    """The `count` (N, 1) allowed places of each row that drew the smallest numbers."""
    rank = draw.masked_fill(~allowed, 2.0).argsort(dim=1).argsort(dim=1)
    return allowed & (rank < count)


def place_targets(places: Tensor, valid: Tensor, target: Boxes, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of one image: (P + M, 4) its proposals and, so that each object is seen, its boxes; of these, as `match_targets`
    gives them, (P + M,) the classes and (P + M, 4) the boxes to find."""
    places = torch.cat([places[valid], target.boxes])
    labels, boxes = match_targets(places, [target], threshold, forced="none")
    return places, labels[0], boxes[0]


def place_losses(
    logits: Tensor, offsets: Tensor, places: Tensor, labels: Tensor, boxes: Tensor, beta: float
) -> dict[str, Tensor]:
    """`classification` and `box` over all places of the batch.

    logits: (K, 1 + C), background first; offsets: (K, C, 4); places, boxes: (K, 4); labels: (K,) class or BACKGROUND.
    """
    claimed = labels >= 0
    wanted = encode(boxes[claimed], places[claimed])
    own = offsets[claimed, labels[claimed]]
    count = max(len(labels), 1)
    return {
        "classification": functional.cross_entropy(logits, labels + 1, reduction="sum") / count,
        "box": functional.smooth_l1_loss(own, wanted, reduction="sum", beta=beta) / count,
    }
