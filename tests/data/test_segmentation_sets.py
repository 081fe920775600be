"""Segmentation sets of every layout: what is found, and the faults that all have in common."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mask_sets import raw, save, shot, told, write_cityscapes, write_folder, write_voc
from PIL import Image

from densenets.data import find_segmentation, open_segmentation
from densenets.data.cityscapes import CLASSES
from densenets.data.class_list import distinct_colour
from densenets.errors import InputError


def test_voc(tmp_path: Path) -> None:
    split = open_segmentation(write_voc(tmp_path), "train")
    assert (len(split.classes), split.classes[0], split.classes[20]) == (21, "background", "tvmonitor")
    assert split.palette[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert split.palette[20].tolist() == [0, 64, 128]
    assert (split.truth(2).ids.numpy() == raw(split.masks[2])).all()


def test_palette_colours_are_all_different() -> None:
    assert len({distinct_colour(number) for number in range(256)}) == 256


def test_layouts_are_found_by_looking(tmp_path: Path) -> None:
    assert find_segmentation(write_folder(tmp_path / "a")) == "masks"
    assert find_segmentation(write_voc(tmp_path / "b")) == "voc"
    assert find_segmentation(write_cityscapes(tmp_path / "c")) == "cityscapes"
    with pytest.raises(InputError, match=r"no segmentation set found; looked for leftImg8bit with gtFine, .*masks"):
        find_segmentation(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_segmentation(tmp_path / "d")


def test_labels_follow_the_classes_asked_for(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    split = open_segmentation(root, "train", ["car", "boat", "sky", "road"])
    own = raw(split.masks[0])
    mask = split.truth(0).ids.numpy()
    for name, number in (("sky", 0), ("road", 1), ("car", 2)):
        assert (mask[own == number] == split.classes.index(name)).all()
    assert len(set(split.category_ids.tolist())) == 4
    assert split.train_ids[split.category_ids[1]] == -1  # nothing in the set is a boat
    assert told(root, classes=["sky", "road"]) == [
        f'{root}: class "car" is not among the classes asked for: sky, road [D22]'
    ]
    cities = open_segmentation(write_cityscapes(tmp_path / "c"), "train", sorted(CLASSES.names))
    assert {cities.classes[i] for i in np.flatnonzero(cities.counted)} == {CLASSES.names[i] for i in CLASSES.counted}


# Faults


@pytest.mark.parametrize(("number", "written"), [(19, 19), (33, 33), (254, 254), (-1, 255)])
def test_an_unknown_id(number: int, written: int, tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path) if number == -1 else write_folder(tmp_path)
    path = shot(root, 1, "gtFine", "gtFine_labelIds") if number == -1 else root / "masks" / "train" / "01.png"
    pixels = raw(path).copy()
    pixels[pixels == 255] = 0
    pixels[5, :11] = written
    save(path, pixels)
    name = str(path.relative_to(root))
    assert told(root) == [f"{name}: not of the class list: id {written} on 11 pixels [D31]"]


WRONG: list[tuple[str, Callable[[np.ndarray], Image.Image], str]] = [
    ("PNG", lambda mask: Image.fromarray(mask).convert("RGB"), "3 channels: a picture of colours"),
    ("PNG", lambda mask: Image.fromarray(mask).convert("RGBA"), "3 channels: a picture of colours"),
    ("PNG", lambda mask: Image.fromarray(mask).convert("LA"), r"2 channels \(LA\); a mask has one"),
    ("PNG", lambda mask: Image.fromarray(mask > 0), "gray of 1 bit a pixel"),
    ("JPEG", Image.fromarray, "a JPEG, whose compression changes ids"),
]


@pytest.mark.parametrize(("form", "convert", "words"), WRONG)
def test_a_file_that_is_no_mask(
    form: str, convert: Callable[[np.ndarray], Image.Image], words: str, tmp_path: Path
) -> None:
    for root in (write_folder(tmp_path / "a"), write_cityscapes(tmp_path / "b")):
        path = sorted([*root.glob("gtFine/train/*/*labelIds.png"), *root.glob("masks/train/*.png")])[1]
        convert(raw(path)).save(path, form)
        with pytest.raises(InputError, match=rf"{re.escape(str(path))}: {words}.*\[D32\]$"):
            open_segmentation(root, "train")


def test_files_without_a_partner(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "a")
    (root / "masks" / "train" / "00.png").unlink()
    (root / "images" / "train" / "02.png").unlink()
    assert told(root) == [
        "images/train/00.png: no mask masks/train/00.png [D34]",
        "masks/train/02.png: no picture images/train/02.* [D34]",
    ]
    root = write_cityscapes(tmp_path / "b")
    shot(root, 0, "gtFine", "gtFine_labelIds").unlink()
    shot(root, 2, "leftImg8bit", "leftImg8bit").unlink()
    first, last = told(root)
    assert first.startswith("leftImg8bit/train/lindenau/lindenau_000000_000019_leftImg8bit.png: no mask gtFine/train/")
    assert last.startswith("gtFine/train/lindenau/lindenau_000002_000019_gtFine_labelIds.png: no picture lindenau/")
    root = write_voc(tmp_path / "c")
    (root / "SegmentationClass" / "2007_000001.png").unlink()
    assert told(root) == [f'{root}/SegmentationClass: "2007_000001.png": no such mask [D34]'.replace(f"{root}/", "")]


def test_empty_splits(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "a", count=0)
    (root / "images" / "train").mkdir(parents=True)
    (root / "masks" / "train").mkdir(parents=True)
    assert told(root) == ["images/train: no images [D36]"]
    root = write_cityscapes(tmp_path / "b", count=1)
    shot(root, 0, "leftImg8bit", "leftImg8bit").unlink()
    assert told(root) == ["leftImg8bit/train: no CITY/*_leftImg8bit.png [D36]"]
    root = write_voc(tmp_path / "c", count=0)
    for folder in ("JPEGImages", "SegmentationClass"):
        (root / folder).mkdir()
    assert told(root) == ["ImageSets/Segmentation/train.txt: no images [D36]"]


@pytest.mark.parametrize("write", [write_folder, write_cityscapes, write_voc])
def test_a_misspelt_split_is_told_what_there_is(write: Callable[..., Path], tmp_path: Path) -> None:
    root = write(tmp_path)
    write(tmp_path, "val")
    for name in ("vall", "", "../train"):
        (line,) = told(root, name)
        assert line.endswith("there are train, val")
