"""Pictures for people: boxes over an image, a sheet of truth beside prediction, the curves of a run.

Pillow and matplotlib are imported where they are used, so that a command that draws nothing does not wait for them.
"""

import functools
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from densenets.errors import printable
from densenets.storage import write_durably

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

Colour = tuple[int, int, int]
Rect = tuple[int, int, int, int]  # x0 y0 x1 y1, px, x1 and y1 outside

DARK: Colour = (24, 24, 28)
LIGHT: Colour = (255, 255, 255)
GREY: Colour = (110, 110, 118)


# Colours

_FIRST: list[Colour] = [  # Okabe and Ito's set for all kinds of sight, without black; the best on photographs first
    (255, 112, 31),
    (86, 180, 233),
    (240, 228, 66),
    (0, 178, 130),
    (224, 110, 190),
    (30, 110, 220),
    (230, 159, 0),
]
_DEUTERANOPIA = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
_PROTANOPIA = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
_RGB_TO_LMS = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_LMS_TO_OKLAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def _oklab(linear: np.ndarray) -> np.ndarray:
    """(n, 3) linear RGB -> (n, 3) OKLab, where equal distances look equally different."""
    return np.cbrt(linear.clip(0, 1) @ np.array(_RGB_TO_LMS).T) @ np.array(_LMS_TO_OKLAB).T


def _seen(colours: np.ndarray) -> np.ndarray:
    """(n, 3) 0..255 -> (3, n, 3) OKLab as seen with full, deuteranope and protanope sight (Machado et al., 2009)."""
    linear = (colours / 255.0) ** 2.2
    views = [np.eye(3), np.array(_DEUTERANOPIA), np.array(_PROTANOPIA)]
    return np.stack([_oklab(linear @ view.T) for view in views])


@functools.cache
def _palette(count: int) -> list[Colour]:
    """Each colour after the first few is the one farthest from all before it; so it does not depend on `count`."""
    steps = np.linspace(0, 255, 12)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3).round()
    lab = _oklab((grid / 255.0) ** 2.2)
    vivid = (lab[:, 0] > 0.5) & (lab[:, 0] < 0.93) & (np.hypot(lab[:, 1], lab[:, 2]) > 0.09)
    grid = grid[vivid]
    chosen, seen = list(_FIRST), _seen(grid)
    gap = np.full(len(grid), np.inf)
    for k in range(count):
        if k >= len(chosen):
            r, g, b = grid[int(gap.argmax())].astype(int).tolist()
            chosen.append((r, g, b))
        apart = np.linalg.norm(seen - _seen(np.array([chosen[k]])), axis=-1)  # (3, n)
        gap = np.minimum(gap, apart[0] + 0.5 * apart[1:].min(axis=0))
    return chosen[:count]


def _ink(fill: Colour) -> Colour:
    """Dark or light, whichever reads better on `fill`."""
    return DARK if np.dot((np.array(fill) / 255.0) ** 2.2, (0.2126, 0.7152, 0.0722)) > 0.2 else LIGHT


# Boxes over an image


class _Pen(NamedTuple):
    """Sizes in px, by the image's size."""

    line: int
    halo: int
    font: int

    @classmethod
    def of(cls, height: int, width: int) -> "_Pen":
        side = math.sqrt(height * width)
        return cls(max(2, round(side / 200)), max(1, round(side / 700)), max(11, round(side / 40)))


@functools.cache
def _font(size: int) -> "FreeTypeFont":
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf"), size)


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
    size, pen, brush = canvas.size, _Pen.of(*image.shape[:2]), ImageDraw.Draw(canvas)
    for region in np.asarray([] if ignore is None else ignore, dtype=np.float64).reshape(-1, 4):
        if rect := _inside(region, size):
            _hatch(canvas, rect, pen)
    colours = _palette(len(classes))
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


def _frame(brush: "ImageDraw", rect: Rect, colour: Colour, pen: _Pen) -> None:
    """The line lies on the box's inner side, between two dark ones that part it from any photograph."""
    x0, y0, x1, y1 = rect
    brush.rectangle(_grown((x0, y0, x1 - 1, y1 - 1), pen.halo), outline=DARK, width=pen.line + 2 * pen.halo)
    brush.rectangle((x0, y0, x1 - 1, y1 - 1), outline=colour, width=pen.line)


def _hatch(canvas: "Image", rect: Rect, pen: _Pen) -> None:
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
    pen: _Pen,
    size: tuple[int, int],
    frames: Sequence[Rect],
    taken: list[Rect],
) -> None:
    """The tag stands where it hides the least of the tags before it and of small objects, if the image can hold it."""
    font, pad = _font(pen.font), max(2, pen.font // 5)
    text = _shortened(text, font, size[0] - 2 * pad)
    up, down = font.getmetrics()
    width, height = math.ceil(font.getlength(text)) + 2 * pad, up + down
    if not text or height > size[1]:
        return
    places = [_held(place, size) for place in _places(rect, width, height)]
    small = [frame for frame in frames if _area(frame) < 4 * width * height]
    place = places[int((_overlaps(places, taken) + 0.5 * _overlaps(places, small)).argmin())]  # the first of equals
    taken.append(place)
    brush.rectangle((place[0], place[1], place[2] - 1, place[3] - 1), fill=fill)
    brush.text((place[0] + pad, place[1]), text, fill=_ink(fill), font=font)


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


def _shortened(text: str, font: "FreeTypeFont", room: int) -> str:
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text and text + "…"


# The sheet

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
            brush.text((column * across + _GAP + half * (wide + _GAP), _GAP), head, fill=DARK, font=_font(17))
    y = _GAP + _LINE
    for r, row in enumerate(rows):
        for column, cell in enumerate(row):
            x = column * across + _GAP
            caption = _shortened(printable(captions[r * columns + column]), _font(12), 2 * wide)
            brush.text((x, y + 5), caption, fill=GREY, font=_font(12))
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


# The curves


def curves(
    rows: Sequence[dict[str, Any]], path_loss: str | Path, path_judged: str | Path, judged: Sequence[str]
) -> None:
    """Two charts by epoch: "loss" with its terms "loss_...", and the numbers `judged`.

    rows: one an epoch, "epoch" from 0; a value may be missing, empty or NaN, and its line then passes over it.
    """
    terms = sorted({name for row in rows for name in row if name.startswith("loss_")})
    names = {"loss": "total", **{name: name.removeprefix("loss_") for name in terms}}
    _chart(rows, path_loss, names, "training loss", "lowest", min)
    _chart(rows, path_judged, {name: name for name in judged}, "validation", "best", max)


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _chart(
    rows: Sequence[dict[str, Any]], path: str | Path, names: dict[str, str], title: str, word: str, best: Any
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.2, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    epochs = np.array([_number(row.get("epoch", i)) + 1 for i, row in enumerate(rows)])
    colours = ["#111111", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
    for i, (name, label) in enumerate(names.items()):
        values = np.array([_number(row.get(name)) for row in rows])
        here = np.isfinite(values) & np.isfinite(epochs)
        if not here.any():
            continue
        label = f"{label}  {values[here][-1]:.3f}  ({word} {best(values[here]):.3f})"
        few = "o" if here.sum() <= 40 else None
        axes.plot(
            epochs[here], values[here], marker=few, markersize=3.5, label=label,
            color=colours[i % len(colours)], linewidth=2.2 if i == 0 else 1.5, zorder=3 - 0.01 * i,
        )  # fmt: skip
    axes.set(title=title, xlabel="epochs trained")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, max(2.0, 1.03 * np.nanmax(epochs)))
        axes.legend(frameon=False)
    else:
        axes.text(0.5, 0.5, "no values", ha="center", va="center", color="#777777", transform=axes.transAxes)
    figure.savefig(path)
