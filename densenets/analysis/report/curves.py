"""Training curves: loss and score of every cell by epoch."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from densenets.analysis.comparison import Cell, Comparison, Model
from densenets.analysis.report.axes import Frame, Scale, of_epochs, scale_of
from densenets.analysis.report.shapes import Line, Mark, Shape, colour_class, sample, svg
from densenets.analysis.report.words import finite, in_order, name, plural, score, title_of
from densenets.page import as_text

SIZE = (430.0, 280.0)
SMALL = (430.0, 220.0)
MOST = 300  # points of a line

Points = list[tuple[float, float]]


class Curve(NamedTuple):
    """Of one cell; series: number of its model in order of rank; dash: of its seed within the model."""

    series: int
    dash: int
    points: Points


class Plot(NamedTuple):
    """What all plots of one number share: words on its axis, every cell's curve, and axes that hold them all."""

    words: str
    curves: list[Curve]
    x: Scale
    y: Scale

    @staticmethod
    def of(models: Sequence[Model], key: str, words: str) -> "Plot | None":
        """None where it was never written down."""
        curves = _curves(models, key)
        points = [point for line in curves for point in line.points]
        if not points:
            return None
        x = of_epochs(max(epoch for epoch, _ in points))
        return Plot(words, curves, x, scale_of([value for _, value in points], from_zero=True))


Plots = Mapping[str, Plot | None]  # by their words


def curve(cell: Cell, key: str) -> Points:
    """(epochs trained, number) of the rows that have it, thinned where there are very many."""
    found = []
    for at, row in enumerate(cell.curves):
        epoch, value = finite(row.get("epoch", at)), finite(row.get(key))
        if epoch is not None and value is not None:
            found.append((epoch + 1, value))
    step = -(-len(found) // MOST) or 1
    return found[::step] + ([found[-1]] if found and (len(found) - 1) % step else [])


def section(comparison: Comparison) -> str:
    """Both numbers with all cells in one plot, then each model apart; "" where no cell was trained here."""
    models, ranked = in_order(comparison), comparison.ranked_by
    named = {"loss": "training loss", ranked: title_of(ranked)}
    plots = {words: Plot.of(models, key, words) for key, words in named.items()}
    if not any(plots.values()):
        return ""
    all_of_them = _pair(plots, dict(enumerate(models)), SIZE)
    score_name = as_text(title_of(ranked))
    legend = "".join(
        f"<li>{sample(series, 0)}{name(model.name, 40)}</li>"
        for series, model in enumerate(models)
        if any(cell.curves for cell in model.cells)
    )
    apart = "".join(_apart(plots, series, model) for series, model in enumerate(models))
    split = comparison.protocol.get("val_split")  # not the one that all are judged on
    words = "the split that each training was validated on" if split is None else f"{name(split)}, the trainings' own"
    return (
        f'<section id="curves"><h2>Training curves</h2><p class="quiet">Training loss and {score_name} on {words}, '
        f'after each epoch; several lines of one colour are seeds.</p><ul class="legend">'
        f"{legend}</ul>{all_of_them}<details><summary>Each model by itself, on the same axes</summary>{apart}"
        f"</details></section>"
    )


def _apart(plots: Plots, series: int, model: Model) -> str:
    cells = [cell for cell in model.cells if cell.curves]
    if not cells:
        return ""
    seeds = "".join(f"<li>{sample(series, dash)}{_seed(cell)}</li>" for dash, cell in enumerate(cells))
    return f'<h3>{name(model.name)}</h3><ul class="legend">{seeds}</ul>{_pair(plots, {series: model}, SMALL)}'


def _seed(cell: Cell) -> str:
    return name(cell.name) if cell.seed is None else f"seed {cell.seed}"


def _pair(plots: Plots, models: Mapping[int, Model], size: tuple[float, float]) -> str:
    figures = "".join(_figure(plot, words, models, size) for words, plot in plots.items())
    return f'<div class="plots">{figures}</div>'


def _figure(plot: Plot | None, words: str, models: Mapping[int, Model], size: tuple[float, float]) -> str:
    curves = [line for line in plot.curves if line.series in models] if plot else []
    if plot is None or not curves:
        return f'<p class="quiet">No {as_text(words)} was written down.</p>'
    ends = "; ".join(f"{models[line.series].name}: {_end(line)}" for line in curves)
    return f"<figure>{svg(_shapes(plot, curves, size), size, f'{words} by epochs trained. {ends}.')}</figure>"


def _end(found: Curve) -> str:
    epochs, value = found.points[-1]
    return f"{score(value)} after {plural(int(epochs), 'epoch')}"


def _curves(models: Sequence[Model], key: str) -> list[Curve]:
    found = []
    for series, model in enumerate(models):
        cells = [cell for cell in model.cells if cell.curves]
        found += [Curve(series, dash, curve(cell, key)) for dash, cell in enumerate(cells)]
    return [line for line in found if line.points]


def _shapes(plot: Plot, curves: Sequence[Curve], size: tuple[float, float]) -> list[Shape]:
    frame = Frame.of(plot.x, plot.y, size)
    shapes = frame.shapes("epochs trained", plot.words)
    for line in reversed(curves):  # the best on top
        places = [frame.place(*point) for point in line.points]
        shapes.append(Line(places, f"line {colour_class(line.series)}", line.dash))
        shapes.append(Mark(*places[-1], line.series))
    return shapes
