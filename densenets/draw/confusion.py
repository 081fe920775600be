"""The picture of a confusion matrix: what each class is taken for."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from densenets.draw.colours import DARK, GREY, LIGHT, Colour
from densenets.draw.lettering import font_of, shortened
from densenets.errors import printable
from densenets.storage import write_durably

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_RIGHT: Colour = (10, 92, 158)
_WRONG: Colour = (196, 30, 58)
_EMPTY: Colour = (232, 232, 234)  # a class that is not in the truth
_GRID: Colour = (222, 222, 226)
_TEN = 10
_KEY = (1, 5, 20, 50, 100)  # %
_WORDS = {"right": _RIGHT, "wrong": _WRONG}
_NAME = 230  # px, the longest name
_TITLE = "Of each true class (row), the % of its pixels predicted as each class (column)"
VOID = "no class"


class _Sizes(NamedTuple):
    """px; number: height of the digits in a cell, 0 where none fit."""

    cell: int
    name: int
    number: int

    @classmethod
    def of(cls, columns: int) -> "_Sizes":
        if columns <= 24:
            return cls(42, 15, 14)
        return cls(26, 14, 10) if columns <= 64 else cls(16, 12, 0)


def confusion_picture(matrix: Sequence[Sequence[int]] | np.ndarray, classes: Sequence[str], path: str | Path) -> None:
    """Write a PNG of the matrix, each row divided by its sum; rows of classes that are not in the truth stay empty.

    matrix: (C, K) px by true class and prediction; columns behind the classes are of no class, together one column
    where they are not empty.
    """
    counts = np.asarray(matrix, dtype=np.int64)
    names = [printable(name) for name in classes]
    shown = counts[:, : len(names)]
    if (void := counts[:, len(names) :].sum(axis=1)).any():
        shown = np.concatenate([shown, void[:, None]], axis=1)
    heads = names + [VOID] * (shown.shape[1] - len(names))
    file = io.BytesIO()
    _page(shown, names, heads).save(file, "PNG")
    write_durably(Path(path), lambda handle: handle.write(file.getvalue()))


def _page(counts: np.ndarray, rows: list[str], columns: list[str]) -> "Image":
    from PIL import Image, ImageDraw

    size = _Sizes.of(len(columns))
    font = font_of(size.name)
    rows, columns = ([shortened(name, font, _NAME) for name in names] for names in (rows, columns))
    pad = size.name
    left, top = (math.ceil(max(map(font.getlength, names))) + 2 * pad for names in ([*rows, *_WORDS], columns))
    title = 3 * pad
    width = left + max(len(columns) * size.cell, len(_KEY) * _field(size)) + 2 * pad
    width = max(width, math.ceil(font.getlength(_TITLE)) + 2 * pad)
    page = Image.new("RGB", (width, title + top + len(rows) * size.cell + 8 * pad), LIGHT)
    brush = ImageDraw.Draw(page)
    brush.text((pad, pad), _TITLE, fill=DARK, font=font)
    corner = (left, title + top)
    _cells(brush, counts, corner, size)
    for k, name in enumerate(rows):
        middle = corner[1] + k * size.cell + size.cell // 2
        brush.text((left - pad // 2, middle), name, fill=DARK, font=font, anchor="rm")
    for k, name in enumerate(columns):
        _upright(page, name, (left + k * size.cell + size.cell // 2, corner[1] - pad // 2), size.name)
    _key(brush, (left, corner[1] + len(rows) * size.cell + 2 * pad), size)
    return page


def _cells(brush: "ImageDraw", counts: np.ndarray, corner: tuple[int, int], size: _Sizes) -> None:
    sums = counts.sum(axis=1)
    shares = counts / np.maximum(sums, 1)[:, None]
    for r, row in enumerate(shares.tolist()):
        for c, share in enumerate(row):
            x, y = corner[0] + c * size.cell, corner[1] + r * size.cell
            fill = _EMPTY if not sums[r] else _shade(share, _RIGHT if r == c else _WRONG)
            brush.rectangle((x, y, x + size.cell, y + size.cell), fill=fill, outline=_GRID)
            if size.number and sums[r] and (text := _percent(share)):
                place = (x + size.cell // 2, y + size.cell // 2)
                ink = LIGHT if sum(fill) < 420 else DARK
                brush.text(place, text, fill=ink, font=font_of(size.number), anchor="mm")
    if not size.number:
        _guides(brush, counts.shape, corner, size.cell)


def _guides(brush: "ImageDraw", shape: tuple[int, ...], corner: tuple[int, int], cell: int) -> None:
    """Every ten cells a line into the names, to follow a row or a column by."""
    (x, y), (rows, columns) = corner, shape
    for k in range(0, max(shape), _TEN):
        if k <= rows:
            brush.line((x - cell // 2, y + k * cell, x + columns * cell, y + k * cell), fill=GREY)
        if k <= columns:
            brush.line((x + k * cell, y - cell // 2, x + k * cell, y + rows * cell), fill=GREY)


def _shade(share: float, colour: Colour) -> Colour:
    """White at 0; small shares are told apart better than large ones."""
    weight = math.sqrt(share)
    red, green, blue = (round(255 + weight * (part - 255)) for part in colour)
    return red, green, blue


def _percent(share: float) -> str:
    """Whole percent; nothing below a half. What is not all is not called 100."""
    return str(min(99, max(1, round(100 * share))) if share < 1 else 100) if share >= 0.005 else ""


def _upright(page: "Image", text: str, foot: tuple[int, int], size: int) -> None:
    """Text that reads upwards, its start at `foot`."""
    from PIL import Image, ImageDraw

    font = font_of(size)
    up, down = font.getmetrics()
    strip = Image.new("RGB", (math.ceil(font.getlength(text)) + 1, up + down), LIGHT)
    ImageDraw.Draw(strip).text((0, 0), text, fill=DARK, font=font)
    turned = strip.rotate(90, expand=True)
    page.paste(turned, (foot[0] - turned.width // 2, foot[1] - turned.height))


def _field(size: _Sizes) -> int:
    """px, the width of a shade in the key."""
    return 4 * size.name


def _key(brush: "ImageDraw", place: tuple[int, int], size: _Sizes) -> None:
    """What the shades stand for, in a row for each colour."""
    font, wide, high = font_of(size.name), _field(size), 2 * size.name
    x, y = place
    for word, colour in _WORDS.items():
        brush.text((x - size.name // 2, y + high // 2), word, fill=DARK, font=font, anchor="rm")
        for k, percent in enumerate(_KEY):
            here, fill = x + k * wide, _shade(percent / 100, colour)
            brush.rectangle((here, y, here + wide, y + high), fill=fill, outline=_GRID)
            ink = LIGHT if sum(fill) < 420 else DARK
            brush.text((here + wide // 2, y + high // 2), f"{percent} %", fill=ink, font=font, anchor="mm")
        y += high + size.name // 2
