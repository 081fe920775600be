"""A plot as lines, marks and words in px of a sheet: drawn once, written as SVG into the page or as PNG to a file."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from densenets.analysis.report.words import shortened
from densenets.page import as_text

COLOURS = 8  # CSS classes s0..s7
LETTER = 13.0  # px, the size of the letters
CORNERS: list[tuple[tuple[float, float], ...]] = [  # of marks, px round their middle; the first is a circle
    (),
    ((-4.6, -4.6), (4.6, -4.6), (4.6, 4.6), (-4.6, 4.6)),
    ((0, -6.4), (6.4, 0), (0, 6.4), (-6.4, 0)),
    ((0, -6.2), (5.8, 4.4), (-5.8, 4.4)),
    ((0, 6.2), (5.8, -4.4), (-5.8, -4.4)),
    ((-2, -6), (2, -6), (2, -2), (6, -2), (6, 2), (2, 2), (2, 6), (-2, 6), (-2, 2), (-6, 2), (-6, -2), (-2, -2)),
]
RADIUS = 5.2
DASHES = ["", "6 3", "2 3", "9 3 2 3"]


class Line(NamedTuple):
    """look: a CSS class of the page; dash: number of a pattern."""

    points: Sequence[tuple[float, float]]
    look: str
    dash: int = 0


class Mark(NamedTuple):
    """The point of a model; series: its number, from which colour and shape follow."""

    x: float
    y: float
    series: int
    title: str = ""


class Words(NamedTuple):
    """y: of the base line. anchor: start, middle or end. turned: reads upwards."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    look: str = "ink"
    turned: bool = False


Shape = Line | Mark | Words


def colour_class(series: int) -> str:
    """Colours come again after eight models, then with another mark."""
    return f"s{series % COLOURS}"


def corners(series: int) -> tuple[tuple[float, float], ...]:
    """Of the mark, empty for a circle: neighbours differ by shape as well as by colour."""
    return CORNERS[(series + 3 * (series // COLOURS)) % len(CORNERS)]


def width_of(text: str) -> float:
    """About as wide as the text will be, px."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return LETTER * (0.64 * (len(text) - wide) + wide)


def svg(shapes: Sequence[Shape], size: tuple[float, float], description: str) -> str:
    """The plot as a part of the page, described for those who cannot see it; size: width and height in px."""
    width, height = size
    inside = "".join(map(_written, shapes))
    words = as_text(description)
    return f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{words}">{inside}</svg>'


def sample(series: int, dash: int) -> str:
    """The mark of a model for a legend, over a piece of its line."""
    line = _line(Line([(1, 8), (27, 8)], f"line {colour_class(series)}", dash))
    return f'<svg class="sample" viewBox="0 0 28 16" aria-hidden="true">{line}{_mark(Mark(14, 8, series))}</svg>'


def patch(colour: str | None) -> str:
    """A patch of colour for a legend; None: the hatching."""
    ground = f'<rect width="28" height="16" fill="{as_text(colour or "#ffffff")}"/>'
    lines = "" if colour else "".join(_line(Line([(x - 8, 16), (x + 8, 0)], "hatch")) for x in range(0, 36, 7))
    return f'<svg class="sample" viewBox="0 0 28 16" aria-hidden="true">{ground}{lines}</svg>'


def _written(shape: Shape) -> str:
    if isinstance(shape, Line):
        return _line(shape)
    return _mark(shape) if isinstance(shape, Mark) else _words(shape)


def _line(line: Line) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in line.points)
    dash = f' stroke-dasharray="{DASHES[line.dash % len(DASHES)]}"' if line.dash % len(DASHES) else ""
    return f'<polyline class="{line.look}" points="{points}"{dash}/>'


def _mark(mark: Mark) -> str:
    title = f"<title>{as_text(mark.title)}</title>" if mark.title else ""
    look = f'class="mark {colour_class(mark.series)}"'
    shape = corners(mark.series)
    if not shape:
        return f'<circle {look} cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="{RADIUS}">{title}</circle>'
    points = " ".join(f"{mark.x + x:.1f},{mark.y + y:.1f}" for x, y in shape)
    return f'<polygon {look} points="{points}">{title}</polygon>'


def _words(words: Words) -> str:
    turn = f' transform="rotate(-90 {words.x:.1f} {words.y:.1f})"' if words.turned else ""
    text = as_text(shortened(words.text, 200))
    return (
        f'<text class="{words.look}" x="{words.x:.1f}" y="{words.y:.1f}" text-anchor="{words.anchor}"{turn}>'
        f"{text}</text>"
    )
