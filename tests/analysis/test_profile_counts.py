"""Parameters, MAdds and activations: the papers' figures, torch's own counter, numbers by hand, sums over parts."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from densenets.analysis.profile import count
from densenets.analysis.profile.counting import Ledger
from densenets.analysis.profile.latency import shares
from densenets.analysis.profile.nets import nets_of
from densenets.backbones import BACKBONES
from densenets.build import build_model
from densenets.config import Profile, RCNNOptions, SegmentationOptions
from densenets.heads import HEADS


def fresh(**words: Any) -> tuple[nn.Module, tuple[int, int]]:
    lists = {name: [words.pop(name)] for name in ("backbone", "head") if name in words}
    (net,) = nets_of(Profile(**lists, **words)).values()
    return net.model, net.description.canvas


@pytest.mark.parametrize(
    ("words", "parameters", "billions"),
    [
        ({"backbone": "v1", "head": "ssd", "num_classes": 90, "size": 300}, 6_819_839, 1.237),
        ({"backbone": "v2", "head": "ssdlite"}, 4_337_013, 0.789),
        ({"backbone": "v3-large", "num_classes": 90, "reduced_tail": True}, 3_248_255, 0.507),
        ({"backbone": "v1", "head": "faster-rcnn", "num_classes": 90, "size": 300}, 6_065_995, 25.22),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_the_papers_detectors(words: dict[str, Any], parameters: int, billions: float) -> None:
    model, canvas = fresh(**words)
    found = count(model, canvas)
    assert found.parameters == found.trainable == parameters
    assert round(found.madds / 1e9, 2 if billions > 2 else 3) == billions


def test_the_papers_segmenter_at_full_size() -> None:
    with torch.device("meta"):  # 2 million px cost nothing there
        model = build_model("v3-large", "lraspp", 19, reduced_tail=True).eval()
    found = count(model, (1025, 2049))
    assert found.parameters == 1_507_198
    assert round(found.madds / 1e9, 2) == 9.53


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_pair_adds_up_and_is_left_as_it_was(backbone: str, head: str) -> None:
    """MAdds as torch counts its convolutions and fully connected layers, and no part without a name."""
    few = RCNNOptions(proposals=8)
    model, canvas = fresh(backbone=backbone, head=head, width=0.25, size=64, num_classes=3, rcnn=few)
    image = torch.rand(1, 3, *canvas)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    operations = counter.get_flop_counts()["Global"]
    flops = sum(operations.get(name, 0) for name in (torch.ops.aten.convolution, torch.ops.aten.addmm))
    found = count(model, canvas)
    assert 2 * found.madds == flops
    for name in ("parameters", "madds", "activation_bytes"):
        assert sum(getattr(part, name) for part in found.parts) == getattr(found, name)
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert 0 < found.peak_bytes < found.activation_bytes
    times = shares(model, image, 1)
    assert times.keys() <= {part.name for part in found.parts}
    assert sum(times.values()) == pytest.approx(1)
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.modules())
    assert not {"raw", "decode"} & model.__dict__.keys()


def test_the_stages_of_a_net() -> None:
    model, canvas = fresh(backbone="v2", size=[64, 96], num_classes=3)
    rows = {part.name: part for part in count(model, canvas).parts}
    assert [name for name in rows if name.startswith("backbone")] == [
        *(f"backbone.c{stage}" for stage in range(1, 6)),
        "backbone.top",
    ]
    assert [rows[f"backbone.c{stage}"].shapes[-1] for stage in (1, 2, 5)] == [
        [1, 16, 32, 48],
        [1, 24, 16, 24],
        [1, 320, 2, 3],
    ]
    assert rows["backbone.top"].parameters == 320 * 1280 + 2 * 1280  # a convolution without bias, its norm
    assert rows["backbone.top"].madds == 2 * 3 * 320 * 1280
    assert rows["backbone.c1"].madds == 32 * 48 * (3 * 32 * 9 + 32 * 9 + 32 * 16)  # stem, depthwise, projection


def test_the_second_stage_counts_for_each_proposal() -> None:
    """Its tail runs on 14x14 cells of every place, which the first stage's output says nothing of."""
    few, many = (
        {
            part.name: part.madds
            for part in count(*fresh(head="faster-rcnn", width=0.25, size=64, rcnn=RCNNOptions(proposals=n))).parts
        }
        for n in (2, 6)
    )
    assert many["backbone.c5"] == 3 * few["backbone.c5"]
    assert many["predictor"] == 3 * few["predictor"]
    assert many["rpn"] == few["rpn"]


def test_a_second_head_of_training_has_parameters_and_no_cost() -> None:
    words = {"head": "lraspp", "backbone": "v3-small", "size": 64, "num_classes": 3}
    plain, more = (count(*fresh(**words, seg=SegmentationOptions(auxiliary=weight))) for weight in (0.0, 0.4))
    assert more.madds == plain.madds
    (second,) = [part for part in more.parts if part.name == "auxiliary"]
    assert second.parameters == more.parameters - plain.parameters > 0
    assert (second.madds, second.activation_bytes, second.shapes) == (0, 0, [])


def test_activations_by_hand() -> None:
    ledger, given = Ledger(), torch.zeros(10)  # 40 bytes that were there before
    with torch.no_grad(), ledger:
        a = given + 1  # 40
        a.add_(1).view(2, 5)
        ledger.enter("later")
        b = torch.cat([a, a])  # 80: 120 at once
        del a
        c = b * 2  # 80: 160 at once
        del b, c
    assert dict(ledger.made) == {"between the parts": 40, "later": 160}
    assert ledger.peak == 160


def test_a_model_in_training_mode_is_refused() -> None:
    model, canvas = fresh(backbone="v3-small", width=0.25, size=64)
    with pytest.raises(ValueError, match="training mode"):
        count(model.train(), canvas)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_fresh_weights_keep_values_in_the_range_of_a_trained_net(backbone: str) -> None:
    """Processors slow down over numbers next to nothing, and would be blamed on the net."""
    model, canvas = fresh(backbone=backbone, size=96, num_classes=3)
    largest: list[float] = []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, given, output: largest.append(float(output.abs().max())))
    with torch.no_grad():
        model(torch.rand(1, 3, *canvas))
    assert 1e-6 < min(largest) < max(largest) < 1e4
