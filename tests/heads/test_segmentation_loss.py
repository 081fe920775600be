"""The losses, against their definitions worked out the long way on tiny maps."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from densenets.contract import IGNORED
from densenets.heads import segmentation_loss as loss
from densenets.heads import upsampling

WEIGHTS = torch.tensor([1.0, 0.5, 3.0])
TERMS = {
    "ce": lambda z, t: loss.cross_entropy(z, t),
    "weighted": lambda z, t: loss.cross_entropy(z, t, WEIGHTS),
    "smoothed": lambda z, t: loss.cross_entropy(z, t, WEIGHTS, 0.1),
    "ohem": lambda z, t: loss.hard_cross_entropy(z, t, None, 0.0, 0.7, 0.25),
    "dice": lambda z, t: loss.dice(z, t),
    "lovasz": lambda z, t: loss.lovasz(z, t),
}
EVERY = pytest.mark.parametrize("term", TERMS)


def example(seed: int = 0, height: int = 3, width: int = 4, classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, height, width, generator=generator) * 2
    ids = torch.randint(0, classes, (2, height, width), generator=generator)
    ids[0, 0, :2], ids[1, 2, 3] = IGNORED, IGNORED
    return logits.requires_grad_(), ids


@EVERY
def test_an_ignored_pixel_has_no_say_and_no_gradient(term: str) -> None:
    logits, ids = example()
    first = TERMS[term](logits, ids)
    first.backward()
    gone = (ids == IGNORED).unsqueeze(1).expand_as(logits)
    assert logits.grad is not None
    assert logits.grad[gone].abs().sum() == 0
    assert logits.grad[~gone].abs().sum() > 0
    assert torch.allclose(TERMS[term](torch.where(gone, 100.0, logits.detach()), ids), first)


@EVERY
def test_no_pixel_that_counts_gives_zero_with_a_graph(term: str) -> None:
    logits, ids = example()
    value = TERMS[term](logits, torch.full_like(ids, IGNORED))
    value.backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() == 0
    assert value == 0


@EVERY
def test_logits_that_are_not_finite_show(term: str) -> None:
    logits, ids = example()
    broken = logits.detach().clone()
    broken[1, 0, 0, 0] = math.nan
    assert TERMS[term](broken, ids).isnan()


@EVERY
def test_a_perfect_prediction_costs_nothing(term: str) -> None:
    ids = example()[1]
    sure = F.one_hot(ids.where(ids != IGNORED, 0), 3).permute(0, 3, 1, 2) * 60.0
    if term != "smoothed":
        assert TERMS[term](sure, ids).item() == pytest.approx(0, abs=1e-5)


@EVERY
def test_gradients_are_those_of_finite_differences(term: str) -> None:
    logits, ids = example()
    weights = WEIGHTS.double()
    exact = {"weighted": lambda z: loss.cross_entropy(z, ids, weights)}
    exact["smoothed"] = lambda z: loss.cross_entropy(z, ids, weights, 0.1)
    function = exact.get(term, lambda z: TERMS[term](z, ids))
    assert torch.autograd.gradcheck(function, (logits.detach().double().requires_grad_(),))


@pytest.mark.parametrize(("weights", "smoothing"), [(None, 0.0), (WEIGHTS, 0.0), (None, 0.2), (WEIGHTS, 0.2)])
def test_cross_entropy_is_torchs(weights: Tensor | None, smoothing: float) -> None:
    logits, ids = example()
    expected = F.cross_entropy(logits, ids, weights, ignore_index=IGNORED, label_smoothing=smoothing)
    assert torch.isclose(loss.cross_entropy(logits, ids, weights, smoothing), expected)


@pytest.mark.parametrize("kept", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_hard_pixels_one_by_one(kept: float, weights: Tensor | None) -> None:
    logits, ids = example()
    rows = []
    for n, y, x in itertools.product(range(2), range(3), range(4)):
        if ids[n, y, x] != IGNORED:
            chance = logits[n, :, y, x].softmax(0)[ids[n, y, x]].item()
            rows.append((chance, 1.0 if weights is None else weights[ids[n, y, x]].item()))
    rows.sort()
    hard = [row for i, row in enumerate(rows) if row[0] < 0.3 or i < math.ceil(kept * len(rows))]
    assert 0 < len(hard) < len(rows) or kept == 1
    expected = sum(-math.log(chance) * weight for chance, weight in hard) / sum(weight for _, weight in hard)
    found = loss.hard_cross_entropy(logits, ids, weights, 0.0, 0.3, kept)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_dice_one_by_one() -> None:
    logits, ids = example()
    chance, terms = logits.softmax(1), []
    for label in range(3):
        both = given = size = 0.0
        for n, y, x in itertools.product(range(2), range(3), range(4)):
            if ids[n, y, x] != IGNORED:
                given += chance[n, label, y, x].item()
                size += float(ids[n, y, x] == label)
                both += chance[n, label, y, x].item() * float(ids[n, y, x] == label)
        terms.append(1 - 2 * both / (given + size))
    assert loss.dice(logits, ids).item() == pytest.approx(sum(terms) / 3, rel=1e-5)


def jaccard_loss(wrong: set[int], truth: set[int]) -> float:
    """1 - IoU of a class where the pixels in `wrong` are taken for the other of in and out."""
    predicted = truth ^ wrong
    return 1 - len(truth & predicted) / len(truth | predicted)


def lovasz_extension(errors: list[float], truth: set[int]) -> float:
    """The integral of 1 - IoU of {errors above a level} over all levels: the extension's definition (Choquet)."""
    levels = sorted({0.0, *errors})
    parts = itertools.pairwise(levels)
    return sum(
        (high - low) * jaccard_loss({i for i, e in enumerate(errors) if e >= high}, truth) for low, high in parts
    )


@pytest.mark.parametrize("seed", range(5))
def test_lovasz_is_the_extension_of_the_jaccard_loss(seed: int) -> None:
    logits, ids = example(seed)
    counted = ids != IGNORED
    truth, terms = ids[counted].tolist(), []
    for label in set(truth):
        chance = logits.softmax(1)[:, label][counted].tolist()
        errors = [1 - p if t == label else p for p, t in zip(chance, truth, strict=True)]
        terms.append(lovasz_extension(errors, {i for i, t in enumerate(truth) if t == label}))
    assert loss.lovasz(logits, ids).item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_lovasz_at_hard_predictions_is_one_minus_iou() -> None:
    ids = torch.tensor([[[0, 0, 1, 1, 1, IGNORED]]])
    taken = torch.tensor([[[0, 1, 1, 1, 0, 0]]])
    logits = F.one_hot(taken, 2).permute(0, 3, 1, 2) * 60.0
    assert loss.lovasz(logits, ids).item() == pytest.approx(1 - (1 / 3 + 2 / 4) / 2, abs=1e-6)
    assert loss.dice(logits, ids).item() == pytest.approx(1 - (2 * 1 / 4 + 2 * 2 / 6) / 2, abs=1e-6)


def test_classes_that_do_not_occur_are_no_part_of_the_mean() -> None:
    logits, ids = example()
    ids[ids == 2] = 0
    wide = torch.cat([logits.detach(), torch.full((2, 4, 3, 4), -50.0)], dim=1)
    assert torch.isclose(loss.dice(wide, ids), loss.dice(logits.detach(), ids))
    assert torch.isclose(loss.lovasz(wide, ids), loss.lovasz(logits.detach(), ids))


# Upsampling and cross-entropy in one


SIZES = [
    ((9, 13), (65, 97)),
    ((1, 1), (7, 9)),
    ((8, 8), (8, 8)),
    ((3, 50), (33, 400)),
    ((1, 7), (16, 7)),
    ((13, 9), (97, 65)),
    ((5, 4), (9, 4)),
]


@pytest.mark.parametrize(("coarse", "fine"), SIZES)
@pytest.mark.parametrize("band", [1, 500, 2**19])  # from a row at a time to all of an image
@pytest.mark.parametrize("weighted", [False, True])
def test_equal_to_interpolation_and_cross_entropy(coarse, fine, band, weighted, monkeypatch) -> None:
    monkeypatch.setitem(upsampling.BAND, "cpu", band)
    generator = torch.Generator().manual_seed(1)
    ours = torch.randn(2, 3, *coarse, generator=generator).double().requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    ids = torch.randint(0, 3, (2, *fine), generator=generator)
    ids[:, :2] = IGNORED
    weights = WEIGHTS.double() if weighted else None
    found = upsampling.summed_entropy(ours, ids, weights)
    upsampled = F.interpolate(theirs, size=fine, mode="bilinear", align_corners=False)
    expected = F.cross_entropy(upsampled, ids, weights, ignore_index=IGNORED, reduction="sum")
    torch.testing.assert_close(found, expected)
    (found * 0.5).backward()
    (expected * 0.5).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("fine", "coarse"), [(7, 1), (8, 8), (65, 9), (64, 8), (9, 5), (513, 65)])
def test_the_matrix_of_interpolation(fine: int, coarse: int) -> None:
    matrix = upsampling.interpolation(fine, coarse, torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(matrix.sum(1), torch.ones(fine, dtype=torch.float64))
    line = torch.arange(coarse, dtype=torch.float64) ** 2
    expected = F.interpolate(line.view(1, 1, coarse), size=fine, mode="linear")[0, 0]
    torch.testing.assert_close(matrix @ line, expected)


def test_half_precision_around_it_changes_nothing() -> None:
    logits, ids = example(height=8, width=8)
    logits = logits.detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss.cross_entropy(logits, ids)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, loss.cross_entropy(logits, ids))
