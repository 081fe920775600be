"""A page of pictures side by side."""

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from densenets.draw.colours import DARK, GREY, LIGHT
from densenets.draw.lettering import font_of, shortened
from densenets.errors import printable
from densenets.storage import write_durably

if TYPE_CHECKING:
    from PIL.Image import Image

_PANEL = 440  # px, the longest side of an image on the sheet
_NARROW = 340  # the same where more than two stand in a row
_BYTES = 2_800_000
_GAP, _LINE = 10, 24  # px, between panels; height of a line of text


def sheet(
    rows: Sequence[Sequence[np.ndarray]],
    path: str | Path,
    captions: Sequence[str],
    heads: Sequence[str] = ("truth", "prediction"),
    foot: Callable[[int], np.ndarray] | None = None,
) -> None:
    """Rows of images side by side under their heads, a caption over each row; below 3 MB.

    rows: (H, W, 3) uint8 images of any sizes, as many in a row as heads; the format is that of the path's suffix.
    foot: draws what stands at the end, (h, width, 3) uint8, for a width of the page.
    """
    if not rows or len(rows) != len(captions):
        raise ValueError(f"{len(rows)} rows, {len(captions)} captions")
    path, panel = Path(path), _PANEL if len(heads) <= 2 else _NARROW
    data = _encoded(_page(rows, captions, heads, panel, foot), path.suffix)
    while len(data) > _BYTES and panel > 100:
        panel = int(panel * min(0.95, 0.98 * math.sqrt(_BYTES / len(data))))
        data = _encoded(_page(rows, captions, heads, panel, foot), path.suffix)
    write_durably(path, lambda handle: handle.write(data))


def _encoded(page: "Image", suffix: str) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    kind = Image.registered_extensions()[suffix.lower()]
    page.save(file, format=kind, **({} if kind == "PNG" else {"quality": 90}))  # optimising saves 1 % in 4 x the time
    return file.getvalue()


def _page(
    rows: Sequence[Sequence[np.ndarray]],
    captions: Sequence[str],
    heads: Sequence[str],
    panel: int,
    foot: Callable[[int], np.ndarray] | None,
) -> "Image":
    """Up to three pairs stand below each other, more in two columns of pairs; longer rows stay in one."""
    from PIL import Image, ImageDraw

    cells = [tuple(_fitted(image, panel) for image in row) for row in rows]
    columns = 1 if len(rows) <= 3 or len(heads) > 2 else 2
    lines = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    wide = max(image.width for cell in cells for image in cell)
    tall = [max(image.height for cell in line for image in cell) for line in lines]
    across = len(heads) * (wide + _GAP) + 2 * _GAP  # one row and the gap to the next
    size = (columns * across, 2 * _LINE + sum(tall) + len(lines) * (_LINE + _GAP))
    below = Image.fromarray(foot(size[0])) if foot else Image.new("RGB", (1, 0))
    page = Image.new("RGB", (size[0], size[1] + below.height), LIGHT)
    page.paste(below, (0, size[1]))
    brush = ImageDraw.Draw(page)
    for column in range(columns):
        for place, head in enumerate(heads):
            brush.text((column * across + _GAP + place * (wide + _GAP), _GAP), head, fill=DARK, font=font_of(17))
    y = _GAP + _LINE
    for r, line in enumerate(lines):
        for column, cell in enumerate(line):
            x = column * across + _GAP
            caption = shortened(printable(captions[r * columns + column]), font_of(12), len(heads) * wide)
            brush.text((x, y + 5), caption, fill=GREY, font=font_of(12))
            for place, image in enumerate(cell):
                page.paste(image, (x + place * (wide + _GAP), y + _LINE))
        y += _LINE + tall[r] + _GAP
    return page


def _fitted(image: np.ndarray, panel: int) -> "Image":
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    scale = min(2.0, panel / max(picture.size))  # a tiny image stays small
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)
