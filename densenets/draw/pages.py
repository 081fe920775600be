"""A page of pictures side by side."""

import io
import math
from collections.abc import Sequence
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
_BYTES = 2_800_000
_GAP, _LINE = 10, 24  # px, between panels; height of a line of text


def sheet(pairs: Sequence[tuple[np.ndarray, np.ndarray]], path: str | Path, captions: Sequence[str]) -> None:
    """Truth (left) and prediction (right) side by side, a caption over each pair; below 3 MB.

    pairs: (H, W, 3) uint8 images of any sizes; the format is that of the path's suffix.
    """
    if not pairs or len(pairs) != len(captions):
        raise ValueError(f"{len(pairs)} pairs, {len(captions)} captions")
    path, panel = Path(path), _PANEL
    data = _encoded(_page(pairs, captions, panel), path.suffix)
    while len(data) > _BYTES and panel > 100:
        panel = int(panel * min(0.95, 0.98 * math.sqrt(_BYTES / len(data))))
        data = _encoded(_page(pairs, captions, panel), path.suffix)
    write_durably(path, lambda handle: handle.write(data))


def _encoded(page: "Image", suffix: str) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    kind = Image.registered_extensions()[suffix.lower()]
    page.save(file, format=kind, **({"optimize": True} if kind == "PNG" else {"quality": 90}))
    return file.getvalue()


def _page(pairs: Sequence[tuple[np.ndarray, np.ndarray]], captions: Sequence[str], panel: int) -> "Image":
    """Up to three pairs stand below each other, more in two columns of pairs."""
    from PIL import Image, ImageDraw

    cells = [tuple(_fitted(image, panel) for image in pair) for pair in pairs]
    columns = 1 if len(pairs) <= 3 else 2
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    wide = max(image.width for cell in cells for image in cell)
    tall = [max(image.height for cell in row for image in cell) for row in rows]
    across = 2 * (wide + _GAP) + 2 * _GAP  # one pair and the gap to the next
    page = Image.new("RGB", (columns * across, 2 * _LINE + sum(tall) + len(rows) * (_LINE + _GAP)), LIGHT)
    brush = ImageDraw.Draw(page)
    for column in range(columns):
        for half, head in enumerate(("truth", "prediction")):
            brush.text((column * across + _GAP + half * (wide + _GAP), _GAP), head, fill=DARK, font=font_of(17))
    y = _GAP + _LINE
    for r, row in enumerate(rows):
        for column, cell in enumerate(row):
            x = column * across + _GAP
            caption = shortened(printable(captions[r * columns + column]), font_of(12), 2 * wide)
            brush.text((x, y + 5), caption, fill=GREY, font=font_of(12))
            for half, image in enumerate(cell):
                page.paste(image, (x + half * (wide + _GAP), y + _LINE))
        y += _LINE + tall[r] + _GAP
    return page


def _fitted(image: np.ndarray, panel: int) -> "Image":
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    scale = min(2.0, panel / max(picture.size))  # a tiny image stays small
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)
