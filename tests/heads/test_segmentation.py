"""Every backbone with every segmentation head, at every output stride: the contract, export, and what is refused."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from densenets.backbones import BACKBONES
from densenets.build import build_model
from densenets.config import SegmentationOptions
from densenets.contract import IGNORED, Mask
from densenets.errors import InputError
from densenets.heads import HEADS, heads_of, task_of

WORDS = heads_of("segmentation")
PAIRS = list(itertools.product(BACKBONES, WORDS))
SOME = [
    pair if "v3-small" in pair or "lraspp" in pair else pytest.param(*pair, marks=pytest.mark.slow) for pair in PAIRS
]
FINE = ("lraspp", "lraspp-torchvision")  # these end at stride 8


def small(backbone: str, head: str, size: int = 64, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return build_model(
        backbone, head, 5, size=size, width=0.25, options=SegmentationOptions(filters=16, bn_momentum=0.1, **options)
    )


def masks(count: int, height: int, width: int, classes: int = 5) -> list[Mask]:
    ids = torch.randint(0, classes, (count, height, width), generator=torch.Generator().manual_seed(3))
    ids[:, :4] = IGNORED
    return [Mask(each.to(torch.uint8)) for each in ids]


def test_the_words_of_each_task() -> None:
    assert heads_of("detection") == ["ssd", "ssdlite", "faster-rcnn", "faster-rcnn-fpn"]
    assert WORDS == ["raspp", "lraspp", "lraspp-torchvision", "deeplabv3"]
    assert {task_of(word) for word in WORDS} == {"segmentation"}
    with pytest.raises(
        InputError, match="head: fcn: expected one of ssd, ssdlite, faster-rcnn, faster-rcnn-fpn, raspp"
    ):
        task_of("fcn")
    assert [*HEADS] == [*heads_of("detection"), *WORDS]


# The contract


@pytest.mark.parametrize(("backbone", "head"), PAIRS)
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_one_image_of_any_size_gives_logits_of_that_size(backbone: str, head: str, output_stride: int) -> None:
    model = small(backbone, head, output_stride=output_stride).eval()
    stride = 8 if head in FINE else output_stride
    for height, width in ((65, 97), (33, 33), (7, 150), (1, 1)):
        image = torch.rand(1, 3, height, width)
        with torch.inference_mode():
            assert model.raw(image).shape == (1, 5, -(-height // stride), -(-width // stride))
            logits = model(image)
        assert logits.shape == (1, 5, height, width)
        assert logits.isfinite().all()


@pytest.mark.parametrize(("backbone", "head"), PAIRS)
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_every_parameter_learns(backbone: str, head: str, output_stride: int) -> None:
    model = small(backbone, head, output_stride=output_stride, auxiliary=0.4, dice=0.5, lovasz=0.5).train()
    losses = model.losses(torch.rand(2, 3, 65, 97), masks(2, 65, 97))
    assert set(losses) == {"cross_entropy", "dice", "lovasz", "auxiliary"}
    assert all(value.isfinite() and value > 0 for value in losses.values())
    sum(losses.values()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


@pytest.mark.parametrize("head", WORDS)
@pytest.mark.parametrize("options", [{}, {"loss": "ohem"}, {"dice": 1.0, "lovasz": 1.0, "class_weights": [1.0] * 5}])
def test_a_batch_without_a_pixel_that_counts_teaches_nothing(head: str, options: dict) -> None:
    model = small("v3-small", head, auxiliary=0.4, label_smoothing=0.1, **options).train()
    nothing = [Mask(torch.full((64, 64), IGNORED, dtype=torch.uint8))] * 2
    losses = model.losses(torch.rand(2, 3, 64, 64), nothing)
    assert all(value == 0 for value in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() == 0 for p in model.parameters())


@pytest.mark.parametrize(("backbone", "head"), PAIRS)
def test_no_prediction_depends_on_its_neighbours(backbone: str, head: str) -> None:
    model = small(backbone, head).eval()
    images = torch.rand(3, 3, 64, 96)
    with torch.inference_mode():
        together, apart = model(images), model(torch.cat([images[:1], torch.zeros(2, 3, 64, 96)]))
    assert torch.equal(together[0], apart[0])


@pytest.mark.parametrize(("backbone", "head"), SOME)
def test_forward_passes_export_and_agrees(backbone: str, head: str) -> None:
    model, images = small(backbone, head).eval(), torch.rand(1, 3, 65, 96)
    exported = torch.export.export(model, (images,)).module()
    with torch.inference_mode():
        expected = model(images)
    torch.testing.assert_close(exported(images), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0


@pytest.mark.parametrize("head", WORDS)
@pytest.mark.parametrize(  # one window of the gate, and several
    ("height", "width"), [(96, 128), pytest.param(800, 900, marks=pytest.mark.slow)]
)
def test_one_export_serves_images_of_many_sizes(head: str, height: int, width: int) -> None:
    model = small("v3-small", head).eval()
    free = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    exported = torch.export.export(model, (torch.rand(2, 3, height, width),), dynamic_shapes=(free,)).module()
    images = torch.rand(3, 3, height + 31, width + 63)
    with torch.inference_mode():
        torch.testing.assert_close(exported(images), model(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", WORDS)
def test_a_frozen_backbone_still_lets_the_head_learn(head: str) -> None:
    model = small("v2", head).train()
    model.backbone.freeze(5, norm=True)
    sum(model.losses(torch.rand(2, 3, 64, 64), masks(2, 64, 64)).values()).backward()
    learning = [name for name, p in model.named_parameters() if p.grad is not None]
    assert learning
    assert not [name for name in learning if name.startswith("backbone.")]


# The gate of LR-ASPP


@pytest.mark.parametrize(
    ("output_stride", "size", "windows"),  # V3's own input: 2 x 5 windows of 49 cells; at 32 its authors' 25, 4, 5
    [
        (16, (65, 129), (2, 5)),
        (16, (49, 49), (1, 1)),
        (16, (20, 69), (1, 2)),
        (32, (33, 65), (3, 9)),
        (8, (9, 9), (1, 1)),
    ],
)
def test_the_windows_of_the_gate(output_stride: int, size: tuple[int, int], windows: tuple[int, int]) -> None:
    model = small("v3-small", "lraspp", output_stride=output_stride)
    x = torch.rand(1, model.gate.in_channels, *size)
    side, strides = {16: (49, (16, 20)), 32: (25, (4, 5)), 8: (97, (32, 40))}[output_stride]
    pooled = nn.functional.avg_pool2d(x, (min(side, size[0]), min(side, size[1])), strides)
    assert pooled.shape[2:] == windows
    expected = nn.functional.interpolate(model.gate(pooled).sigmoid(), size=size, mode="bilinear")
    torch.testing.assert_close(model.gates(x).expand_as(expected), expected, rtol=1e-5, atol=1e-6)


def test_lraspp_by_hand() -> None:
    model = small("v2", "lraspp").eval()
    low, x = torch.randn(1, 48, 16, 24), torch.randn(1, model.backbone.specs["context"].channels, 8, 12)
    gate = model.gate(x.mean((2, 3), keepdim=True)).sigmoid()
    y = nn.functional.interpolate(model.branch(x) * gate, scale_factor=2, mode="bilinear")
    expected = model.low_classifier(low) + model.high_classifier(y)
    torch.testing.assert_close(model.decode({"c3_dw": low, "context": x}), expected, rtol=1e-4, atol=1e-5)


# What cannot be


@pytest.mark.parametrize("head", ["raspp", "deeplabv3"])
def test_one_image_is_too_few_for_norm_over_a_pooled_map(head: str) -> None:
    model = small("v3-small", head).train()
    model.check_batch(2)
    for act in (lambda: model.check_batch(1), lambda: model.losses(torch.rand(1, 3, 64, 64), masks(1, 64, 64))):
        with pytest.raises(InputError, match=r"a batch of 1 image .*two.*\(--batch-size\).*\[T04\]"):
            act()
    model.eval().losses(torch.rand(1, 3, 64, 64), masks(1, 64, 64))


@pytest.mark.parametrize("head", FINE)
def test_one_image_is_enough_where_no_map_is_1x1(head: str) -> None:
    model = small("v3-small", head).train()
    model.check_batch(1)
    sum(model.losses(torch.rand(1, 3, 64, 64), masks(1, 64, 64)).values()).backward()
    with pytest.raises(InputError, match="T04"):
        small("v3-small", head, size=32, output_stride=32).check_batch(1)
    with pytest.raises(InputError, match="T04"):
        model.losses(torch.rand(1, 3, 16, 16), masks(1, 16, 16))


@pytest.mark.parametrize(
    ("classes", "options", "words"),
    [
        (300, {}, "300 classes: a mask tells 255 apart"),
        (5, {"class_weights": [1.0, 2.0]}, "^--seg.class-weights: 5 classes, of which each needs a weight; given: 2$"),
    ],
)
def test_options_that_cannot_be_met_are_named(classes: int, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_model("v3-small", "lraspp", classes, width=0.25, options=SegmentationOptions(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"filters": 0},
        {"output_stride": 4},
        {"dropout": 1.0},
        {"ohem_kept": 1.5},
        {"dice": -1.0},
        {"label_smoothing": float("nan")},
        {"class_weights": [1.0, -1.0]},
    ],
)
def test_options_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(InputError, match=f"--seg.{next(iter(options)).replace('_', '-')}: "):
        SegmentationOptions(**options)


def test_a_reduced_tail_that_no_paper_describes() -> None:
    for backbone, head in (("v1", "lraspp"), ("v1", "ssdlite"), ("v2", "ssdlite")):
        with pytest.raises(InputError, match="reduced_tail: MobileNet"):
            build_model(backbone, head, 3, reduced_tail=True)


def refused(ids: Tensor, images: Tensor) -> str:
    with pytest.raises(ValueError, match="masks") as fault:
        small("v3-small", "lraspp").losses(images, [Mask(each) for each in ids])
    return str(fault.value)


def test_masks_that_do_not_fit_are_bugs_and_named() -> None:
    images = torch.rand(2, 3, 64, 64)
    assert "id 19, expected 0 to 4 or 255" in refused(torch.full((2, 64, 64), 19, dtype=torch.uint8), images)
    assert "of {(32, 32)}" in refused(torch.zeros(2, 32, 32, dtype=torch.uint8), images)
    assert "1 masks" in refused(torch.zeros(1, 64, 64, dtype=torch.uint8), images)


def test_options_of_the_other_task_are_a_bug() -> None:
    with pytest.raises(TypeError, match="ssdlite takes SSDOptions"):
        build_model("v3-small", "ssdlite", 3, options=SegmentationOptions())
