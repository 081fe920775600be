"""Both forms of Faster R-CNN on every backbone: the papers' counts, the contract, export, and torchvision's own net."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from fixed_shapes import check_prediction
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn, fasterrcnn_mobilenet_v3_large_fpn
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

from densenets.backbones import BACKBONES, build_backbone
from densenets.boxes import anchor_boxes
from densenets.build import build_model, load_torchvision
from densenets.config import RCNNOptions
from densenets.contract import Boxes
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


@pytest.mark.parametrize(("backbone", "head", "fpn"), GRID)
def test_forward_and_raw_pass_export_and_agree(backbone: str, head: str, fpn: str) -> None:
    images = torch.rand(2, 3, 64, 96)
    model = settled(small(head, fpn, backbone, (64, 96)), images)
    with torch.no_grad():
        expected = model(images)
        exported = torch.export.export(model, (images,)).module()(images)
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
            r'here it is usually --rcnn.sizes "\[\[16, 17.78, 19.77\], \[21.97, ',
        ),
        ({"sizes": [[32.0], [64.0], [128.0], [1.0, 2.0]]}, "of equal length, one a map: 1 for faster-rcnn, 4 for"),
        ({"sizes": [[1.0], [64.0], [128.0], [256.0]]}, "an anchor 0.71 px thin"),
    ],
)
def test_sizes_that_cannot_be_met_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        small("faster-rcnn-fpn", **options)


def test_a_pyramid_for_the_head_without_one_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    small("faster-rcnn")
    small("faster-rcnn-fpn", "light")
    assert caplog.messages == []
    small("faster-rcnn", "light")
    assert caplog.messages == ["warning: --rcnn.fpn light: has no effect on faster-rcnn, only on faster-rcnn-fpn"]


@pytest.mark.parametrize(
    "options",
    [{"proposals": 0}, {"ratios": []}, {"sizes": [[-1.0]]}, {"nms_iou": 2.0}, {"samples": 3}, {"bn_eps": 0.0}],
    ids=str,
)
def test_options_out_of_range_name_the_flag(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"--rcnn.{next(iter(options)).replace('_', '-')}"):
        RCNNOptions(**options)


def spread_torchvision(make: Any, images: torch.Tensor) -> Any:
    """torchvision's Faster R-CNN with random weights that tell places and classes apart."""
    torch.manual_seed(0)
    model = make(weights=None, weights_backbone=None)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    model.train()
    with torch.no_grad():
        for _ in range(10):
            model.backbone(model.transform(list(images))[0].tensors)
    head, predictor = model.rpn.head, model.roi_heads.box_predictor
    for layer, size in (
        (head.cls_logits, 0.05),
        (head.bbox_pred, 0.01),
        (predictor.cls_score, 1.5),
        (predictor.bbox_pred, 0.05),
    ):
        nn.init.normal_(layer.weight, std=size)
    return model.eval()


def scenes(height: int, width: int) -> torch.Tensor:
    coarse = torch.rand(2, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize(
    ("make", "size", "kind", "close"),
    [
        (fasterrcnn_mobilenet_v3_large_320_fpn, (320, 320), torch.float32, 1e-4),
        (fasterrcnn_mobilenet_v3_large_320_fpn, (320, 480), torch.float64, 1e-9),
        pytest.param(fasterrcnn_mobilenet_v3_large_fpn, (800, 1088), torch.float64, 1e-9, marks=pytest.mark.slow),
    ],
    ids=["320", "320x480-double", "800x1088-double"],
)
def test_torchvisions_net_gives_the_same_detections(
    make: Any, size: tuple[int, int], kind: torch.dtype, close: float, tmp_path: Path
) -> None:
    images = scenes(*size)
    theirs = spread_torchvision(make, images)
    torch.save(theirs.state_dict(), tmp_path / "faster_rcnn.pth")
    ours = load_torchvision(tmp_path / "faster_rcnn.pth", size).eval().to(kind)
    for name in ("mean", "std"):  # in double they are not rounded there
        exact = torch.tensor(getattr(theirs.transform, f"image_{name}"), dtype=kind)
        getattr(ours.backbone, name).copy_(exact[:, None, None])
    with torch.no_grad():
        expected, found = theirs.to(kind)(list(images.to(kind))), ours(images.to(kind))
    for i, image in enumerate(expected):
        count = len(image["scores"])
        assert count >= 50
        assert image["scores"].std() > 0.01  # the scores are not all alike
        assert torch.allclose(found.scores[i, :count], image["scores"], rtol=0, atol=close)
        assert torch.allclose(found.boxes[i, :count], image["boxes"], rtol=0, atol=close)
        assert torch.equal(found.labels[i, :count], image["labels"] - 1)
        assert (found.scores[i, count:] == 0).all()


def test_torchvisions_net_has_the_same_losses(tmp_path: Path) -> None:
    """With every place sampled, so that no chance is left. Its two maps of one stride make each best anchor a tie."""
    images, everything = scenes(320, 320), 90_000
    theirs = spread_torchvision(fasterrcnn_mobilenet_v3_large_320_fpn, images)
    torch.save(theirs.state_dict(), tmp_path / "faster_rcnn.pth")
    ours = load_torchvision(tmp_path / "faster_rcnn.pth", 320).train().double()
    theirs = theirs.train().double()
    for name in ("mean", "std"):
        exact = torch.tensor(getattr(theirs.transform, f"image_{name}"), dtype=torch.float64)
        getattr(ours.backbone, name).copy_(exact[:, None, None])
    for part in (theirs.rpn, theirs.roi_heads):
        part.fg_bg_sampler.batch_size_per_image = everything
    ours.options.rpn_samples = ours.options.samples = everything
    boxes = [[[13.0, 22, 171, 213], [100, 90, 301, 266], [31, 180, 77, 243]], [[5.0, 6, 120, 111], [96, 96, 128, 128]]]
    targets = [Boxes(torch.tensor(of).double(), torch.arange(len(of))) for of in boxes]
    with torch.no_grad():
        expected = theirs(list(images.double()), [{"boxes": t.boxes, "labels": t.labels + 1} for t in targets])
        found = ours.losses(images.double(), targets)
    names = {"objectness": "loss_objectness", "proposal": "loss_rpn_box_reg"}
    names |= {"classification": "loss_classifier", "box": "loss_box_reg"}
    assert found.keys() == names.keys()
    for name, other in names.items():
        assert expected[other] > 1e-4
        assert found[name].item() == pytest.approx(expected[other].item(), rel=1e-6), (
            name
        )  # theirs has labels in float32


@pytest.mark.parametrize("fpn", ["full", "light"])
def test_windows_come_from_the_map_that_suits_their_size(fpn: str) -> None:
    """As torchvision's MultiScaleRoIAlign reads them, at a canonical size of half the FPN paper's."""
    model = small("faster-rcnn-fpn", fpn, size=512)
    width = {"full": 256, "light": 128}[fpn]
    maps = [torch.rand(2, width, 512 // s, 512 // s) for s in model.strides]
    sides = torch.tensor([20.0, 150.0, 223.9, 224.1, 300.0, 480.0])
    places = [torch.cat([torch.zeros(6, 2), sides[:, None].expand(-1, 2)], dim=1) + shift for shift in (3.0, 17.5)]
    pool = MultiScaleRoIAlign(["fine", "coarse"], 7, 2, canonical_scale=112, canonical_level=4)
    pool.scales, pool.map_levels = [1 / s for s in model.strides], initLevelMapper(4, 5, 112, 4)
    expected = pool(dict(zip(("fine", "coarse"), maps, strict=True)), places, [(512, 512)] * 2)
    assert torch.allclose(model._windows(maps, places), expected, atol=1e-5)


def test_a_state_dict_with_frozen_norms_loads(tmp_path: Path) -> None:
    """torchvision's published ones have no count of batches."""
    model = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=4)
    state = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "frozen.pth")
    ours = load_torchvision(tmp_path / "frozen.pth")
    assert ours.num_classes == 3
    assert torch.equal(ours.fpn.laterals[1].weight, state["backbone.fpn.inner_blocks.1.0.weight"])
    del state["rpn.head.conv.0.0.weight"]
    torch.save(state, tmp_path / "frozen.pth")
    with pytest.raises(InputError, match=r"frozen.pth: the weights do not fit: .*rpn.body.0.weight"):
        load_torchvision(tmp_path / "frozen.pth")


@pytest.mark.parametrize(("head", "fpn"), FORMS)
def test_the_first_stage_sees_in_use_what_it_saw_in_training(head: str, fpn: str) -> None:
    """A BatchNorm that several maps share has their own statistics in training, in use a mixture."""
    model = build_model("v3-small", head, 3, size=160, width=0.5, options=RCNNOptions(fpn=fpn, bn_momentum=1.0))
    images = torch.rand(8, 3, 160, 160) * torch.linspace(0.2, 1, 8).view(-1, 1, 1, 1)
    with torch.no_grad():
        learnt = model.train().raw(images)[0]
        used = model.eval().raw(images)[0]
    assert torch.corrcoef(torch.stack([learnt.flatten(), used.flatten()]))[0, 1] > 0.99
