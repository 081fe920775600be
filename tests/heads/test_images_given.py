"""What a model refuses to look at, in each of its jobs: it would answer, and wrongly."""

from typing import Any

import pytest
import torch
from torch import Tensor

from densenets.build import build_model
from densenets.contract import Boxes, Mask
from densenets.heads import HEADS, task_of


def small(head: str) -> Any:
    torch.manual_seed(0)
    return build_model("v3-small", head, 2, size=64, width=0.25).train()


def losses_of(model: Any, head: str, images: Tensor) -> object:
    if task_of(head) == "segmentation":
        return model.losses(images, [Mask(torch.zeros(64, 64, dtype=torch.uint8))] * len(images))
    return model.losses(images, [Boxes(torch.tensor([[4.0, 4, 40, 40]]), torch.tensor([1]))] * len(images))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.bool])
def test_whole_numbers_are_refused(head: str, kind: torch.dtype) -> None:
    model, images = small(head), torch.ones(2, 3, 64, 64, dtype=kind)
    for job in (model, model.raw, lambda given: losses_of(model, head, given)):
        with pytest.raises(ValueError, match=rf"images of {kind}, expected float in \[0, 1\]"):
            job(images)
    assert losses_of(model, head, images.float())


@pytest.mark.parametrize("head", HEADS)
def test_a_single_image_is_told_the_form_of_a_batch(head: str) -> None:
    model = small(head).eval()
    for wrong in (torch.rand(3, 64, 64), torch.rand(2, 1, 64, 64), torch.rand(1, 64, 64, 3)):
        with pytest.raises(ValueError, match=r"images of shape \(.*\), expected \(N, 3, "):
            model(wrong)
