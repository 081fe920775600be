"""The pictures that a latency is measured on."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from densenets.build import ModelDescription, in_px
from densenets.data.decode import read_image
from densenets.data.synthetic import render
from densenets.errors import printable
from densenets.heads import task_of
from densenets.run.prediction import find_pictures

COUNT = 8
SEED = 0
PHOTO = (480, 640)  # H, W in px: a usual size of COCO's


class Pictures(NamedTuple):
    """images: (H, W, 3) uint8. told: what they are, in words. plain: likewise for a file."""

    images: list[np.ndarray]
    told: str
    plain: dict[str, Any]


def pictures(places: list[str], descriptions: Iterable[ModelDescription]) -> Pictures:
    """The first COUNT pictures of the places; where none are named, drawn street scenes: of a photo's size where a
    detector is among the models, or of a segmenter's canvas, whichever is the largest. Raises InputError."""
    if places:
        return _read(find_pictures(places)[:COUNT])
    sizes = [one.canvas if task_of(one.head) == "segmentation" else PHOTO for one in descriptions]
    height, width = max(sizes, key=lambda size: size[0] * size[1])
    images = [render(SEED, index, height, width).image for index in range(COUNT)]
    plain = {"drawn": COUNT, "seed": SEED, "height": height, "width": width}
    return Pictures(images, f"{COUNT} drawn street scenes of {in_px((height, width))}", plain)


def _read(files: list[Path]) -> Pictures:
    images = [read_image(file) for file in files]
    names = [printable(file.name) for file in files]
    sizes = sorted({in_px(image.shape[:2]) for image in images})
    told = f"{len(files)} given, {', '.join(names[:3])}{' ...' * (len(names) > 3)} ({', '.join(sizes[:3])})"
    return Pictures(images, told, {"files": [str(file) for file in files]})
