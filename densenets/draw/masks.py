"""Classes over an image in the data set's own colours, what is wrong with them, and a legend."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from densenets.contract import IGNORED
from densenets.draw.colours import DARK, GREY, LIGHT, Colour
from densenets.draw.lettering import font_of, shortened
from densenets.errors import printable

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

OPACITY = 0.6
NO_CLASS = "no class"
WRONG: Colour = (222, 24, 44)
UNJUDGED: Colour = (58, 92, 178)  # nothing else of such a picture is blue
PALE = 0.45  # how much of the photograph's contrast stays where a prediction is right
_NAME = 320  # px, the longest name of a legend


def draw_classes(image: np.ndarray, ids: np.ndarray, palette: np.ndarray, opacity: float = OPACITY) -> np.ndarray:
    """A copy of the image under the colours of its classes; pixels of no class are hatched.

    image: (H, W, 3) uint8; ids: (H, W) in 0..C-1, anything above is of no class; palette: (C, 3) uint8.
    """
    _check(image, ids)
    parts = round(256 * opacity)
    labels = np.minimum(ids, len(palette))
    table = np.concatenate([np.asarray(palette, dtype=np.uint16).reshape(-1, 3), [GREY]]).astype(np.uint16) * parts
    drawn = (table[labels] + image.astype(np.uint16) * (256 - parts)) >> 8
    none = labels == len(palette)
    drawn[none] = _hatching(*ids.shape)[none][:, None]
    return drawn.astype(np.uint8)


def draw_errors(image: np.ndarray, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The image, grey and pale where the prediction is right, red where it is wrong, flat blue where no class is true.

    prediction, truth: (H, W) ids; IGNORED in the truth: of no class.
    """
    _check(image, truth)
    light = image.mean(axis=2, dtype=np.float32)
    drawn = np.repeat((255 - PALE * (255 - light))[..., None], 3, axis=2)
    wrong = prediction != truth
    drawn[wrong] = 0.25 * light[wrong][:, None] + 0.75 * np.array(WRONG, dtype=np.float32)
    drawn[truth == IGNORED] = UNJUDGED
    return drawn.astype(np.uint8)


def _check(image: np.ndarray, ids: np.ndarray) -> None:
    if image.shape != (*ids.shape, 3):
        raise ValueError(f"an image of {image.shape} and classes of {ids.shape}")


def _hatching(height: int, width: int) -> np.ndarray:
    """(H, W) slanting stripes of two greys, as no class is coloured; the wider, the larger the image."""
    step = max(2, round(math.sqrt(height * width) / 120))
    dark = np.add.outer(np.arange(height), np.arange(width)) // step % 2 == 0
    return np.where(dark, 70, 170).astype(np.uint8)


# The legend


def with_legend(drawn: np.ndarray, ids: np.ndarray, classes: Sequence[str], palette: np.ndarray) -> np.ndarray:
    """The drawn image with the names of the classes that `ids` holds below it; narrow ones become wider.

    The legend's letters grow with the image.
    """
    height, width = drawn.shape[:2]
    size = max(11, round(math.sqrt(height * width) / 48))
    below = legend(classes, palette, present([ids], len(classes)), max(width, 16 * size), size)
    page = np.full((height + len(below), below.shape[1], 3), LIGHT, dtype=np.uint8)
    page[:height, :width], page[height:] = drawn, below
    return page


def present(masks: Sequence[np.ndarray], classes: int) -> list[int]:
    """The classes of the masks by rising number; `classes` where one has pixels of none."""
    counts = sum(np.bincount(np.minimum(ids, classes).reshape(-1), minlength=classes + 1) for ids in masks)
    return np.flatnonzero(counts).tolist()


def legend(classes: Sequence[str], palette: np.ndarray, shown: Sequence[int], width: int, size: int = 14) -> np.ndarray:
    """(h, width, 3) uint8: a patch of colour and the name of each class `shown`, in as many lines as they need.

    shown: labels, C for pixels of no class. size: of the letters, px.
    """
    from PIL import Image, ImageDraw

    font, gap, line = font_of(size), size, round(1.7 * size)
    room = min(_NAME * size // 14, width - 3 * gap)
    names = [shortened(printable([*classes, NO_CLASS][label]), font, room) for label in shown]
    places, x, y = [], gap // 2, gap // 2
    for name in names:
        across = math.ceil(font.getlength(name)) + round(2.6 * gap)
        if x + across > width and x > gap:
            x, y = gap // 2, y + line
        places.append((x, y))
        x += across
    canvas = Image.new("RGB", (width, y + line + gap // 4), LIGHT)
    brush = ImageDraw.Draw(canvas)
    for label, name, place in zip(shown, names, places, strict=True):
        _patch(brush, place, size, palette[label] if label < len(classes) else None)
        brush.text((place[0] + round(1.5 * size), place[1] + size // 2), name, fill=DARK, font=font, anchor="lm")
    return np.array(canvas)


def _patch(brush: "ImageDraw", place: tuple[int, int], size: int, colour: np.ndarray | None) -> None:
    """None: the hatching of no class."""
    x, y = place
    fill = GREY if colour is None else tuple(int(value) for value in colour)
    brush.rectangle((x, y, x + size, y + size), fill=fill, outline=DARK)
    if colour is None:
        for step in range(0, size, max(2, size // 3)):
            brush.line((x, y + step, x + step, y), fill=LIGHT)
            brush.line((x + step, y + size, x + size, y + step), fill=LIGHT)
