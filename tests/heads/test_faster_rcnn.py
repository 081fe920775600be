"""Both forms of Faster R-CNN on every backbone: the papers' counts, the contract, export."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from fixed_shapes import check_prediction
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from densenets.backbones import BACKBONES, build_backbone
from densenets.boxes import anchor_boxes, iou
from densenets.build import build_model
from densenets.config import RCNNOptions
from densenets.contract import Boxes, Detections
from densenets.errors import InputError
from densenets.heads import faster_rcnn

FORMS = [("faster-rcnn", "full"), ("faster-rcnn-fpn", "full"), ("faster-rcnn-fpn", "light")]
GRID = [(backbone, *form) for backbone in BACKBONES for form in FORMS] + [
    ("v3-large", "faster-rcnn-fpn", "torchvision")
]
EMPTY = Boxes(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
TWO = Boxes(torch.tensor([[5.0, 5, 40, 40], [10, 0, 64, 64]]), torch.tensor([0, 2]))


def small(head: str, fpn: str = "full", backbone: str = "v3-small", size: Any = 64, **options: Any) -> Any:
    few: dict[str, Any] = {"proposals": 20, "train_proposals": 40, "map_proposals": 50, "samples": 16, "detections": 10}
    return build_model(backbone, head, 3, size=size, width=0.5, options=RCNNOptions(fpn=fpn, **few | options))


def billions(model: nn.Module, size: int) -> float:
    """MAdds of an image, of layers with weights as the papers count: cutting windows out is no part of it."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, size, size))
    operations = counter.get_flop_counts()["Global"]
    return sum(operations[name] for name in (torch.ops.aten.convolution, torch.ops.aten.addmm)) / 2e9


@pytest.mark.parametrize(("size", "madds"), [(300, 25.2), (600, 30.5)])
def test_the_v1_papers_net_has_its_counts(size: int, madds: float) -> None:
    """V1 Table 13: 6.1 M parameters; 25.2 and 30.5 B MAdds with 300 proposals."""
    model = build_model("v1", "faster-rcnn", 90, size=size).eval()
    assert sum(p.numel() for p in model.parameters()) == 6_065_995
    assert billions(model, size) == pytest.approx(madds, rel=0.01)


@pytest.mark.parametrize(
    ("fpn", "parameters", "madds"),
    [("torchvision", 19_410_754, None), ("full", 19_026_336, 5.36), ("light", 4_758_688, 1.14)],
)
def test_the_pyramids_have_their_counts(fpn: str, parameters: int, madds: float | None) -> None:
    model = build_model("v3-large", "faster-rcnn-fpn", 90, size=320, options=RCNNOptions(fpn=fpn)).eval()
    assert sum(p.numel() for p in model.parameters()) == parameters
    if fpn == "torchvision":  # its own figure leaves the norms out, which it keeps as they are
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        assert parameters - sum(p.numel() for norm in norms for p in norm.parameters()) == 19_386_354
    if madds is not None:
        assert billions(model, 320) == pytest.approx(madds, rel=0.005)


def test_anchors_by_hand() -> None:
    anchors = anchor_boxes([(1, 2)], [(16, 32)], [[10.0, 32.0]], [1.0, 4.0])
    assert anchors.tolist() == [
        [-5, -5, 5, 5],
        [-16, -16, 16, 16],
        [-2, -10, 2, 10],  # 5 x 20: corners are whole px, and half a px is none
        [-8, -32, 8, 32],
        [27, -5, 37, 5],
        [16, -16, 48, 16],
        [30, -10, 34, 10],
        [24, -32, 40, 32],
    ]


@pytest.mark.parametrize(("backbone", "head", "fpn"), GRID)
def test_every_parameter_learns_with_one_image_without_boxes(backbone: str, head: str, fpn: str) -> None:
    model = small(head, fpn, backbone).train()
    losses = model.losses(torch.rand(3, 3, 64, 64), [TWO, EMPTY, TWO])
    sum(losses.values()).backward()
    assert set(losses) == {"objectness", "proposal", "classification", "box"}
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    assert all(torch.isfinite(value) for value in losses.values())


@pytest.mark.parametrize(("head", "fpn"), FORMS)
@pytest.mark.parametrize("boxes", [[], [[0.0, 0, 64, 64]], [[30.0, 30, 30.5, 30.25]], [[0.0, 63.999, 64, 64]]], ids=str)
def test_no_box_a_huge_and_a_tiny_one_teach_without_nan(head: str, fpn: str, boxes: list[list[float]]) -> None:
    model = small(head, fpn).train()
    target = Boxes(torch.tensor(boxes).reshape(-1, 4), torch.zeros(len(boxes), dtype=torch.int64))
    for _ in range(3):
        losses = model.losses(torch.rand(2, 3, 64, 64), [target, target])
        model.zero_grad()
        sum(losses.values()).backward()
        assert all(torch.isfinite(value) for value in losses.values())
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert losses["objectness"] > 0
    assert (losses["box"] > 0) == bool(boxes)


@pytest.mark.parametrize(("head", "fpn"), FORMS)
def test_places_inside_an_ignore_region_teach_nothing(head: str, fpn: str) -> None:
    model = small(head, fpn).train()
    crowd = EMPTY._replace(ignore=torch.tensor([[-200.0, -200, 300, 300]]))
    losses = model.losses(torch.rand(2, 3, 64, 64), [crowd, crowd])
    assert {name: value.item() for name, value in losses.items()} == dict.fromkeys(losses, 0.0)


@pytest.mark.parametrize("label", [-1, 3, 90])
def test_a_label_that_is_no_class_is_refused(label: int) -> None:
    target = Boxes(torch.tensor([[1.0, 1.0, 40.0, 40.0]]), torch.tensor([label]))
    with pytest.raises(ValueError, match="expected 0 to 2"):
        small("faster-rcnn-fpn").losses(torch.rand(2, 3, 64, 64), [target, target])


def test_an_exported_detector_can_be_saved(tmp_path: Path) -> None:
    images = torch.rand(1, 3, 64, 64)
    model = small("faster-rcnn-fpn", "light").eval()
    torch.export.save(torch.export.export(model, (images,)), tmp_path / "detector.pt2")
    found = torch.export.load(tmp_path / "detector.pt2").module()(images)
    assert isinstance(found, Detections)
    for one, other in zip(found, model(images), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("head", "fpn"), FORMS)
@pytest.mark.parametrize("size", [32, 64, 96])
def test_a_batch_too_small_for_its_norms_is_refused_and_no_other(head: str, fpn: str, size: int) -> None:
    model = small(head, fpn, size=size).train()

    def step() -> None:
        model.losses(torch.rand(1, 3, size, size), [EMPTY])

    if any(rows * columns == 1 for rows, columns in model.normed):
        with pytest.raises(InputError, match=r"a batch of 1 image .*\(--batch-size\)"):
            model.check_batch(1)
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            step()
    else:
        model.check_batch(1)
        step()
    model.check_batch(2)
    model.losses(torch.rand(2, 3, size, size), [EMPTY, EMPTY])


def settled(model: Any, images: torch.Tensor) -> Any:
    """With statistics of BatchNorm from data, and scores that differ from place to place."""
    torch.manual_seed(0)
    for part, size in ((model.rpn.objectness, 0.5), (model.predictor.classes, 1.0), (model.predictor.offsets, 0.1)):
        nn.init.normal_(part.weight, std=size)
    model.train()
    with torch.no_grad():
        for _ in range(10):
            model.losses(images, [TWO] * len(images))
    return model.eval()


@pytest.mark.parametrize("canvas", [(320, 427), (427, 320), (512, 683), (800, 1333)])
@pytest.mark.parametrize(("aspect", "least"), [(1.0, 0.5), (1.6, 0.4)])
def test_whatever_lies_anywhere_meets_an_anchor(canvas: tuple[int, int], aspect: float, least: float) -> None:
    """Of boxes from 1.5 cells of the finest map to 0.7 of the canvas, 9 of 10 meet one, wherever they are."""
    model = build_model("v3-small", "faster-rcnn-fpn", 1, size=canvas, width=0.5)
    height, width = canvas
    sides = torch.logspace(math.log2(24), math.log2(0.7 * min(canvas)), 2000, base=2)
    w, h = sides * aspect**0.5, sides / aspect**0.5
    x, y = torch.rand(2000) * (width - w).clamp(min=0), torch.rand(2000) * (height - h).clamp(min=0)
    boxes = torch.stack([x, y, x + w, y + h], dim=1)
    met = iou(model.defaults, boxes).max(dim=0).values
    assert (met >= least).float().mean() > 0.9


@pytest.mark.parametrize(("backbone", "head", "fpn"), GRID)
def test_forward_and_raw_pass_export_and_agree(backbone: str, head: str, fpn: str) -> None:
    images = torch.rand(2, 3, 64, 96)
    model = settled(small(head, fpn, backbone, (64, 96)), images)
    with torch.no_grad():
        expected = model(images)
        exported = torch.export.export(model, (images,)).module()(images)
    assert isinstance(exported, Detections)
    assert expected.boxes.shape == (2, 10, 4)
    assert (expected.scores > 0).sum() >= 10
    assert torch.allclose(expected.scores, exported[2], atol=1e-6)
    assert torch.allclose(expected.boxes, exported[0], atol=1e-4)
    assert torch.equal(expected.labels, exported[1])


@pytest.mark.parametrize(("head", "fpn"), FORMS)
@pytest.mark.parametrize("size", [32, (33, 150), (160, 96)])
def test_any_canvas_gives_the_fixed_shape(head: str, fpn: str, size: Any) -> None:
    check_prediction(small(head, fpn, size=size, proposals=200, detections=100), 100)


@pytest.mark.parametrize(("head", "fpn"), FORMS)
def test_no_prediction_depends_on_its_neighbours(head: str, fpn: str) -> None:
    images = torch.rand(4, 3, 96, 96)
    model = settled(small(head, fpn, "v2", 96), images)
    with torch.no_grad():
        together = model(images)
        apart = model(torch.cat([images[:1], torch.zeros(2, 3, 96, 96), torch.full((1, 3, 96, 96), math.nan)]))
    assert (together.scores[0] > 0).sum() >= 5
    for one, other in zip(together, apart, strict=True):
        assert torch.equal(one[0], other[0])
    assert apart.scores[3].isnan().all()  # of the neighbour whose pixels are no numbers [V03]


@pytest.mark.parametrize(("head", "fpn"), FORMS)
@pytest.mark.parametrize("wild", [math.nan, math.inf, -math.inf, 1e38])
def test_a_box_that_is_not_finite_never_reaches_roi_align(
    head: str, fpn: str, wild: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen, real = small(head, fpn), [], faster_rcnn.windows

    def looked_at(x: torch.Tensor, places: Any, *rest: Any, **more: Any) -> torch.Tensor:
        boxes = torch.cat(list(places))
        seen.append(bool(boxes.isfinite().all()) and bool((boxes[:, 2:] >= boxes[:, :2]).all()))
        return real(x, places, *rest, **more)

    monkeypatch.setattr(faster_rcnn, "windows", looked_at)
    with torch.no_grad():
        model.rpn.offsets.bias.fill_(wild)
        model.train().losses(torch.rand(2, 3, 64, 64), [TWO, EMPTY])
        found = model.eval()(torch.rand(2, 3, 64, 64))
    assert len(seen) >= 2
    assert all(seen)
    assert found.scores.isnan().all() if not math.isfinite(wild) else found.scores.isfinite().all()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_split_net_computes_what_the_whole_one_does(backbone: str) -> None:
    torch.manual_seed(0)
    whole, halves = build_backbone(backbone, width=0.5).eval(), build_backbone(backbone, width=0.5).eval()
    halves.load_state_dict(whole.state_dict())
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = whole(images)["top"]
        front = halves.split()(images)
        assert torch.equal(halves.tail(front["c4"]), expected)
    assert set(front) == {"c4"}
    assert halves.tail_channels == expected.shape[1]


def test_a_net_that_cannot_be_split_is_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="MobileNetV2 at output stride 16 cannot be split: no part of it"):
        build_backbone("v2", output_stride=16).split()
    with pytest.raises(InputError, match="cannot be split"):
        build_backbone("v2").keep(["c4"]).split()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"sizes": [[32.0]]},
            r"--rcnn.sizes: lists given: 1, wanted: 4, of px of the canvas, for maps of strides 16 32 64 128; "
            r'here it is usually --rcnn.sizes "\[\[16, 27.71, 48\], \[25.6, ',
        ),
        ({"sizes": [[32.0], [64.0], [128.0], [1.0, 2.0]]}, "of equal length, one a map: 1 for faster-rcnn, 4 for"),
        ({"sizes": [[1.0], [64.0], [128.0], [256.0]]}, "an anchor 0.71 px thin"),
    ],
)
def test_sizes_that_cannot_be_met_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        small("faster-rcnn-fpn", **options)


@pytest.mark.parametrize(
    "options",
    [{"proposals": 0}, {"ratios": []}, {"sizes": [[-1.0]]}, {"nms_iou": 2.0}, {"samples": 3}, {"bn_eps": 0.0}],
    ids=str,
)
def test_options_out_of_range_name_the_flag(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"--rcnn.{next(iter(options)).replace('_', '-')}"):
        RCNNOptions(**options)


def test_an_anchor_is_never_object_and_background_at_once() -> None:
    with pytest.raises(InputError, match=r"--rcnn.rpn-match-iou: 0.2: is below --rcnn.rpn-background-iou 0.3: "):
        RCNNOptions(rpn_match_iou=0.2)


@pytest.mark.parametrize(("head", "fpn"), FORMS)
def test_the_first_stage_sees_in_use_what_it_saw_in_training(head: str, fpn: str) -> None:
    """A BatchNorm that several maps share has their own statistics in training, in use a mixture."""
    model = build_model("v3-small", head, 3, size=160, width=0.5, options=RCNNOptions(fpn=fpn, bn_momentum=1.0))
    images = torch.rand(8, 3, 160, 160) * torch.linspace(0.2, 1, 8).view(-1, 1, 1, 1)
    with torch.no_grad():
        learnt = model.train().raw(images)[0]
        used = model.eval().raw(images)[0]
    assert torch.corrcoef(torch.stack([learnt.flatten(), used.flatten()]))[0, 1] > 0.99
