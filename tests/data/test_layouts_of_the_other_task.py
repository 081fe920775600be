"""A folder that is given to the command of the other task."""

from pathlib import Path

import pytest

from densenets.data import find_layout, find_segmentation
from densenets.errors import InputError


def folder(root: Path, *places: str) -> Path:
    for place in places:
        (root / place).mkdir(parents=True)
    return root


@pytest.mark.parametrize("places", [("images", "masks"), ("leftImg8bit", "gtFine")])
def test_masks_given_for_boxes(tmp_path: Path, places: tuple[str, str]) -> None:
    with pytest.raises(InputError, match=r"no data set found; .*; it holds masks, on which train-seg trains$"):
        find_layout(folder(tmp_path / "set", *places))


def test_boxes_given_for_masks(tmp_path: Path) -> None:
    voc, coco = folder(tmp_path / "voc", "ImageSets/Main", "Annotations"), folder(tmp_path / "coco", "annotations")
    (coco / "annotations" / "instances_train.json").write_text("{}")
    for root in (voc, coco):
        with pytest.raises(
            InputError, match=r"no segmentation set found; .*; it holds boxes, on which train-det trains$"
        ):
            find_segmentation(root)


def test_neither(tmp_path: Path) -> None:
    for find in (find_layout, find_segmentation):
        with pytest.raises(InputError, match="set found; looked for") as fault:
            find(tmp_path)
        assert "it holds" not in str(fault.value)
