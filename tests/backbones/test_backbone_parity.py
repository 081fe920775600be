"""The same weights give the same logits as where they come from: torchvision (V2, V3) and timm (V1, V2, V3)."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from densenets.backbones import build_backbone
from densenets.backbones.classifier import build_classifier
from densenets.backbones.weights import load_weights, to_torchvision

TORCHVISION = {"v2": "mobilenet_v2", "v3-large": "mobilenet_v3_large", "v3-small": "mobilenet_v3_small"}
TIMM = {
    "v1": "mobilenetv1_100",
    "v2": "mobilenetv2_100",
    "v3-large": "mobilenetv3_large_100",
    "v3-small": "mobilenetv3_small_100",
}


def normalised(images: Tensor) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (images - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def noise(*size: int, seed: int = 5) -> Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed))


def equal_logits(ours: nn.Module, theirs: nn.Module, size: tuple[int, int] = (96, 64)) -> None:
    """To 1e-5 as both run, in float32; and in float64, where rounding hides no small mistake."""
    for dtype, close in ((torch.float32, 1e-5), (torch.float64, 1e-6)):
        ours.eval().to(dtype)
        theirs.eval().to(dtype)
        images = noise(3, 3, *size).to(dtype)
        with torch.inference_mode():
            expected, found = theirs(normalised(images)), ours(images)
        assert 0.01 < expected.std(dim=0).mean() < 10  # the images are told apart
        torch.testing.assert_close(found, expected, rtol=close, atol=close)


@pytest.mark.parametrize("name", TORCHVISION)
def test_equal_to_torchvision(name: str, liven: Callable[..., nn.Module], tmp_path: Path) -> None:
    theirs = liven(getattr(torchvision.models, TORCHVISION[name])(), images=normalised(noise(16, 3, 96, 64)))
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = build_classifier(name)
    assert load_weights(ours, tmp_path / "weights.pth") == "torchvision"
    equal_logits(ours, theirs)
    equal_logits(ours, theirs, (65, 97))


@pytest.mark.parametrize("name", TORCHVISION)
@pytest.mark.parametrize("bare", [False, True])
def test_and_back_to_torchvision(name: str, bare: bool, liven: Callable[..., nn.Module]) -> None:
    ours = liven(build_classifier(name), images=noise(16, 3, 96, 64))
    back = to_torchvision((ours.backbone if bare else ours).state_dict(), name)
    theirs = getattr(torchvision.models, TORCHVISION[name])()
    wanted = [key for key in theirs.state_dict() if not (bare and key.startswith("classifier"))]
    assert sorted(back) == sorted(wanted)
    if not bare:
        theirs.load_state_dict(back)
        equal_logits(ours, theirs)


@pytest.mark.parametrize("name", TIMM)
def test_equal_to_timm(name: str, liven: Callable[..., nn.Module], tmp_path: Path) -> None:
    ours, theirs = build_classifier(name), timm.create_model(TIMM[name])
    eps = ours.backbone.stem.norm.eps
    for layer in theirs.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = eps  # timm's V3 has 1e-5, the paper's code and torchvision 1e-3
    liven(theirs, images=normalised(noise(16, 3, 96, 64)))
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    assert load_weights(ours, tmp_path / "weights.pth") == "timm"
    equal_logits(ours, theirs)


def test_v1_has_timms_own_eps() -> None:
    theirs = timm.create_model("mobilenetv1_100")
    assert {layer.eps for layer in theirs.modules() if isinstance(layer, nn.BatchNorm2d)} == {1e-5}


@pytest.mark.parametrize("name", TORCHVISION)
def test_training_moves_the_same_statistics(name: str, tmp_path: Path) -> None:
    theirs = getattr(torchvision.models, TORCHVISION[name])()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = build_backbone(name)
    load_weights(ours, tmp_path / "weights.pth")
    images = torch.rand(2, 3, 64, 64)
    ours.train()(images)
    theirs.features.train()(normalised(images))
    for key, moved in to_torchvision(ours.state_dict(), name).items():
        if "running" in key:
            torch.testing.assert_close(moved, theirs.state_dict()[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["v3-large", "v3-small"])
def test_timms_v3_brings_a_warning_of_its_eps(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save(timm.create_model(TIMM[name]).state_dict(), tmp_path / "weights.pth")
    load_weights(build_backbone(name), tmp_path / "weights.pth")
    assert "eps 1e-5" in caplog.text
