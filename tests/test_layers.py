"""The layers: numbers typed by hand, and blocks that give their parts without harming them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densenets.layers import (
    ACTIVATIONS,
    ConvNormAct,
    DepthwiseSeparable,
    InvertedResidual,
    Pointwise,
    SqueezeExcite,
    global_mean,
    make_divisible,
    same_padding,
)


@pytest.mark.parametrize(
    ("v", "expected"),
    [(1, 8), (11.2, 16), (12, 16), (16, 16), (18, 24), (22.4, 24), (24 * 0.75, 24), (33.6, 32), (67.2, 64), (448, 448)],
)
def test_make_divisible(v: float, expected: int) -> None:
    assert make_divisible(v) == expected


def test_make_divisible_never_loses_more_than_a_tenth() -> None:
    for v in range(8, 3000):
        assert 0.9 * v <= make_divisible(v) <= v + 8
        assert make_divisible(v) % 8 == 0


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "expected"),
    [
        (4, 3, 2, 1, (0, 1)),
        (5, 3, 2, 1, (1, 1)),
        (224, 3, 2, 1, (0, 1)),
        (6, 5, 2, 1, (1, 2)),
        (5, 5, 2, 1, (2, 2)),
        (1, 3, 2, 1, (1, 1)),
        (4, 3, 1, 2, (2, 2)),
        (8, 3, 2, 2, (1, 2)),
        (4, 1, 2, 1, (0, 0)),
    ],
)
def test_same_padding(size: int, kernel: int, stride: int, dilation: int, expected: tuple[int, int]) -> None:
    assert same_padding(size, kernel, stride, dilation) == expected


def counting(padding: str, stride: int = 2) -> nn.Conv2d:
    """Counts the pixels of an image of ones under its 3x3 window."""
    conv = ConvNormAct(1, 1, 3, stride, activation=None, padding=padding).conv
    nn.init.ones_(conv.weight)
    return conv


@pytest.mark.parametrize(
    ("padding", "size", "expected"),
    [
        ("tf", (4, 4), [[9, 6], [6, 4]]),
        ("torch", (4, 4), [[4, 6], [6, 9]]),
        ("tf", (5, 5), [[4, 6, 4], [6, 9, 6], [4, 6, 4]]),
        ("torch", (5, 5), [[4, 6, 4], [6, 9, 6], [4, 6, 4]]),
        ("tf", (4, 5), [[6, 9, 6], [4, 6, 4]]),
        ("tf", (1, 2), [[2]]),
    ],
)
def test_padding_by_hand(padding: str, size: tuple[int, int], expected: list[list[int]]) -> None:
    assert counting(padding)(torch.ones(1, 1, *size))[0, 0].tolist() == expected


def test_symmetric_padding_copies_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("padded")

    monkeypatch.setattr(F, "pad", refuse)
    counting("tf")(torch.ones(1, 1, 5, 7))
    counting("tf", stride=1)(torch.ones(1, 1, 4, 4))
    with pytest.raises(AssertionError, match="padded"):
        counting("tf")(torch.ones(1, 1, 5, 4))


def test_dilated_same_padding_keeps_the_size() -> None:
    layer = ConvNormAct(2, 2, 5, dilation=4, groups=2, padding="tf")
    assert layer(torch.rand(2, 2, 7, 6)).shape == (2, 2, 7, 6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", [0, 0, 0, 1, 3, 8]),
        ("relu6", [0, 0, 0, 1, 3, 6]),
        ("hswish", [0, -1 / 3, 0, 2 / 3, 3, 8]),
        (None, [-3, -1, 0, 1, 3, 8]),
    ],
)
def test_activations(name: str | None, expected: list[float]) -> None:
    act = ACTIVATIONS[name]()
    points = torch.tensor([-3.0, -1, 0, 1, 3, 8])
    torch.testing.assert_close(act(points.clone()), torch.tensor(expected, dtype=torch.float32))
    with torch.no_grad():
        torch.testing.assert_close(act(points.clone()), torch.tensor(expected, dtype=torch.float32))


def test_conv_norm_act_is_named_and_has_no_bias() -> None:
    layer = ConvNormAct(3, 8, 3, 2, eps=1e-3, momentum=0.01)
    assert [name for name, _ in layer.named_children()] == ["conv", "norm", "act"]
    assert layer.conv.bias is None
    assert (layer.norm.eps, layer.norm.momentum) == (1e-3, 0.01)


def test_pointwise_is_the_same_convolution_in_training_and_in_eval() -> None:
    layer = Pointwise(6, 10)
    x = torch.randn(2, 6, 3, 5, requires_grad=True)
    trained, judged = layer.train()(x), layer.eval()(x)
    torch.testing.assert_close(trained, judged)
    wanted = [x, layer.weight, layer.bias]
    weight = torch.randn_like(judged)
    for got, expected in zip(
        torch.autograd.grad(trained, wanted, weight), torch.autograd.grad(judged, wanted, weight), strict=True
    ):
        torch.testing.assert_close(got, expected)


def test_squeeze_excite_by_hand() -> None:
    layer = SqueezeExcite(2, 1)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    x = torch.rand(1, 2, 3, 3)
    torch.testing.assert_close(layer(x), x / 2)  # hard sigmoid of 0
    layer.reduce.weight.data.fill_(1)  # reduced: the sum of both means, 1 + 4
    layer.expand.weight.data.copy_(torch.tensor([0.2, -1.0]).view(2, 1, 1, 1))  # gates: (1 + 3) / 6 and 0
    x = torch.tensor([[1.0, 1.0], [0.0, 8.0]]).view(1, 2, 1, 2)
    torch.testing.assert_close(layer(x), torch.tensor([[2 / 3, 2 / 3], [0.0, 0.0]]).view(1, 2, 1, 2))


def test_squeeze_excite_is_the_same_in_training_and_in_eval() -> None:
    """And in training the gradient of its mean has the layout of what it is added to."""
    layer = SqueezeExcite(24, 8)
    x = torch.randn(2, 24, 5, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    trained, judged = layer.train()(x), layer.eval()(x)
    assert torch.equal(trained, judged)
    weight = torch.randn_like(judged)
    for got, expected in zip(
        torch.autograd.grad(trained, [x, *layer.parameters()], weight),
        torch.autograd.grad(judged, [x, *layer.parameters()], weight),
        strict=True,
    ):
        assert torch.equal(got, expected)
    (gradient,) = torch.autograd.grad(global_mean(x, True).sum(), x)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


BLOCKS = {
    "pair": lambda: DepthwiseSeparable(8, 16, 3, 2),
    "residual": lambda: InvertedResidual(8, 24, 8),
    "strided": lambda: InvertedResidual(8, 24, 8, 5, 2, squeezed=8, activation="hswish"),
    "excited": lambda: InvertedResidual(8, 24, 8, squeezed=8, activation="relu"),
    "narrow": lambda: InvertedResidual(8, 8, 8),
}


def block_of(name: str) -> DepthwiseSeparable | InvertedResidual:
    torch.manual_seed(0)
    block: DepthwiseSeparable | InvertedResidual = BLOCKS[name]()
    return block


def given(parts: tuple[Tensor | None, ...]) -> list[Tensor]:
    return [part for part in parts if part is not None]


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("grad", [True, False])
def test_a_block_leaves_its_input_and_its_parts_alone(name: str, grad: bool) -> None:
    block, x = block_of(name).eval(), torch.randn(2, 8, 6, 5)
    before = x.clone()
    with torch.set_grad_enabled(grad):
        parts = block(x)
        torch.testing.assert_close(x, before, rtol=0, atol=0)
        for part in ("expand", "depthwise"):
            layer = getattr(block, part, None)
            if layer is not None:
                source = parts.expand if part == "depthwise" and parts.expand is not None else x
                torch.testing.assert_close(getattr(parts, part), layer(source), rtol=0, atol=0)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_trains_and_states_its_channels(name: str) -> None:
    block, x = block_of(name).train(), torch.randn(2, 8, 6, 5, requires_grad=True)
    parts = block(x)
    assert {part: getattr(parts, part).shape[1] for part in block.channels} == block.channels
    assert len(given(parts)) == len(block.channels)
    parts.out.square().sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is not None for parameter in block.parameters())


@pytest.mark.parametrize("name", BLOCKS)
def test_keep_prunes_what_lies_behind(name: str) -> None:
    for part in block_of(name).channels:
        whole, block = block_of(name).eval(), block_of(name).eval()
        block.keep(part)
        x = torch.randn(2, 8, 6, 5)
        kept = getattr(block(x), part)
        torch.testing.assert_close(kept, getattr(whole(x), part), rtol=0, atol=0)
        kept.sum().backward()
        assert all(parameter.grad is not None for parameter in block.parameters())
        behind = list(block.channels)[list(block.channels).index(part) + 1 :]
        assert all(getattr(block(x), later) is None for later in behind)


def test_keep_of_a_part_that_is_not_there() -> None:
    for name in ("pair", "narrow"):
        with pytest.raises(ValueError, match="no expand"):
            block_of(name).keep("expand")


def test_only_stride_1_and_equal_width_skip() -> None:
    assert InvertedResidual(8, 24, 8).skip
    assert not InvertedResidual(8, 24, 8, stride=2).skip
    assert not InvertedResidual(8, 24, 16).skip
    block, x = block_of("residual").eval(), torch.randn(1, 8, 4, 4)
    assert isinstance(block, InvertedResidual)
    assert block.project is not None
    parts = block(x)
    torch.testing.assert_close(parts.out, block.project(parts.depthwise) + x)
