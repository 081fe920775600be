"""The first stage of Faster R-CNN: where something may be, whatever it is (paper: Faster R-CNN, section 3)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from densenets import boxes as box
from densenets.heads.detection import as_rows
from densenets.heads.rcnn_loss import sampled

RPN_WEIGHTS = (1.0, 1.0, 1.0, 1.0)  # of the coded offsets


class Proposals(NamedTuple):
    """boxes: (N, P, 4) finite canvas px, best first; valid: (N, P) false where an image had no more of them."""

    boxes: Tensor
    valid: Tensor


class RPN(nn.Module):
    """The same small head on every map: a 3x3 layer, then whether there is an object and where, for each anchor.

    Args:
        body: (N, C, h, w) -> (N, C, h, w).
        channels: C.
        anchors: of a cell.
        outputs: 1, or 2 as the V1 paper's net has it (background, object), of which the difference counts.
    """

    def __init__(self, body: nn.Module, channels: int, anchors: int, outputs: int = 1) -> None:
        super().__init__()
        self.outputs = outputs
        self.body = body
        self.objectness = nn.Conv2d(channels, anchors * outputs, 1)
        self.offsets = nn.Conv2d(channels, anchors * 4, 1)
        for layer in (self.objectness, self.offsets):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits (N, A) and offsets (N, A, 4) of all anchors, map by map."""
        logits, offsets = [], []
        for x in (self.body(m) for m in maps):
            found = as_rows(self.objectness(x), self.outputs)
            logits.append(found[..., -1] - found[..., 0] if self.outputs == 2 else found[..., 0])
            offsets.append(as_rows(self.offsets(x), 4))
        return torch.cat(logits, dim=1), torch.cat(offsets, dim=1)


class Selection(NamedTuple):
    """How many anchors become proposals: candidates of a map, their NMS' IoU, a score to exceed, how many are left."""

    of_a_map: int
    nms_iou: float
    threshold: float
    keep: int


def propose(
    logits: Tensor,
    offsets: Tensor,
    anchors: Tensor,
    counts: Sequence[int],
    canvas: tuple[int, int],
    chosen: Selection,
) -> Proposals:
    """The best places of each image, of fixed number. counts: anchors of each map. Nothing is learnt through them.

    An offset that is not finite counts as none: RoIAlign, which reads where a box says, never sees such a box.
    """
    logits, offsets = logits.detach(), offsets.detach()
    index, levels, start = [], [], 0
    for level, count in enumerate(counts):
        best = logits[:, start : start + count].topk(min(chosen.of_a_map, count), dim=1).indices
        index.append(best + start)
        levels.append(torch.full_like(best, level))
        start += count
    picked = torch.cat(index, dim=1)
    offsets = offsets.gather(1, picked.unsqueeze(-1).expand(-1, -1, 4)).nan_to_num(0.0, 0.0, 0.0)
    places = box.decode(offsets, anchors[picked], canvas, RPN_WEIGHTS)
    scores = logits.gather(1, picked).sigmoid().nan_to_num(0.0)
    limits = (chosen.threshold, chosen.nms_iou, chosen.keep, max(canvas))
    found = box.fill(box.suppress(places, torch.cat(levels, dim=1), scores, *limits), chosen.keep)
    return Proposals(found.boxes, found.scores > 0)


def proposal_losses(
    logits: Tensor, offsets: Tensor, anchors: Tensor, found: Tensor, boxes: Tensor, samples: int, beta: float
) -> dict[str, Tensor]:
    """`objectness` and `proposal`, over `samples` anchors of each image, half of them objects where so many are.

    found, boxes: of the anchors, as `match_targets` gives them; of which class an object is does not matter.
    """
    chosen = sampled(found, samples, 0.5)
    claimed = chosen & (found >= 0)
    count = chosen.sum().clamp(min=1)
    entropy = functional.binary_cross_entropy_with_logits(
        logits[chosen], (found[chosen] >= 0).to(logits.dtype), reduction="sum"
    )
    wanted = box.encode(boxes[claimed], anchors.expand_as(boxes)[claimed], RPN_WEIGHTS)
    distance = functional.smooth_l1_loss(offsets[claimed], wanted, reduction="sum", beta=beta)
    return {"objectness": entropy / count, "proposal": distance / count}
