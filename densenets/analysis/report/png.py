"""The plots of the page as PNG files, for places that show no SVG."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densenets.analysis.comparison import Comparison
from densenets.analysis.report.pareto import SIZE, scatter
from densenets.analysis.report.shapes import (
    DASHES,
    LETTER,
    RADIUS,
    Line,
    Mark,
    Shape,
    Words,
    colour_class,
    corners,
)
from densenets.analysis.report.style import LIGHT
from densenets.analysis.report.words import PLOTTED, Measure, doubtful, place_of, shortened, title_of
from densenets.storage import write_durably

DOTS = 2.0  # of the file for each px of the sheet
WIDTHS = {"grid": 0.8, "axis": 1.0, "front": 3.5, "error": 1.3, "leader": 0.8}
POINT = 72 / 100  # at 100 px an inch
TITLE = 20.0  # px above the sheet


def write_plots(comparison: Comparison, folder: Path) -> list[Path]:
    """pareto-COST.png for each cost that was measured; earlier ones of other costs go."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for measure in PLOTTED:
        path = folder / f"pareto-{measure.file}.png"
        shapes = scatter(comparison, measure)
        if shapes:
            content = png(shapes, SIZE, heading(comparison, measure))
            write_durably(path, lambda handle, content=content: handle.write(content))  # type: ignore[misc]
            written.append(path)
        else:
            path.unlink(missing_ok=True)
    return written


def heading(comparison: Comparison, measure: Measure) -> str:
    """What a plot shows and of what, for a file that stands alone; with a question mark where times are doubtful."""
    doubt = " ?" if measure.unit == "ms" and doubtful(comparison.models) else ""
    data, split = shortened(place_of(comparison.data), 24), shortened(comparison.split, 16)
    return f"{title_of(comparison.ranked_by)} against {measure.words}{doubt}, {data} ({split})"


def png(shapes: Sequence[Shape], size: tuple[float, float], title: str = "") -> bytes:
    """The sheet in the light colours, below its title, as a file's content."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    above = TITLE if title else 0.0
    figure = Figure(figsize=(size[0] / 100, (size[1] + above) / 100), dpi=100 * DOTS, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, size[0]), ylim=(size[1], -above))
    axes.axis("off")
    for shape in [*shapes, *([Words(size[0] / 2, 0, title, "middle", "title")] if title else [])]:
        _draw(axes, shape)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box in its place
        figure.savefig(file, format="png")
    return file.getvalue()


def _draw(axes: Any, shape: Shape) -> None:
    if isinstance(shape, Line):
        _line(axes, shape)
    elif isinstance(shape, Mark):
        _mark(axes, shape)
    else:
        _words(axes, shape)


def _line(axes: Any, line: Line) -> None:
    look = line.look.split()[-1]
    pattern = [float(part) for part in DASHES[line.dash % len(DASHES)].split()]
    x, y = zip(*line.points, strict=True)
    style = (0, tuple(pattern)) if pattern else "solid"
    axes.plot(x, y, color=LIGHT[look], linewidth=WIDTHS.get(look, 1.8) * POINT, linestyle=style)


def _mark(axes: Any, mark: Mark) -> None:
    from matplotlib.patches import Circle, Polygon

    look: dict[str, Any] = {
        "facecolor": LIGHT[colour_class(mark.series)],
        "edgecolor": "white",
        "linewidth": 1.2 * POINT,
        "zorder": 5,
    }
    shape = [(mark.x + x, mark.y + y) for x, y in corners(mark.series)]
    axes.add_patch(Polygon(shape, **look) if shape else Circle((mark.x, mark.y), RADIUS, **look))


def _words(axes: Any, words: Words) -> None:
    axes.text(
        words.x,
        words.y,
        shortened(words.text, 200),
        ha={"start": "left", "middle": "center", "end": "right"}[words.anchor],
        va="center" if words.turned else "baseline",
        rotation=90 if words.turned else 0,
        rotation_mode="anchor" if not words.turned else "default",
        fontsize=LETTER * POINT * 0.93,
        color=LIGHT["quiet" if words.look == "quiet" else "ink"],
        parse_math=False,
        zorder=6,
    )
