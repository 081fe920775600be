"""Scores by class and by size of object: classes x models, each cell in the shade of its number."""

from collections.abc import Sequence

from densenets.analysis.comparison import Comparison, Interval, Model
from densenets.analysis.report.style import SHADES
from densenets.analysis.report.tables import Column, number, row_head, scrolling, sortable
from densenets.analysis.report.words import (
    MISSING,
    finite,
    in_order,
    interval_of,
    meaning_of,
    name,
    score,
    shortened,
    span,
    title_of,
)
from densenets.page import as_text

MANY = 14  # classes that stand below each other without a scroll bar


def section(comparison: Comparison) -> str:
    """Both tables; "" where no model has any of the numbers."""
    models = in_order(comparison)
    scores = scores_of(comparison)
    classes = [item for item in comparison.classes if any(item in model.per_class for model in models)]
    if not scores and not classes:
        return ""
    single = "AP" if comparison.task == "detection" else "IoU"
    title = "By class and size of object" if single == "AP" else "By class"
    words = (
        f"Means over seeds; below, the {comparison.level:.0%} interval over images. Darker is higher, on one scale "
        f"from 0 to 1. {MISSING} : nothing of the kind is in the split."
    )
    tables = _scores(models, scores) + _classes(models, classes, single)
    return f'<section id="classes"><h2>{title}</h2><p class="quiet">{words}</p>{tables}</section>'


def scores_of(comparison: Comparison) -> list[str]:
    """The scores that some model has, the ranking's first."""
    known = dict.fromkeys([comparison.ranked_by, *(key for model in comparison.models for key in model.scores)])
    return [key for key in known if any(finite(interval_of(m, key).value) is not None for m in comparison.models)]


def _scores(models: Sequence[Model], keys: Sequence[str]) -> str:
    if not keys:
        return ""
    heads = "".join(f'<th scope="col" class="number">{name(model.name, 24)}</th>' for model in models)
    rows = "".join(
        f'<tr><th scope="row">{as_text(title_of(key))}<small>{as_text(meaning_of(key))}</small></th>'
        f"{''.join(_cell(interval_of(model, key)) for model in models)}</tr>"
        for key in keys
    )
    table = f'<table class="data heat"><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    return f"<h3>All scores</h3>{scrolling('All scores', table)}"


def _classes(models: Sequence[Model], classes: Sequence[str], single: str) -> str:
    if not classes:
        return ""
    columns = [Column("class", "name"), *(Column(shortened(model.name, 24), falling=True) for model in models)]
    rows = [
        [row_head(name(item, 40), item), *(_cell(model.per_class.get(item, Interval(None))) for model in models)]
        for item in classes
    ]
    room = "tall" if len(classes) > MANY else ""
    return f"<h3>By class</h3>{sortable(f'{single} by class', columns, rows, kind='heat', room=room)}"


def _cell(interval: Interval) -> str:
    value = finite(interval.value)
    shade = "" if value is None else f"h{min(len(SHADES) - 1, max(0, int(value * len(SHADES))))}"
    return score_cell(interval, shade)


def score_cell(interval: Interval, kind: str = "") -> str:
    """A score over the ends of its interval, where it has any; kind: CSS class."""
    ends = span(interval)
    below = f"<small>{ends}</small>" if ends else ""
    return number(finite(interval.value), score(interval.value) + below, kind)
