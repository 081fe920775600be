"""Parameters exactly, multiply-adds closely: V3 Tables 7 and 8, V2 Table 7, torchvision's LR-ASPP."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from densenets.build import build_model
from densenets.config import SegmentationOptions
from densenets.layers import HSwish, SqueezeExcite

CITYSCAPES = (1025, 2049)


def counted(
    backbone: str, head: str, classes: int, size: tuple[int, int], width: float, reduced: bool, **options: object
) -> tuple[int, float, float]:
    """Parameters; billions of multiply-adds in convolutions; those with the products of h-swish (two a value, one with
    the value and one by 1/6) and squeeze-excite (one). No memory: all of it on the meta device."""
    products = 0

    def count(layer: nn.Module, given: object, out: Tensor) -> None:
        nonlocal products
        products += out.numel() * (2 if isinstance(layer, HSwish) else 1)

    with torch.device("meta"):
        chosen = SegmentationOptions(**options)
        model = build_model(backbone, head, classes, width=width, reduced_tail=reduced, options=chosen).eval()
        image = torch.empty(1, 3, *size)
    for layer in model.modules():
        if isinstance(layer, HSwish | SqueezeExcite):
            layer.register_forward_hook(count)
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        model.raw(image)
    madds = flops.get_total_flops() / 2e9
    return sum(parameter.numel() for parameter in model.parameters()), madds, madds + products / 1e9


# backbone, width, RF2, head, filters, output stride, parameters, B MAdds of the paper, deviation of ours in %
ROWS = [
    ("v2", 1.0, False, "raspp", 256, 16, 2_113_043, 21.29, -0.27),
    ("v2", 1.0, True, "raspp", 256, 16, 1_159_123, 13.68, -0.34),
    ("v2", 1.0, True, "lraspp", 256, 16, 1_030_950, 12.83, -0.42),
    ("v2", 1.0, True, "lraspp", 128, 16, 987_174, 12.57, -0.37),
    ("v3-large", 1.0, False, "raspp", 256, 16, 3_600_963, 18.43, -1.49),
    ("v3-large", 1.0, True, "raspp", 256, 16, 1_762_435, 11.24, -1.85),
    ("v3-large", 1.0, True, "lraspp", 256, 16, 1_632_894, 10.33, -1.94),
    ("v3-large", 1.0, True, "lraspp", 128, 16, 1_507_198, 9.74, -2.12),
    ("v2", 0.5, True, "lraspp", 128, 16, 282_598, 4.00, -1.04),
    ("v2", 0.35, True, "lraspp", 128, 16, 168_502, 2.54, -1.70),
    ("v3-small", 1.0, True, "lraspp", 128, 16, 468_830, 2.90, -4.14),
    ("v3-large", 1.0, True, "lraspp", 128, 32, 1_507_198, 7.74, -2.03),  # Table 8
    ("v3-small", 1.0, True, "lraspp", 128, 32, 468_830, 2.06, -4.66),
]


@pytest.mark.parametrize(("backbone", "width", "rf2", "head", "filters", "stride", "params", "billions", "off"), ROWS)
def test_v3_tables_7_and_8(backbone, width, rf2, head, filters, stride, params, billions, off) -> None:
    """Convolutions alone come out below the paper, V3-small furthest; with the products inside of h-swish and
    squeeze-excite, which only V3 has, every row is within 2%: the authors' counter seems to see them."""
    found = counted(backbone, head, 19, CITYSCAPES, width, rf2, filters=filters, output_stride=stride)
    assert found[0] == params
    assert 100 * (found[1] / billions - 1) == pytest.approx(off, abs=0.01)
    assert found[2] == pytest.approx(billions, rel=0.02)


@pytest.mark.parametrize(
    ("backbone", "head", "params", "billions"),  # published 11.15M, 4.52M, 2.11M and 14.25B, 5.8B, 2.75B
    [("v1", "deeplabv3", 11_145_301, 12.76), ("v2", "deeplabv3", 4_523_541, 5.36), ("v2", "raspp", 2_113_557, 2.74)],
)
def test_v2_table_7(backbone: str, head: str, params: int, billions: float) -> None:
    found = counted(backbone, head, 21, (513, 513), 1.0, False)
    assert found[0] == params
    assert found[1] == pytest.approx(billions, abs=0.005)


@pytest.mark.parametrize(("classes", "params"), [(21, 3_221_538), (19, 3_221_198)])
def test_torchvisions_lraspp(classes: int, params: int) -> None:
    found = counted("v3-large", "lraspp-torchvision", classes, (520, 520), 1.0, False)
    assert found[0] == params
    assert classes != 21 or found[1] == pytest.approx(2.086, abs=0.001)  # its own figure


@pytest.mark.parametrize("head", ["raspp", "deeplabv3", "lraspp"])
def test_an_output_stride_changes_no_parameter(head: str) -> None:
    sizes = {counted("v3-small", head, 19, (64, 64), 1.0, True, output_stride=stride)[0] for stride in (8, 16, 32)}
    assert len(sizes) == 1
