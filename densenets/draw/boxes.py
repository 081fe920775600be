"""Boxes over an image."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from densenets.draw.colours import DARK, LIGHT, Colour, ink, palette
from densenets.draw.lettering import font_of, shortened
from densenets.errors import printable

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

Rect = tuple[int, int, int, int]  # x0 y0 x1 y1, px, x1 and y1 outside


class Pen(NamedTuple):
    """Sizes in px, by the image's size."""

    line: int
    halo: int
    font: int

    @classmethod
    def of(cls, height: int, width: int) -> "Pen":
        side = math.sqrt(height * width)
        return cls(max(2, round(side / 200)), max(1, round(side / 700)), max(11, round(side / 40)))


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray | None,
    classes: Sequence[str],
    ignore: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of the image with a box and a tag "name 0.93" for each object, and hatched regions to ignore.

    image: (H, W, 3) uint8; boxes: (M, 4) x0 y0 x1 y1, px of this image; labels: (M,) in 0..C-1; ignore: (R, 4).
    A class has the same colour in every image. Rows of score 0 (filling), and boxes outside the image or not finite,
    are left out.
    """
    from PIL import Image, ImageDraw

    canvas = Image.fromarray(np.ascontiguousarray(image)).copy()
    size, pen, brush = canvas.size, Pen.of(*image.shape[:2]), ImageDraw.Draw(canvas)
    for region in np.asarray([] if ignore is None else ignore, dtype=np.float64).reshape(-1, 4):
        if rect := _inside(region, size):
            _hatch(canvas, rect, pen)
    colours = palette(len(classes))
    rects = [_inside(b, size) for b in np.asarray(boxes, dtype=np.float64).reshape(-1, 4)]
    marks = [1.0] * len(rects) if scores is None else np.asarray(scores, dtype=np.float64).tolist()
    found = [
        (rect, int(k), score)
        for rect, k, score in zip(rects, np.asarray(labels).tolist(), marks, strict=True)
        if rect and score != 0
    ]
    found.sort(key=lambda item: -_area(item[0]))  # small ones on top
    for rect, k, _ in found:
        _frame(brush, rect, colours[k], pen)
    taken: list[Rect] = []
    frames = [rect for rect, _, _ in found]
    for rect, k, score in sorted(found, key=lambda item: -item[2]):
        text = printable(classes[k]) + ("" if scores is None else f" {score:.2f}")
        _tag(brush, rect, text, colours[k], pen, size, frames, taken)
    return np.array(canvas)


def _inside(box: np.ndarray, size: tuple[int, int]) -> Rect | None:
    """The box in whole px, cut at the image's edges; None where nothing of it is inside."""
    if not np.isfinite(box).all():
        return None
    (x0, y0), (x1, y1) = np.clip(np.round(box).reshape(2, 2), 0, size).astype(int).tolist()
    x0, y0 = min(x0, size[0] - 1), min(y0, size[1] - 1)
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    outside = box[2] <= 0 or box[3] <= 0 or box[0] >= size[0] or box[1] >= size[1]
    return None if outside else (x0, y0, x1, y1)


def _area(rect: Rect) -> int:
    return max(0, rect[2] - rect[0]) * max(0, rect[3] - rect[1])


def _overlaps(rects: Sequence[Rect], others: Sequence[Rect]) -> np.ndarray:
    """(n,) for each rect the px of all others under it."""
    a, b = np.array(rects)[:, None], np.array(others).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return sides.clip(min=0).prod(axis=-1).sum(axis=1)


def _grown(rect: Rect, by: int) -> Rect:
    return rect[0] - by, rect[1] - by, rect[2] + by, rect[3] + by


def _frame(brush: "ImageDraw", rect: Rect, colour: Colour, pen: Pen) -> None:
    """The line lies on the box's inner side, between two dark ones that part it from any photograph."""
    x0, y0, x1, y1 = rect
    brush.rectangle(_grown((x0, y0, x1 - 1, y1 - 1), pen.halo), outline=DARK, width=pen.line + 2 * pen.halo)
    brush.rectangle((x0, y0, x1 - 1, y1 - 1), outline=colour, width=pen.line)


def _hatch(canvas: "Image", rect: Rect, pen: Pen) -> None:
    """Thin slanting lines and a dashed edge."""
    from PIL import Image, ImageDraw

    x0, y0, x1, y1 = rect
    width, height = x1 - x0, y1 - y0
    step, dash = 6 * pen.line, 3 * pen.line
    lines = Image.new("L", (width, height))
    brush = ImageDraw.Draw(lines)
    for x in range(-height, width, step):
        brush.line((x, height, x + height, 0), fill=110, width=max(1, pen.line // 2))
    canvas.paste(LIGHT, (x0, y0), lines)
    edge = Image.new("L", (width, height))
    ImageDraw.Draw(edge).rectangle((0, 0, width - 1, height - 1), outline=255, width=pen.line)
    on = np.add.outer(np.arange(height), np.arange(width)) // dash % 2 == 0
    canvas.paste(DARK, (x0, y0), edge)
    canvas.paste(LIGHT, (x0, y0), Image.fromarray(np.asarray(edge) * on))


def _tag(
    brush: "ImageDraw",
    rect: Rect,
    text: str,
    fill: Colour,
    pen: Pen,
    size: tuple[int, int],
    frames: Sequence[Rect],
    taken: list[Rect],
) -> None:
    """The tag stands where it hides the least of the tags before it and of small objects, if the image can hold it."""
    font, pad = font_of(pen.font), max(2, pen.font // 5)
    text = shortened(text, font, size[0] - 2 * pad)
    up, down = font.getmetrics()
    width, height = math.ceil(font.getlength(text)) + 2 * pad, up + down
    if not text or height > size[1]:
        return
    places = [_held(place, size) for place in _places(rect, width, height)]
    small = [frame for frame in frames if _area(frame) < 4 * width * height]
    place = places[int((_overlaps(places, taken) + 0.5 * _overlaps(places, small)).argmin())]  # the first of equals
    taken.append(place)
    brush.rectangle((place[0], place[1], place[2] - 1, place[3] - 1), fill=fill)
    brush.text((place[0] + pad, place[1]), text, fill=ink(fill), font=font)


def _places(rect: Rect, width: int, height: int) -> list[Rect]:
    """Over the box, in its upper edge, under it, in its lower edge, left end before right end; then beside it."""
    x0, y0, x1, y1 = rect
    corners = [(x, y) for y in (y0 - height, y0, y1, y1 - height) for x in (x0, x1 - width)]
    beside = [(x, y) for x in (x1, x0 - width) for y in (y0, y1 - height)]
    return [(x, y, x + width, y + height) for x, y in corners + beside]


def _held(rect: Rect, size: tuple[int, int]) -> Rect:
    """Moved into the image."""
    dx = min(0, size[0] - rect[2]) or max(0, -rect[0])
    dy = min(0, size[1] - rect[3]) or max(0, -rect[1])
    return rect[0] + dx, rect[1] + dy, rect[2] + dx, rect[3] + dy
