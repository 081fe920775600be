"""A description makes the same model again, whichever head it names, and odd options in it are refused."""

from dataclasses import asdict
from typing import Any

import pytest
import torch

from densenets.build import ModelDescription, build_from, check_shapes, class_of, read_description
from densenets.config import SegmentationOptions, SSDOptions
from densenets.errors import InputError
from densenets.heads import HEADS, task_of
from densenets.run.model import describe


def described(head: str, **options: Any) -> ModelDescription:
    plain = {"width": 0.25, "padding": "tf", "normalize": "half", "reduced_tail": True, "scale_last": True}
    chosen = asdict(class_of(head).options_type(**options))
    names = {"backbone": "v3-small", "head": head, "classes": ["a", "b", "c"], "category_ids": [0, 7, 9]}
    palette = [[128, 64, 128], [0, 0, 0], [9, 9, 255]] if task_of(head) == "segmentation" else None
    return ModelDescription(**names, canvas=(64, 96), **plain, weights=None, options=chosen, palette=palette)


@pytest.mark.parametrize("head", HEADS)
def test_a_description_survives_a_file_and_makes_the_same_model(head: str) -> None:
    description = described(head, bn_momentum=0.2)
    again = read_description(description.plain(), "x.ckpt")
    assert again == description
    model = build_from(again)
    assert model.task == task_of(head)
    assert model.canvas == (64, 96)
    assert ", height 64, width 96 px, " in describe(again, model)
    assert {norm.momentum for norm in model.modules() if isinstance(norm, torch.nn.BatchNorm2d)} == {0.2}
    check_shapes(description, model.state_dict(), "x.ckpt")


@pytest.mark.parametrize(
    "options", [{"filters": 24}, {"output_stride": 8}, {"auxiliary": 0.4}, {"class_weights": [1.0, 2.0, 3.0]}], ids=str
)
def test_every_option_that_shapes_a_segmenter_is_kept(options: dict[str, Any]) -> None:
    description = described("lraspp", **options)
    model = build_from(read_description(description.plain(), "x.ckpt"))
    assert asdict(model.options) == description.options
    assert "class_weights" not in model.state_dict()  # they are the description's
    check_shapes(description, model.state_dict(), "x.ckpt")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("category_ids", []),
        ("category_ids", [1, 2]),
        ("palette", []),
        ("palette", [[0, 0, 0]]),
        ("palette", [[0, 0]] * 3),
        ("palette", [[0, 0, 256]] * 3),
        ("palette", "red"),
    ],
)
def test_ids_and_colours_are_one_a_class(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"x\.ckpt: .*{name} \[X03\]"):
        read_description({**described("lraspp").plain(), name: value}, "x.ckpt")


def test_a_palette_is_kept() -> None:
    palette = [[128, 64, 128], [0, 0, 0], [255, 255, 255]]
    assert read_description({**described("lraspp").plain(), "palette": palette}, "x.ckpt").palette == palette


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("change", [None, {}, {"strange": 1}, {"bn_momentum": "x"}, {"bn_momentum": 7.0}], ids=str)
def test_odd_options_are_refused(head: str, change: Any) -> None:
    plain = described(head).plain()
    plain["options"] = {**plain["options"], **change} if change else change
    with pytest.raises(InputError, match=r"x\.ckpt: .*\[X03\]"):
        read_description(plain, "x.ckpt")


@pytest.mark.parametrize("head", HEADS)
def test_options_of_another_head_are_refused(head: str) -> None:
    plain = described(head).plain()
    other = SegmentationOptions if task_of(head) == "detection" else SSDOptions
    with pytest.raises(InputError, match=r"options \[X03\]"):
        read_description({**plain, "options": asdict(other())}, "x.ckpt")


@pytest.mark.parametrize(
    ("name", "value"),
    [("output_stride", 4), ("output_stride", "8"), ("filters", 10**9), ("class_weights", [1]), ("class_weights", "ab")],
)
def test_options_of_a_segmenter_that_cannot_be(name: str, value: Any) -> None:
    plain = described("lraspp").plain()
    plain["options"][name] = value
    with pytest.raises(InputError, match=r"x\.ckpt"):
        check_shapes(read_description(plain, "x.ckpt"), {}, "x.ckpt")
