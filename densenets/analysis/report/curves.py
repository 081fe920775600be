"""Training curves: loss and score of every cell by epoch."""

from collections.abc import Sequence
from typing import NamedTuple

from densenets.analysis.comparison import Cell, Comparison, Model
from densenets.analysis.report.axes import Frame, of_epochs, scale_of
from densenets.analysis.report.shapes import Line, Mark, Shape, colour_class, sample, svg
from densenets.analysis.report.words import finite, in_order, name, plural, score, title_of
from densenets.page import as_text

SIZE = (430.0, 280.0)
SMALL = (430.0, 220.0)
MOST = 300  # points of a line

Points = list[tuple[float, float]]


class Curve(NamedTuple):
    """Of one cell; dash: number of its seed within the model."""

    series: int
    dash: int
    points: Points


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
    if not any(curve(cell, key) for model in models for cell in model.cells for key in ("loss", ranked)):
        return ""
    score_name = as_text(title_of(ranked))
    plots = _pair(comparison, list(enumerate(models)), SIZE)
    legend = "".join(
        f"<li>{sample(series, 0)}{name(model.name, 40)}</li>"
        for series, model in enumerate(models)
        if any(cell.curves for cell in model.cells)
    )
    apart = "".join(_apart(comparison, series, model) for series, model in enumerate(models))
    return (
        f'<section id="curves"><h2>Training curves</h2><p class="quiet">Training loss and {score_name} on '
        f'{as_text(comparison.split)} after each epoch; several lines of one colour are seeds.</p><ul class="legend">'
        f"{legend}</ul>{plots}<details><summary>Each model by itself, on the same axes</summary>{apart}"
        f"</details></section>"
    )


def _apart(comparison: Comparison, series: int, model: Model) -> str:
    cells = [cell for cell in model.cells if cell.curves]
    if not cells:
        return ""
    seeds = "".join(f"<li>{sample(series, dash)}{_seed(cell)}</li>" for dash, cell in enumerate(cells))
    plots = _pair(comparison, [(series, model)], SMALL)
    return f'<h3>{name(model.name)}</h3><ul class="legend">{seeds}</ul>{plots}'


def _seed(cell: Cell) -> str:
    return name(cell.name) if cell.seed is None else f"seed {cell.seed}"


def _pair(comparison: Comparison, models: Sequence[tuple[int, Model]], size: tuple[float, float]) -> str:
    keys = [("loss", "training loss"), (comparison.ranked_by, title_of(comparison.ranked_by))]
    return f'<div class="plots">{"".join(_figure(comparison, key, words, models, size) for key, words in keys)}</div>'


def _figure(
    comparison: Comparison, key: str, words: str, models: Sequence[tuple[int, Model]], size: tuple[float, float]
) -> str:
    curves = _curves(models, key)
    whole = _curves(list(enumerate(comparison.models)), key)  # the axes hold every model's
    if not curves:
        return f'<p class="quiet">No {as_text(words)} was written down.</p>'
    shapes = _shapes(curves, whole, words, size)
    ends = "; ".join(f"{models[0][1].name if len(models) == 1 else _called(models, c)}: {_end(c)}" for c in curves)
    return f"<figure>{svg(shapes, size, f'{words} by epochs trained. {ends}.')}</figure>"


def _called(models: Sequence[tuple[int, Model]], found: Curve) -> str:
    return dict(models)[found.series].name


def _end(found: Curve) -> str:
    epochs, value = found.points[-1]
    return f"{score(value)} after {plural(int(epochs), 'epoch')}"


def _curves(models: Sequence[tuple[int, Model]], key: str) -> list[Curve]:
    found = []
    for series, model in models:
        cells = [cell for cell in model.cells if cell.curves]
        found += [Curve(series, dash, curve(cell, key)) for dash, cell in enumerate(cells)]
    return [line for line in found if line.points]


def _shapes(curves: Sequence[Curve], whole: Sequence[Curve], words: str, size: tuple[float, float]) -> list[Shape]:
    points = [point for line in whole for point in line.points]
    x = of_epochs(max(epoch for epoch, _ in points))
    frame = Frame.of(x, scale_of([value for _, value in points], from_zero=True), size)
    shapes = frame.shapes("epochs trained", words)
    for line in reversed(curves):  # the best on top
        places = [frame.place(*point) for point in line.points]
        shapes.append(Line(places, f"line {colour_class(line.series)}", line.dash))
        shapes.append(Mark(*places[-1], line.series))
    return shapes
