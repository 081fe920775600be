"""Score against cost: every model with its interval, and the front of those that nobody beats at their cost."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from densenets.analysis.comparison import EXACT, Comparison
from densenets.analysis.report.axes import Frame, scale_of
from densenets.analysis.report.front import front, stairs
from densenets.analysis.report.labels import Box, place_labels
from densenets.analysis.report.shapes import Line, Mark, Shape, Words, svg
from densenets.analysis.report.words import (
    PLOTTED,
    Measure,
    doubtful,
    finite,
    in_order,
    interval_of,
    measured,
    name,
    names,
    score,
    shortened,
    title_of,
    with_span,
)
from densenets.page import as_text

SIZE = (430.0, 350.0)  # px; a phone shows it at four fifths
CAP = 4.0  # px, half the width of an error bar's end


class Point(NamedTuple):
    """series: number of the model in the ranking's order."""

    name: str
    series: int
    cost: float
    score: float
    low: float
    high: float
    words: str


def points_of(comparison: Comparison, measure: Measure) -> list[Point]:
    """The models that have both numbers."""
    found = []
    for series, model in enumerate(in_order(comparison)):
        interval, cost = interval_of(model, comparison.ranked_by), measure.of(model)
        middle, low, high = map(finite, (interval.value, interval.low, interval.high))
        if cost is None or middle is None:
            continue
        ends = (middle if low is None else low, middle if high is None else high)
        words = f"{model.name}: {measured(model, measure)} {measure.unit}, {with_span(interval)}"
        found.append(Point(model.name, series, cost, middle, *ends, words))
    return found


def on_front(points: Sequence[Point]) -> list[Point]:
    """By rising cost. Scores that the ranking calls equal are equal here."""
    return [points[at] for at in front([(point.cost, round(point.score, EXACT)) for point in points])]


def scatter(comparison: Comparison, measure: Measure) -> list[Shape]:
    """The plot on a sheet of SIZE; empty where no model has both numbers."""
    points = points_of(comparison, measure)
    if not points:
        return []
    costs = scale_of([point.cost for point in points], from_zero=True, may_be_logarithmic=True, room=0.2)
    frame = Frame.of(costs, scale_of([end for point in points for end in (point.low, point.high)]), SIZE)
    logarithmic = ", logarithmic" if costs.logarithmic else ""
    shapes = frame.shapes(f"{measure.words} ({measure.unit}{logarithmic})", title_of(comparison.ranked_by))
    corners = [frame.place(*corner) for corner in stairs([(point.cost, point.score) for point in on_front(points)])]
    shapes.append(Line(corners, "front"))
    for point in points:
        shapes += _error_bar(frame, point)
    return shapes + _labels(frame, points, corners) + _marks(frame, points)


def _error_bar(frame: Frame, point: Point) -> list[Shape]:
    (x, low), (_, high) = frame.place(point.cost, point.low), frame.place(point.cost, point.high)
    lines = [[(x, low), (x, high)], [(x - CAP, low), (x + CAP, low)], [(x - CAP, high), (x + CAP, high)]]
    return [Line(line, "error") for line in lines]


def _labels(frame: Frame, points: Sequence[Point], corners: Sequence[tuple[float, float]]) -> list[Shape]:
    """corners: of the front's line, which labels had better not cover, as they had better not cover the bars."""
    width, height = frame.size
    inside = Box(frame.left + 2, frame.top, width - 2, height - frame.bottom - 2)
    places = [frame.place(point.cost, point.score) for point in points]
    taken = [_bar_box(frame, point) for point in points]
    taken += [_around(*ends) for ends in itertools.pairwise(corners)]
    texts = [shortened(point.name, 26) for point in points]
    shapes: list[Shape] = []
    for text, label in zip(texts, place_labels(places, texts, inside, taken), strict=True):
        if label.leader:
            shapes.append(Line(label.leader, "leader"))
        shapes.append(Words(label.x, label.y, text, label.anchor, "label"))
    return shapes


def _bar_box(frame: Frame, point: Point) -> Box:
    (x, low), (_, high) = frame.place(point.cost, point.low), frame.place(point.cost, point.high)
    return Box(x - CAP, high, x + CAP, low)


def _around(one: tuple[float, float], other: tuple[float, float]) -> Box:
    (x0, x1), (y0, y1) = sorted((one[0], other[0])), sorted((one[1], other[1]))
    return Box(x0 - 2, y0 - 2, x1 + 2, y1 + 2)


def _marks(frame: Frame, points: Sequence[Point]) -> list[Shape]:
    return [Mark(*frame.place(point.cost, point.score), point.series, point.words) for point in points]


def section(comparison: Comparison) -> str:
    """All plots with words below each; "" where nothing can be plotted."""
    figures = "".join(_figure(comparison, measure) for measure in PLOTTED)
    if not figures:
        return ""
    ranked = as_text(title_of(comparison.ranked_by))
    return (
        f'<section id="pareto"><h2>{ranked} against cost</h2><p class="quiet">Up is better, left is cheaper. Bars are '
        f"the {comparison.level:.0%} intervals. The stepped line is the Pareto front: the best "
        f"{ranked} that each cost buys; models below it are beaten by one that costs no more. It goes by the middle "
        f'values, so where bars overlap widely another draw of images may move it.</p><div class="plots">{figures}'
        f"</div></section>"
    )


def _figure(comparison: Comparison, measure: Measure) -> str:
    shapes, points = scatter(comparison, measure), points_of(comparison, measure)
    if not shapes:
        return ""
    title = f"{title_of(comparison.ranked_by)} against {measure.words}"
    best = on_front(points)
    described = f"{title}. {'; '.join(point.words for point in points)}. Front: {', '.join(p.name for p in best)}."
    absent = [model.name for model in in_order(comparison) if model.name not in {point.name for point in points}]
    missing = f" Not shown, a number is missing: {names(absent)}." if absent else ""
    doubts = _doubts(comparison, measure)
    return (
        f"<figure><h3>{as_text(title)}{' ?' if doubts else ''}</h3>{svg(shapes, SIZE, described)}"
        f'<figcaption class="quiet">On the front: {_listed(best)}.{missing}{doubts}</figcaption>'
        f"</figure>"
    )


def _doubts(comparison: Comparison, measure: Measure) -> str:
    found = doubtful(in_order(comparison)) if measure.unit == "ms" else []
    return f" ?: doubtful: {names(found)}." if found else ""


def _listed(best: Sequence[Point]) -> str:
    return ", ".join(f"{name(point.name, 40)} {score(point.score)}" for point in best)
