"""Every backbone with SSD and SSDLite: counts of the papers, the contract, export, and torchvision's own detector."""

import pytest
import torch
from fixed_shapes import check_prediction
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import ssdlite320_mobilenet_v3_large

from densenets.backbones import BACKBONES
from densenets.build import build_model, load_torchvision
from densenets.config import SSDOptions
from densenets.contract import Boxes
from densenets.errors import InputError

PAIRS = [(backbone, head) for backbone in BACKBONES for head in ("ssd", "ssdlite")]
SIX = SSDOptions(anchors="torchvision")


# backbone, head, classes, options, parameters, B MAdds, px (V1 Table 13, V2 Table 6, V3 Table 6; TensorFlow heads)
COUNTS = [
    ("v1", "ssd", 90, {}, 6_819_839, 1.237, 300),
    ("v1", "ssdlite", 80, {}, 5_100_661, None, 320),
    ("v1", "ssdlite", 90, {}, 5_246_911, 1.32, 320),
    ("v2", "ssdlite", 80, {}, 4_337_013, 0.789, 320),
    ("v2", "ssdlite", 90, {}, 4_500_543, 0.804, 320),
    ("v2", "ssdlite", 90, {"width": 0.5}, 1_562_111, 0.272, 320),
    ("v2", "ssdlite", 90, {"width": 0.35}, 947_709, 0.167, 320),
    ("v3-large", "ssdlite", 90, {}, 5_006_735, 0.613, 320),
    ("v3-large", "ssdlite", 90, {"options": SIX}, 5_198_540, None, 320),
    ("v3-large", "ssdlite", 90, {"reduced_tail": True}, 3_248_255, 0.507, 320),
    ("v3-large", "ssdlite", 90, {"reduced_tail": True, "options": SIX}, 3_440_060, 0.583, 320),
    ("v3-small", "ssdlite", 90, {}, 2_518_271, 0.210, 320),
    ("v3-small", "ssdlite", 90, {"reduced_tail": True}, 1_785_743, 0.162, 320),
]


@pytest.mark.parametrize(("backbone", "head", "classes", "options", "parameters", "madds", "size"), COUNTS)
def test_counts_of_the_papers(backbone, head, classes, options, parameters, madds, size) -> None:
    model = build_model(backbone, head, classes, size=size, **options).eval()
    assert sum(p.numel() for p in model.parameters()) == parameters
    if madds is not None:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.raw(torch.zeros(1, 3, size, size))
        assert counter.get_total_flops() / 2e9 == pytest.approx(madds, rel=0.005)


def settled(model: nn.Module, images: torch.Tensor, steps: int = 30) -> nn.Module:
    """`model` with BatchNorm statistics from data: with the initial ones all scores would be alike."""
    model.train()
    with torch.no_grad():
        for _ in range(steps):
            model.raw(images)
    return model.eval()


@pytest.mark.parametrize(("backbone", "head"), PAIRS)
def test_every_parameter_learns_with_one_image_without_boxes(backbone: str, head: str) -> None:
    model = build_model(backbone, head, 3, size=64, width=0.5).train()
    target = Boxes(torch.tensor([[5.0, 5, 40, 40], [10, 0, 64, 64]]), torch.tensor([0, 2]))
    empty = Boxes(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    losses = model.losses(torch.rand(3, 3, 64, 64), [target, empty, target])
    sum(losses.values()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    assert all(torch.isfinite(value) for value in losses.values())


@pytest.mark.parametrize("loss", ["softmax", "focal"])
def test_a_batch_without_any_object_teaches(loss: str) -> None:
    model = build_model("v3-small", "ssdlite", 3, size=64, width=0.5, options=SSDOptions(loss=loss)).train()
    empty = Boxes(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    losses = model.losses(torch.rand(2, 3, 64, 64), [empty, empty])
    assert losses["classification"] > 0
    assert losses["box"] == 0


@pytest.mark.parametrize("label", [-1, 3, 90])
def test_a_label_that_is_no_class_is_refused(label: int) -> None:
    model = build_model("v3-small", "ssdlite", num_classes=3, width=0.5, size=64)
    target = Boxes(torch.tensor([[1.0, 1.0, 40.0, 40.0]]), torch.tensor([label]))
    with pytest.raises(ValueError, match="expected 0 to 2"):
        model.losses(torch.rand(2, 3, 64, 64), [target, target])


def test_the_focal_loss_starts_from_its_prior() -> None:
    model = build_model("v3-small", "ssdlite", 3, size=64, width=0.5, options=SSDOptions(loss="focal")).eval()
    with torch.no_grad():
        logits, _ = model.raw(torch.rand(1, 3, 64, 64))
    assert logits.shape[-1] == 3
    assert logits.sigmoid().median() == pytest.approx(0.01, rel=0.5)


@pytest.mark.parametrize(("backbone", "head"), PAIRS)
@pytest.mark.parametrize("top_k", ["global", "per-class"])
def test_forward_and_raw_pass_export_and_agree(backbone: str, head: str, top_k: str) -> None:
    options = SSDOptions(top_k=top_k, candidates=50, detections=20)
    images = torch.rand(2, 3, 64, 96)
    model = settled(build_model(backbone, head, 3, size=(64, 96), width=0.5, options=options), images, 10)
    with torch.no_grad():
        expected, raw = model(images), model.raw(images)
        exported = torch.export.export(model, (images,)).module()(images)
        network = torch.export.export(Raw(model), (images,)).module()(images)
    assert expected.boxes.shape == (2, 20, 4)
    assert torch.allclose(expected.scores, exported[2], atol=1e-6)
    assert torch.allclose(expected.boxes, exported[0], atol=1e-4)
    for ours, theirs in zip(raw, network, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


class Raw(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor):
        return self.model.raw(images)


@pytest.mark.parametrize("size", [32, (33, 150), (320, 96)])
def test_any_canvas_gives_the_fixed_shape(size) -> None:
    check_prediction(build_model("v3-small", "ssdlite", 2, size=size, width=0.5), 100)


def test_no_prediction_depends_on_its_neighbours() -> None:
    images = torch.rand(4, 3, 96, 96)
    model = settled(build_model("v2", "ssdlite", 3, size=96, width=0.5), images)
    with torch.no_grad():
        together = model(images)
        apart = model(torch.cat([images[:1], torch.zeros(3, 3, 96, 96)]))
    assert torch.equal(together.boxes[0], apart.boxes[0])
    assert torch.equal(together.scores[0], apart.scores[0])


def spread_torchvision(images: torch.Tensor) -> nn.Module:
    """torchvision's SSDLite with random weights that tell places and classes apart."""
    torch.manual_seed(0)
    model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=91)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    for predictor in model.head.classification_head.module_list:
        nn.init.normal_(predictor[-1].weight, std=0.15)
    model.train()
    with torch.no_grad():
        for _ in range(60):
            model.head(list(model.backbone(images * 2 - 1).values()))
    return model.eval()


def test_torchvisions_ssdlite_gives_the_same_detections(tmp_path) -> None:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(4, 3, 40, 40, generator=generator)
    images = nn.functional.interpolate(coarse, size=320, mode="bicubic").clamp(0, 1)
    theirs = spread_torchvision(images)
    torch.save(theirs.state_dict(), tmp_path / "ssdlite320.pth")
    ours = load_torchvision(tmp_path / "ssdlite320.pth").eval()
    with torch.no_grad():
        expected, found = theirs(list(images)), ours(images)
    for i, image in enumerate(expected):
        count = len(image["scores"])
        assert count >= 100
        assert image["scores"].std() > 0.01  # the scores are not all alike
        assert torch.allclose(found.scores[i, :count], image["scores"], atol=1e-4)
        assert torch.allclose(found.boxes[i, :count], image["boxes"], atol=1e-4)
        assert torch.equal(found.labels[i, :count], image["labels"] - 1)
        assert (found.scores[i, count:] == 0).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scales": [0.1, 0.2]}, "ssd.scales: 2 values"),
        ({"aspect_ratios": [[2.0], [2.0]]}, "ssd.aspect-ratios: 2 lists"),
        ({"aspect_ratios": [-1.0]}, "above 0"),
    ],
)
def test_options_that_cannot_be_met_are_named(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_model("v3-small", "ssdlite", 2, size=64, options=SSDOptions(**options))


def test_own_scales_and_ratios() -> None:
    options = SSDOptions(scales=[0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0], aspect_ratios=[1.5], anchors="torchvision")
    model = build_model("v3-small", "ssdlite", 2, size=320, options=options)
    assert len(model.defaults) == 4 * (400 + 100 + 25 + 9 + 4 + 1)
    first = model.defaults[0]
    assert (first[2] - first[0]).item() == pytest.approx(0.05 * 320, rel=1e-4)
