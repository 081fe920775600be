"""What holds for every net in BACKBONES; a new entry is swept by itself."""

import copy
import itertools
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

from densenets.backbones import BACKBONES, build_backbone
from densenets.backbones.base import Backbone, place
from densenets.errors import InputError

PLACES = {"c2": 4, "c3_first": 8, "c3_dw": 8, "c3": 8, "c4": 16, "c4_expand": 16, "c5_first": 32, "c5": 32, "top": 32}
NOMINAL = {**PLACES, "context": 32}
TAPS = set(NOMINAL)
EVERY = pytest.mark.parametrize("name", BACKBONES)


def small(name: str, **options: object) -> Backbone:
    torch.manual_seed(0)
    return build_backbone(name, width=0.25, **options)


# The registry


def test_importing_the_names_does_not_import_torch() -> None:
    code = "import sys, densenets.backbones as b; print(*b.BACKBONES); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(BACKBONES)


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(InputError, match="backbone: v4: expected one of v1, v2, v3-large, v3-small"):
        build_backbone("v4")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"output_stride": 4}, "output_stride: 4: expected one of 32, 16, 8"),
        ({"padding": "same"}, "padding: same: expected one of torch, tf"),
        ({"normalize": "none"}, "normalize: none: expected one of imagenet, half"),
        ({"width": 0.0}, "width: 0.0: expected a number above 0"),
        ({"width": float("nan")}, "width: nan: expected"),
        ({"bn_momentum": 0.0}, "bn_momentum: 0.0: expected"),
        ({"reduced_tail": "yes"}, "reduced_tail: yes: expected one of none, detection, segmentation"),
        ({"atrous": "none"}, "atrous: none: expected one of slim, torchvision"),
    ],
)
def test_a_wrong_option_says_what_is_possible(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_backbone("v2", **options)


@pytest.mark.parametrize(("name", "task"), [("v1", "detection"), ("v1", "segmentation"), ("v2", "detection")])
def test_a_net_without_a_reduced_tail_says_so(name: str, task: str) -> None:
    with pytest.raises(InputError, match=f"reduced_tail: MobileNet.*for {task}"):
        build_backbone(name, reduced_tail=task)


@EVERY
def test_batch_norm_is_the_papers_unless_told(name: str) -> None:
    own = (1e-3, 0.01) if name.startswith("v3") else (1e-5, 0.1)
    for told, expected in ((None, own), (0.03, (own[0], 0.03))):
        norms = [layer for layer in small(name, bn_momentum=told).modules() if isinstance(layer, nn.BatchNorm2d)]
        assert {(norm.eps, norm.momentum) for norm in norms} == {expected}


# Taps and strides


@pytest.mark.parametrize(
    ("name", "channels", "context"),  # in the tables' own numbers, in order of depth; what segmentation reads
    [
        ("v1", (128, 256, 256, 256, 512, 512, 1024, 1024, 1024), 1024),
        ("v2", (24, 32, 192, 32, 96, 576, 160, 320, 1280), 320),
        ("v3-large", (24, 40, 120, 40, 112, 672, 160, 160, 960), 960),
        ("v3-small", (16, 24, 88, 24, 48, 288, 96, 96, 576), 576),
    ],
)
def test_the_papers_taps(name: str, channels: tuple[int, ...], context: int) -> None:
    specs = build_backbone(name).specs
    wanted = {**dict(zip(PLACES, channels, strict=True)), "context": context}
    assert wanted == {tap: spec.channels for tap, spec in specs.items()}
    assert [tap for tap in specs if tap != "context"] == list(PLACES)
    assert {tap: spec.stride for tap, spec in specs.items()} == NOMINAL


@EVERY
@pytest.mark.parametrize("output_stride", [32, 16, 8])
@pytest.mark.parametrize("padding", ["torch", "tf"])
def test_shapes_are_those_of_the_specs(name: str, output_stride: int, padding: str) -> None:
    net = small(name, output_stride=output_stride, padding=padding).eval()
    assert set(net.specs) == TAPS
    assert {tap: spec.stride for tap, spec in net.specs.items()} == {
        tap: min(stride, output_stride) for tap, stride in NOMINAL.items()
    }
    for height, width in ((64, 96), (65, 47), (33, 32), (7, 50)):
        with torch.inference_mode():
            found = net(torch.rand(1, 3, height, width))
        assert list(found) == list(net.specs)
        for tap, (channels, stride) in net.specs.items():
            assert found[tap].shape == (1, channels, -(-height // stride), -(-width // stride)), tap


def test_the_atrous_rule_by_hand() -> None:
    strides = [1, 2, 1, 2, 1, 2, 1, 2, 1]  # nominal output strides 2 4 4 8 8 16 16 32 32
    at = {stride: [(p.stride, p.dilation, p.actual) for p in place(strides, stride)] for stride in (32, 16, 8)}
    assert at[32] == [(s, 1, n) for s, n in zip(strides, [2, 4, 4, 8, 8, 16, 16, 32, 32], strict=True)]
    assert at[16][:7] == at[32][:7]
    assert at[16][7:] == [(1, 1, 16), (1, 2, 16)]
    assert at[8][:5] == at[32][:5]
    assert at[8][5:] == [(1, 1, 8), (1, 2, 8), (1, 2, 8), (1, 4, 8)]
    assert [p.nominal for p in place(strides, 8)] == [2, 4, 4, 8, 8, 16, 16, 32, 32]
    own = {stride: [p.dilation for p in place(strides, stride, "torchvision")][5:] for stride in (32, 16, 8)}
    assert own == {32: [1, 1, 1, 1], 16: [1, 1, 2, 2], 8: [2, 2, 4, 4]}


@EVERY
def test_an_output_stride_changes_no_weight(name: str) -> None:
    shapes = [
        {key: value.shape for key, value in small(name, output_stride=stride).state_dict().items()}
        for stride in (32, 16, 8)
    ]
    assert shapes[0] == shapes[1] == shapes[2]


@pytest.mark.parametrize("name", ["v1", "v2"])  # in V3 the mean over more pixels moves the gates
def test_atrous_features_are_the_strided_ones_between(name: str, liven: Callable[..., Backbone]) -> None:
    """A net without the last stride samples more densely: every second pixel is the strided net's."""
    net = liven(small(name), 128)
    dense = small(name, output_stride=16).eval()
    dense.load_state_dict(net.state_dict())
    images = torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        strided, between = net(images)["c5_first"], dense(images)["c5_first"][:, :, ::2, ::2]
    torch.testing.assert_close(strided, between, rtol=1e-4, atol=1e-5)


@EVERY
def test_normalisation_is_the_first_step(name: str) -> None:
    imagenet, half = small(name).eval(), small(name, normalize="half").eval()
    half.load_state_dict(imagenet.state_dict() | {"mean": half.mean, "std": half.std})
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(imagenet.normalize(images), (images - mean) / std)
    torch.testing.assert_close(half.normalize(images), images * 2 - 1)
    same = ((images - mean) / std + 1) / 2
    with torch.inference_mode():
        torch.testing.assert_close(imagenet(images)["top"], half(same)["top"], rtol=1e-4, atol=1e-4)


@EVERY
@pytest.mark.parametrize("padding", ["torch", "tf"])
def test_channels_last_changes_the_layout_only(name: str, padding: str, liven: Callable[..., Backbone]) -> None:
    net = liven(small(name, padding=padding))
    images = torch.rand(2, 3, 64, 48)
    with torch.inference_mode():
        plain = net(images)
        last = net.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    for tap, expected in plain.items():
        torch.testing.assert_close(last[tap], expected, rtol=1e-4, atol=1e-4)
        assert last[tap].is_contiguous(memory_format=torch.channels_last), tap


# Pruning


def all_get_gradients(net: nn.Module, found: dict[str, torch.Tensor]) -> bool:
    sum(tensor.square().mean() for tensor in found.values()).backward()
    return all(parameter.grad is not None for parameter in net.parameters())


SETS = [*itertools.combinations(sorted(TAPS), 1), *itertools.combinations(sorted(TAPS), 2), tuple(TAPS)]


@EVERY
def test_keep_leaves_only_what_gets_a_gradient(name: str) -> None:
    whole = small(name, output_stride=16)
    images = torch.rand(2, 3, 32, 32)
    expected = copy.deepcopy(whole)(images)
    for taps in SETS:
        net = copy.deepcopy(whole)
        assert net.keep(reversed(taps)) is net
        found = net(images)
        assert set(found) == set(net.specs) == set(taps)
        assert list(found) == [tap for tap in whole.specs if tap in taps]
        for tap in taps:
            torch.testing.assert_close(found[tap], expected[tap])
        assert all_get_gradients(net, found), taps


@EVERY
def test_keep_drops_layers(name: str) -> None:
    sizes = {}
    for tap in TAPS:
        sizes[tap] = sum(parameter.numel() for parameter in small(name).keep([tap]).parameters())
    assert sizes["c2"] < sizes["c3_dw"] < sizes["c3"] < sizes["c4"] <= sizes["c4_expand"] < sizes["c5"] <= sizes["top"]


def test_keep_drops_half_blocks() -> None:
    names = set(build_backbone("v3-large").keep(["c4_expand"]).state_dict())
    assert {name for name in names if name.startswith("blocks.12.")} == {
        f"blocks.12.expand.{leaf}"
        for leaf in ("conv.weight", *(f"norm.{n}" for n in small("v1").stem.norm.state_dict()))
    }
    assert not any(name.startswith(("blocks.13", "top")) for name in names)


@EVERY
def test_keep_refuses_what_is_not_there(name: str) -> None:
    net = small(name)
    with pytest.raises(InputError, match="c6: expected some of c2, c3_first"):
        net.keep(["c4", "c6"])
    with pytest.raises(InputError, match="none: expected some of c2"):
        net.keep([])
    assert set(net.specs) == TAPS
    net.keep(["c3", "c4"]).keep(["c3"])
    with pytest.raises(InputError, match=r"top: expected some of c3$"):
        net.keep(["top"])


# Freezing


def statistics(net: Backbone) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items() if "running" in name}


@EVERY
@pytest.mark.parametrize(
    ("stages", "stays"),
    [(0, []), (1, ["stem"]), (2, ["stem", "c2"]), (3, ["stem", "c2", "c3"]), (5, ["stem", "c2", "c3", "c4", "c5"])],
)
def test_frozen_stages_stay(name: str, stages: int, stays: list[str]) -> None:
    net = small(name).train()
    net.freeze(stages)
    net.eval().train()
    before = statistics(net)
    net(torch.rand(2, 3, 64, 64))
    moved = {
        key.rpartition(".norm")[0] for key, value in statistics(net).items() if not torch.equal(value, before[key])
    }
    at = {"stem": ["stem"], **{f"c{n}": [f"blocks.{i}." for i in blocks_of(net, 2**n)] for n in (1, 2, 3, 4, 5)}}
    frozen = tuple(prefix for stage in {*stays, *(["c1"] if stays else [])} for prefix in at[stage])
    frozen += ("top",) * (stages == 5)
    layers = {key.rpartition(".norm")[0] for key in before}
    assert moved == {layer for layer in layers if not (layer + ".").startswith(frozen or ("nothing",))}
    for key, parameter in net.named_parameters():
        assert parameter.requires_grad != key.startswith(frozen or ("nothing",)), key


def blocks_of(net: Backbone, nominal: int) -> list[int]:
    """The blocks whose output has that stride, of a net at output stride 32."""
    steps = [block.depthwise.conv.stride[0] for block in net.blocks]
    reached = list(itertools.accumulate([2, *steps], lambda so_far, step: so_far * step))[1:]
    return [index for index, stride in enumerate(reached) if stride == nominal]


@EVERY
def test_frozen_norm_survives_train_and_copies(name: str) -> None:
    net = small(name).keep(["c4"])
    net.freeze(0, norm=True)
    holder = copy.deepcopy(nn.Sequential(net)).train()
    before = {key: value.clone() for key, value in holder.state_dict().items()}
    found = holder(torch.rand(2, 3, 64, 64))
    assert all(torch.equal(value, before[key]) for key, value in holder.state_dict().items())
    sum(tensor.square().mean() for tensor in found.values()).backward()
    norms = {id(p) for layer in holder.modules() if isinstance(layer, nn.BatchNorm2d) for p in layer.parameters()}
    assert all((parameter.grad is None) == (id(parameter) in norms) for parameter in holder.parameters())
    net.freeze()
    assert all(layer.training for layer in net.train().modules())


def test_freeze_refuses_a_sixth_stage() -> None:
    with pytest.raises(InputError, match="frozen stages: 6: expected one of 0, 1, 2, 3, 4, 5"):
        small("v2").freeze(6)


@EVERY
def test_a_frozen_net_is_untouched_by_a_step(name: str) -> None:
    net = small(name).train()
    net.freeze(3, norm=True)
    before = copy.deepcopy(net.state_dict())
    sum(tensor.square().mean() for tensor in net(torch.rand(2, 3, 64, 64)).values()).backward()
    learning = [parameter for parameter in net.parameters() if parameter.requires_grad]
    torch.optim.SGD(learning, lr=1.0).step()
    changed = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    assert changed
    assert not any("running" in key or key.startswith(("stem", "blocks.0")) for key in changed)


# Export


@EVERY
@pytest.mark.parametrize("padding", ["torch", "tf"])
@pytest.mark.parametrize(
    ("output_stride", "size", "taps"),
    [(32, (64, 48), ["c4_expand", "top"]), (16, (65, 47), ["c3_dw", "c5"]), (8, (33, 64), ["c2", "c5_first"])],
)
def test_export_equals_eager(
    name: str,
    padding: str,
    output_stride: int,
    size: tuple[int, int],
    taps: list[str],
    liven: Callable[..., Backbone],
) -> None:
    net = liven(small(name, padding=padding, output_stride=output_stride).keep(taps))
    images = torch.rand(1, 3, *size)
    exported = torch.export.export(net, (images,)).module()
    with torch.inference_mode():
        for tap, expected in net(images).items():
            torch.testing.assert_close(exported(images)[tap], expected, rtol=1e-5, atol=1e-5)
    assert all(
        spec.channels == found.shape[1] for spec, found in zip(net.specs.values(), net(images).values(), strict=True)
    )


@EVERY
def test_export_of_every_tap(name: str, liven: Callable[..., Backbone]) -> None:
    net = liven(small(name))
    images = torch.rand(1, 3, 64, 64)
    found = torch.export.export(net, (images,)).module()(images)
    assert list(found) == list(net.specs)


def test_a_block_that_no_longer_strides_may_skip() -> None:
    """The reduced tail of V3-Small has 48 channels on both sides of its last stride; slim adds the input there too."""
    skips = {stride: build_backbone("v3-small", reduced_tail="detection", output_stride=stride) for stride in (32, 16)}
    assert [skips[stride].blocks[8].skip for stride in (32, 16)] == [False, True]
