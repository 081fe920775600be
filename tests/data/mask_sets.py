"""Small segmentation sets written to disk, and how they are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noise import speckled
from PIL import Image

from densenets.data import open_segmentation
from densenets.errors import InputError

CITY = "lindenau"


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def ids(height: int, width: int, values: Sequence[int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array(values, dtype=np.uint8), (height, width))


def write_folder(root: Path, split: str = "train", count: int = 3, size: tuple[int, int] = (40, 60)) -> Path:
    """Pictures and masks of the ids 0, 1, 2 and 255, with classes.txt."""
    root.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        save(root / "images" / split / f"{i:02d}.png", speckled(*size, seed=i + 1000 * (split != "train")))
        save(root / "masks" / split / f"{i:02d}.png", ids(*size, (0, 1, 2, 255), seed=i))
    (root / "classes.txt").write_text("sky\nroad\ncar\n")
    return root


def shot(root: Path, number: int, kind: str, ending: str, split: str = "train") -> Path:
    """A file of Cityscapes."""
    return root / kind / split / CITY / f"{CITY}_{number:06d}_000019_{ending}.png"


def write_cityscapes(root: Path, split: str = "train", count: int = 3, size: tuple[int, int] = (32, 64)) -> Path:
    """Pictures, labelIds of all 34 kinds, and instanceIds in which each car and person is one object a column."""
    for i in range(count):
        labels = ids(*size, range(34), seed=i)
        numbers = labels.astype(np.uint16)
        numbers = np.where(np.isin(labels, (24, 26)), numbers * 1000 + np.arange(size[1]), numbers).astype(np.uint16)
        save(shot(root, i, "leftImg8bit", "leftImg8bit", split), speckled(*size, seed=i))
        save(shot(root, i, "gtFine", "gtFine_labelIds", split), labels)
        save(shot(root, i, "gtFine", "gtFine_instanceIds", split), numbers)
    return root


def write_voc(root: Path, split: str = "train", count: int = 3, size: tuple[int, int] = (40, 60)) -> Path:
    """Pictures and palette masks of some of the 21 ids and 255."""
    names = [f"2007_{i:06d}" for i in range(count)]
    for i, name in enumerate(names):
        save(root / "JPEGImages" / f"{name}.jpg", speckled(*size, seed=i))
        mask = Image.fromarray(ids(*size, (0, 7, 20, 255), seed=i), "P")
        mask.putpalette(bytes(range(256)) * 3)
        (root / "SegmentationClass").mkdir(parents=True, exist_ok=True)
        mask.save(root / "SegmentationClass" / f"{name}.png")
    (root / "ImageSets" / "Segmentation").mkdir(parents=True, exist_ok=True)
    (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root


def raw(path: object) -> np.ndarray:
    return np.asarray(Image.open(str(path)))


def told(data: Path, split: str = "train", **how: Any) -> list[str]:
    """The lines with which a set is refused, its masks read too; the folder's name left out."""
    with pytest.raises(InputError) as fault:
        read_all(data, split, **how)
    return str(fault.value).replace(f"{data}/", "").splitlines()


def read_all(data: Path, split: str, **how: Any) -> None:
    found = open_segmentation(data, split, **how)
    for index in range(len(found)):
        found.picture(index)
        found.truth(index, instances=True)
