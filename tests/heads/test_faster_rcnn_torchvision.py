"""Faster R-CNN against torchvision's own: detections and losses on equal weights, windows, names of weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn, fasterrcnn_mobilenet_v3_large_fpn
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

from densenets.build import build_model, load_torchvision
from densenets.config import RCNNOptions
from densenets.contract import Boxes
from densenets.errors import InputError


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
    options = RCNNOptions(fpn=fpn)  # type: ignore[arg-type]
    model: Any = build_model("v3-small", "faster-rcnn-fpn", 3, size=512, width=0.5, options=options)
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
