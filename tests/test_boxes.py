"""Boxes: numbers worked out by hand, and properties over random boxes."""

import math

import pytest
import torch
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import batched_nms

from densenets import boxes as box


def random_boxes(count: int, canvas: tuple[int, int], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    height, width = canvas
    corners = torch.rand(count, 2, 2, generator=generator) * torch.tensor([width, height])
    low, high = corners.amin(dim=1) * 0.9, corners.amax(dim=1)
    return torch.cat([low, high + 4], dim=1).clamp(max=min(canvas))


def test_a_box_and_its_code() -> None:
    default = torch.tensor([[0.0, 0.0, 10.0, 20.0]])  # centre (5, 10)
    wanted = torch.tensor([[5.0, 10.0, 15.0, 20.0]])  # centre (10, 15), 10 x 10
    code = box.encode(wanted, default)
    assert code[0].tolist() == pytest.approx([10 * 5 / 10, 10 * 5 / 20, 0.0, 5 * math.log(0.5)], abs=1e-6)
    assert torch.allclose(box.decode(code, default, (100, 100)), wanted, atol=1e-5)


def test_decoding_cuts_at_the_canvas_and_limits_growth() -> None:
    default = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    huge = box.decode(torch.tensor([[0.0, 0.0, 100.0, 100.0]]), default, (60, 80))
    assert huge[0].tolist() == [0, 0, 80, 60]
    assert torch.isfinite(box.decode(torch.full((1, 4), 1e30), default, (60, 80))).all()


def test_every_code_leads_back() -> None:
    defaults, boxes = random_boxes(500, (100, 100), 0), random_boxes(500, (100, 100), 1)
    assert torch.allclose(box.decode(box.encode(boxes, defaults), defaults, (100, 100)), boxes, atol=1e-3)


def test_the_scales_of_the_papers() -> None:
    assert box.scales_of(6) == pytest.approx([0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0])


def test_default_boxes_by_hand() -> None:
    """Map 1 of TensorFlow's kind on a canvas of 40 x 80 px with a grid of 1 x 2: sides are parts of the shorter, 40."""
    shapes = box.default_shapes([0.2, 0.5], [[2.0, 3.0]], "reduced")
    found = box.default_boxes((40, 80), [(1, 2)], shapes)
    root = math.sqrt(2)
    sides = [(4, 4), (8 * root, 8 / root), (8 / root, 8 * root)]
    expected = [[x - w / 2, 20 - h / 2, x + w / 2, 20 + h / 2] for x in (20, 60) for w, h in sides]
    assert torch.allclose(found, torch.tensor(expected), atol=1e-5)


def test_counts_of_the_papers() -> None:
    grids = [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
    for first_map, count in (("reduced", 2034), ("full", 3234)):
        shapes = box.default_shapes(box.scales_of(6), [[2.0, 3.0]] * 6, first_map)
        assert len(box.default_boxes((320, 320), grids, shapes)) == count


def test_the_full_kind_is_torchvisions() -> None:
    grids = [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
    theirs = DefaultBoxGenerator([[2, 3] for _ in range(6)], min_ratio=0.2, max_ratio=0.95)
    image = ImageList(torch.zeros(1, 3, 320, 320), [(320, 320)])
    reference = theirs(image, [torch.zeros(1, 1, *grid) for grid in grids])[0]
    shapes = [shape.clamp(max=1) for shape in box.default_shapes(box.scales_of(6), [[2.0, 3.0]] * 6, "full")]
    assert torch.allclose(box.default_boxes((320, 320), grids, shapes), reference, atol=1e-3)


DEFAULTS = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [20, 0, 30, 10], [30, 0, 40, 10]])


def test_a_default_box_takes_the_box_it_overlaps_most() -> None:
    boxes = torch.tensor([[1.0, 0, 10, 10], [10, 0, 19, 10]])
    assert box.match(DEFAULTS, boxes, None, 0.5).tolist() == [0, 1, -1, -1]


def test_the_best_default_box_is_forced_however_small_the_overlap() -> None:
    tiny = torch.tensor([[21.0, 1, 22, 2]])
    assert box.match(DEFAULTS, tiny, None, 0.5).tolist() == [-1, -1, 0, -1]


def test_all_that_tie_for_the_best_are_forced_and_none_that_misses() -> None:
    between = torch.tensor([[8.0, 0, 12, 4], [100, 100, 101, 101]])
    assert box.match(DEFAULTS, between[:1], None, 0.5, forced="one").tolist() == [0, -1, -1, -1]
    assert box.match(DEFAULTS, between, None, 0.5, forced="all").tolist() == [0, 0, -1, -1]
    assert box.match(DEFAULTS, between, None, 0.5, forced="none").tolist() == [-1] * 4


def test_a_crowd_is_ignored_but_takes_nothing_from_an_object() -> None:
    crowd = torch.tensor([[0.0, 0, 26, 10]])  # covers 1, 1, 0.6 and 0 of the four
    boxes = torch.tensor([[10.0, 0, 20, 10]])
    assert box.match(DEFAULTS, boxes, crowd, 0.5).tolist() == [box.IGNORED, 0, box.IGNORED, box.BACKGROUND]


def test_no_object_and_no_crowd_is_all_background() -> None:
    assert box.match(DEFAULTS, torch.zeros(0, 4), torch.zeros(0, 4), 0.5).tolist() == [-1] * 4


@pytest.mark.parametrize("seed", range(5))
def test_the_two_step_selection_is_the_plain_top_k(seed: int) -> None:
    scores = torch.rand(2, 300, 7, generator=torch.Generator().manual_seed(seed))
    best, anchors, labels = box.select_global(scores, 50)
    assert torch.equal(best, scores.flatten(1).topk(50).values)
    assert torch.equal(best, scores[torch.arange(2)[:, None], anchors, labels])


def test_per_class_selection_takes_the_best_of_each_class() -> None:
    scores = torch.rand(1, 300, 3, generator=torch.Generator().manual_seed(3))
    best, anchors, labels = box.select_per_class(scores, 10)
    assert best.shape == (1, 30)
    for label in range(3):
        assert set(anchors[0][labels[0] == label].tolist()) == set(scores[0, :, label].topk(10).indices.tolist())
    assert torch.equal(best[0], best[0].sort(descending=True).values)


@pytest.mark.parametrize("seed", range(10))
def test_suppression_equals_torchvisions(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes = random_boxes(200, (100, 100), seed)
    labels = torch.randint(0, 3, (200,), generator=generator)
    scores = torch.rand(200, generator=generator).sort(descending=True).values
    above = scores > 0.2
    kept = batched_nms(boxes[above], scores[above], labels[above], 0.5)
    found = box.suppress(boxes[None], labels[None], scores[None], 0.2, 0.5, 300, 100)
    count = int((found.scores > 0).sum())
    assert torch.equal(found.scores[0, :count], scores[kept])
    assert torch.equal(found.boxes[0, :count], boxes[kept])
    assert torch.equal(found.labels[0, :count], labels[kept])


def test_a_detection_without_area_is_none() -> None:
    boxes = torch.tensor([[[5.0, 5, 5, 9], [1, 1, 9, 9]]])
    found = box.suppress(boxes, torch.zeros(1, 2, dtype=torch.int64), torch.tensor([[0.9, 0.8]]), 0.1, 0.5, 2, 10)
    assert found.scores[0].tolist() == pytest.approx([0.8, 0.0])


def test_a_score_that_is_no_number_is_not_hidden() -> None:
    boxes = torch.tensor([[[1.0, 1, 9, 9], [1, 1, 8, 9]]])
    found = box.suppress(boxes, torch.zeros(1, 2, dtype=torch.int64), torch.tensor([[torch.nan, 0.8]]), 0.1, 0.5, 2, 10)
    assert found.scores.isnan().any()
