"""Each segmentation head learns four images by heart; torchvision's LR-ASPP gives the same logits with its weights."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from densenets.build import build_model, load_torchvision
from densenets.config import SegmentationOptions
from densenets.contract import Mask
from densenets.errors import InputError
from densenets.heads import heads_of

STEPS, SIDE, COLOURS = 45, 64, torch.tensor([[0.5, 0.5, 0.5], [0.9, 0.2, 0.2], [0.2, 0.3, 0.9]])


def bands(side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Four images of two or three bands each, upright or across, in the colours of their classes; and their ids."""
    half = side // 2
    ids = torch.zeros(4, side, side, dtype=torch.uint8)
    ids[0, :, half:], ids[1, half:], ids[2, :, :half] = 1, 2, 2
    ids[3, half // 2 : half], ids[3, half:] = 2, 1
    noise = torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(0)) * 0.1
    return COLOURS[ids.long()].permute(0, 3, 1, 2) + noise - 0.05, ids


def accuracy(model: nn.Module, images: Tensor, ids: Tensor) -> float:
    with torch.inference_mode():
        return (model.eval()(images).argmax(1) == ids).float().mean().item()


@pytest.mark.parametrize("head", heads_of("segmentation"))
@pytest.mark.parametrize(
    ("backbone", "stride", "side"),  # 8 cells of the map a side: on 4, borders are a pixel or two off
    [("v3-small", 8, SIDE), pytest.param("v2", 16, 2 * SIDE, marks=pytest.mark.slow)],
    ids=["v3", "v2"],
)
def test_four_images_by_heart(head: str, backbone: str, stride: int, side: int) -> None:
    torch.manual_seed(0)
    options = SegmentationOptions(filters=32, output_stride=stride, bn_momentum=0.3)
    model = build_model(backbone, head, 3, size=side, width=0.5, options=options).train()
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    images, ids = bands(side)
    images = images.contiguous(memory_format=torch.channels_last)
    for _ in range(STEPS):
        optimizer.zero_grad()
        sum(model.losses(images, [Mask(each) for each in ids]).values()).backward()
        optimizer.step()
    assert accuracy(model, images, ids) > 0.99
    assert accuracy(model, images.flip(0), ids) < 0.9  # the images differ


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "ohem", "lovasz": 1.0},
        {"dice": 1.0, "label_smoothing": 0.1, "auxiliary": 0.4},
    ],
    ids=str,
)
def test_by_heart_with_every_loss(options: dict) -> None:
    torch.manual_seed(0)
    chosen = SegmentationOptions(filters=32, output_stride=8, bn_momentum=0.3, **options)
    model = build_model("v3-small", "lraspp", 3, size=SIDE, width=0.5, options=chosen).train()
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    images, ids = bands()
    for _ in range(STEPS):
        optimizer.zero_grad()
        sum(model.losses(images, [Mask(each) for each in ids]).values()).backward()
        optimizer.step()
    assert accuracy(model, images, ids) > 0.99


# torchvision's own


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    """torchvision's net with random weights and statistics that differ from channel to channel."""
    torch.manual_seed(0)
    net = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.2)
        norm.momentum = 1.0
    with torch.no_grad():
        net.train()(normalised(scenes(4, 160, 160)))
    return net.eval()


def scenes(count: int, height: int, width: int) -> Tensor:
    coarse = torch.rand(count, 3, 10, 10, generator=torch.Generator().manual_seed(2))
    return nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)


def normalised(images: Tensor) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (images - mean.view(3, 1, 1)) / std.view(3, 1, 1)


@pytest.mark.parametrize("size", [(160, 160), (65, 97), (97, 240)])
def test_torchvisions_lraspp_gives_the_same_logits(theirs: nn.Module, tmp_path: Path, size: tuple[int, int]) -> None:
    torch.save(theirs.state_dict(), tmp_path / "lraspp.pth")
    ours, images = load_torchvision(tmp_path / "lraspp.pth").eval(), scenes(2, *size)
    assert ours.num_classes == 21
    assert sum(parameter.numel() for parameter in ours.parameters()) == 3_221_538
    for dtype, close in ((torch.float32, 1e-5), (torch.float64, 1e-9)):  # the first is what rounding leaves
        ours.to(dtype)
        theirs.to(dtype)
        with torch.inference_mode():
            expected, found = theirs(normalised(images.to(dtype)))["out"], ours(images.to(dtype))
        assert expected.std() > 0.1
        torch.testing.assert_close(found, expected, rtol=0, atol=close * max(1.0, expected.abs().max().item()))
    theirs.float()


def test_and_the_same_gradients(theirs: nn.Module, tmp_path: Path) -> None:
    torch.save(theirs.state_dict(), tmp_path / "lraspp.pth")
    ours, images = load_torchvision(tmp_path / "lraspp.pth").eval().double(), scenes(1, 96, 96).double()
    ids = torch.randint(0, 21, (1, 96, 96), dtype=torch.uint8)
    ids[:, :9] = 255
    ours.losses(images, [Mask(ids[0])])["cross_entropy"].backward()
    net = theirs.double()
    net.zero_grad()
    nn.functional.cross_entropy(net(normalised(images))["out"], ids.long(), ignore_index=255).backward()
    pairs = {
        "low_classifier": "classifier.low_classifier",
        "gate": "classifier.scale.1",
        "backbone.stem.conv": "backbone.0.0",
    }
    for own, other in pairs.items():
        wanted = net.get_submodule(other).weight.grad
        torch.testing.assert_close(ours.get_submodule(own).weight.grad, wanted, rtol=1e-6, atol=1e-10)
    theirs.float()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("classifier.scale.1.weight"), "weights do not fit"),
        (lambda s: s.pop("classifier.low_classifier.weight"), "parts of torchvision's net are missing"),
        (lambda s: s.pop("backbone.16.0.weight"), "1 missing: features.16.0.weight"),
        (lambda s: s.update({"aux_classifier.0.weight": torch.zeros(1)}), "weights do not fit"),
        (lambda s: s.update({"classifier.cbr.0.weight": torch.zeros(64, 960, 1, 1)}), "weights do not fit"),
        (lambda s: s["classifier.cbr.1.bias"].fill_(float("nan")), "not finite"),
    ],
)
def test_a_state_dict_that_is_not_whole_is_refused(theirs: nn.Module, tmp_path: Path, change, words: str) -> None:
    state = {name: value.clone() for name, value in theirs.state_dict().items()}
    change(state)
    torch.save(state, tmp_path / "broken.pth")
    with pytest.raises(InputError, match=words):
        load_torchvision(tmp_path / "broken.pth")
