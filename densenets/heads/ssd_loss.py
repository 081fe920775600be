"""What SSD minimises: softmax cross-entropy with hard negatives, or sigmoid focal loss; smooth L1 for the boxes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from densenets.boxes import BACKGROUND, IGNORED, encode

HARD = torch.finfo(torch.float32).min


def box_loss(offsets: Tensor, defaults: Tensor, labels: Tensor, boxes: Tensor) -> Tensor:
    """Sum over the claimed default boxes of smooth L1 (beta 1) on the coded offsets; () ."""
    claimed = labels >= 0
    wanted = encode(boxes[claimed], defaults.expand_as(boxes)[claimed])
    return F.smooth_l1_loss(offsets[claimed], wanted, reduction="sum")


def softmax_loss(logits: Tensor, labels: Tensor, negative_ratio: float, min_negatives: int) -> Tensor:
    """Sum of cross-entropy over the claimed default boxes and each image's hardest negatives; ().

    logits: (N, A, 1 + C), background first. An image gives `negative_ratio` negatives for each of its positives and at
    least `min_negatives`, so that one without objects teaches too (SSD paper, section 2.2, silent on such images).
    """
    wanted_class = (labels + 1).clamp(min=0)
    positives = labels >= 0
    with torch.no_grad():  # all are ranked, few are learnt from: the gradient of the rest is not worth its making
        hardness = F.cross_entropy(logits.flatten(0, 1), wanted_class.flatten(), reduction="none").view_as(labels)
        rank = hardness.masked_fill(labels != BACKGROUND, HARD).argsort(dim=1, descending=True).argsort(dim=1)
        count = (positives.sum(dim=1, keepdim=True) * negative_ratio).clamp(min=min_negatives)
        chosen = positives | ((rank < count) & (labels == BACKGROUND))
    return F.cross_entropy(logits[chosen], wanted_class[chosen], reduction="sum")


def focal_loss(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> Tensor:
    """Sum of the sigmoid focal loss over every default box that is not ignored; ().

    logits: (N, A, C), one sigmoid a class, no background (RetinaNet paper, eq. 5).
    """
    truth = F.one_hot(labels.clamp(min=0), logits.shape[-1]).to(logits.dtype) * (labels >= 0).unsqueeze(-1)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    chance = logits.sigmoid()
    wrong = chance * (1 - truth) + (1 - chance) * truth
    weight = alpha * truth + (1 - alpha) * (1 - truth)
    return (weight * wrong**gamma * entropy)[labels != IGNORED].sum()
