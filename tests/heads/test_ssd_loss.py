"""The losses, against sums worked out the long way."""

import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from densenets.boxes import BACKGROUND, IGNORED, encode, match_targets
from densenets.contract import Boxes
from densenets.heads.ssd_loss import box_loss, focal_loss, softmax_loss

DEFAULTS = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [20, 0, 30, 10], [30, 0, 40, 10]])


def test_each_default_box_gets_its_label_and_box() -> None:
    boxes = torch.tensor([[30.0, 0, 39, 10], [1, 0, 10, 10]])
    target = Boxes(boxes, torch.tensor([7, 3]))
    empty = Boxes(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    labels, wanted = match_targets(DEFAULTS, [target, empty], 0.5)
    assert labels.tolist() == [[3, -1, -1, 7], [-1, -1, -1, -1]]
    assert torch.equal(wanted[0, 0], boxes[1])
    assert torch.equal(wanted[0, 3], boxes[0])


def test_three_hardest_negatives_for_each_positive() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 10, 3, generator=generator)
    labels = torch.full((1, 10), BACKGROUND)
    labels[0, 2], labels[0, 5] = 1, IGNORED
    each = F.cross_entropy(logits[0], (labels[0] + 1).clamp(min=0), reduction="none")
    negatives = sorted((float(each[i]) for i in range(10) if i not in (2, 5)), reverse=True)[:3]
    assert torch.isclose(softmax_loss(logits, labels, 3.0, 1), each[2] + sum(negatives))


def test_an_image_without_objects_teaches_its_hardest_negatives() -> None:
    logits = torch.zeros(1, 10, 3)
    logits[0, 4, 1] = 5.0  # sure of an object where there is none
    labels = torch.full((1, 10), BACKGROUND)
    expected = F.cross_entropy(logits[0, 4:5], torch.tensor([0])) + 2 * F.cross_entropy(
        logits[0, :1], torch.tensor([0])
    )
    assert torch.isclose(softmax_loss(logits, labels, 3.0, 3), expected)


def test_an_ignored_default_box_gets_no_gradient() -> None:
    labels = torch.tensor([[0, IGNORED, BACKGROUND, BACKGROUND]])
    softmax, focal = (lambda z: softmax_loss(z, labels, 3.0, 3)), (lambda z: focal_loss(z, labels, 0.75, 2))
    for loss, classes in ((softmax, 3), (focal, 2)):
        logits = torch.randn(1, 4, classes, generator=torch.Generator().manual_seed(1)).requires_grad_()
        loss(logits).backward()
        assert logits.grad is not None
        assert logits.grad[0, 1].abs().sum() == 0
        assert (logits.grad[0, [0, 2, 3]].abs().sum(dim=-1) > 0).all()


def test_focal_loss_is_torchvisions() -> None:
    logits = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(2))
    labels = torch.tensor([[0, 1, 2, -1, -1, -1], [-1, -1, 2, 2, -1, 0]])
    truth = torch.zeros(2, 6, 3)
    for n, a in (labels >= 0).nonzero().tolist():
        truth[n, a, labels[n, a]] = 1
    expected = sigmoid_focal_loss(logits, truth, alpha=0.75, gamma=2, reduction="sum")
    assert torch.isclose(focal_loss(logits, labels, 0.75, 2.0), expected)


def test_box_loss_counts_claimed_boxes_only() -> None:
    labels = torch.tensor([[0, BACKGROUND, IGNORED, BACKGROUND]])
    boxes = DEFAULTS.clone()[None]
    boxes[0, 0] = torch.tensor([2.0, 1, 9, 9])
    offsets = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(3))
    expected = F.smooth_l1_loss(offsets[0, :1], encode(boxes[0, :1], DEFAULTS[:1]), reduction="sum")
    assert torch.isclose(box_loss(offsets, DEFAULTS, labels, boxes), expected)


def test_no_object_at_all_gives_a_box_loss_of_zero_with_a_graph() -> None:
    offsets = torch.randn(1, 4, 4, requires_grad=True)
    loss = box_loss(offsets, DEFAULTS, torch.full((1, 4), BACKGROUND), DEFAULTS[None])
    loss.backward()
    assert loss == 0
