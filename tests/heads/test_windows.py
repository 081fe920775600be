"""Windows of a map equal torchvision's roi_align, values and gradients, wherever a box lies."""

import pytest
import torch
from torchvision.ops import roi_align

from densenets.heads.windows import windows

ODD = [  # px of a map of 12 x 9 cells of stride 16
    [0.0, 0, 144, 192],
    [-40, -70, 500, 400],  # far outside on all sides
    [30, 40, 30, 40],  # a point
    [10, 10, 11, 180],
    [143, 191, 144, 192],
    [-300, -300, -200, -200],  # nowhere on it
    [150, 200, 170, 220],  # less than a cell, and more, beyond its end
]


@pytest.mark.parametrize(("cells", "samples"), [(7, 2), (14, 1), (1, 3)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equal_to_torchvisions(cells: int, samples: int, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    corners = torch.rand(60, 2, dtype=torch.float64) * 180 - 20
    boxes = torch.cat([torch.cat([corners, corners + torch.rand(60, 2) * 150], dim=1), torch.tensor(ODD)])
    places = [boxes[:41], boxes[41:]]
    x = torch.randn(2, 5, 12, 9, dtype=torch.float64).contiguous(memory_format=layout)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = windows(ours, places, cells, 16, samples)
    expected = roi_align(theirs, places, cells, 1 / 16, sampling_ratio=samples)
    assert found.shape == (67, 5, cells, cells)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    gradient = torch.randn_like(found)
    found.backward(gradient)
    expected.backward(gradient)
    assert torch.allclose(ours.grad, theirs.grad, rtol=0, atol=1e-11)


def test_a_share_is_a_factor_and_no_box_no_window() -> None:
    x, boxes = torch.randn(2, 3, 8, 8), torch.tensor([[0.0, 0, 60, 60], [16, 16, 90, 128]])
    share = torch.tensor([0.0, 1.0])
    found = windows(x, [boxes, boxes[:0]], 7, 16, 2, share)
    assert torch.equal(found, windows(x, [boxes, boxes[:0]], 7, 16, 2) * share.view(2, 1, 1, 1))
    assert not found[0].any()
