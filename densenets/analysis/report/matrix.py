"""Paired differences: every model against every other one, on the same images."""

from densenets.analysis.comparison import Comparison, Difference, Interval
from densenets.analysis.report.tables import scrolling
from densenets.analysis.report.words import MISSING, finite, in_order, name, signed, span, title_of
from densenets.page import as_text


def section(comparison: Comparison) -> str:
    """Row less column; "" where no two models can be compared."""
    known = {pair: row for found in comparison.differences for pair, row in _both(found).items()}
    order = [m.name for m in in_order(comparison) if any(m.name in pair for pair in known)]
    if not order:
        return ""
    heads = "".join(f'<th scope="col" class="number">{name(column, 30)}</th>' for column in order)
    rows = "".join(
        f'<tr><th scope="row">{name(row, 40)}</th>{"".join(_cell(known, row, column) for column in order)}</tr>'
        for row in order
    )
    ranked = as_text(title_of(comparison.ranked_by))
    table = f'<table class="data matrix"><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    return (
        f'<section id="differences"><h2>Paired differences</h2><p class="quiet">{ranked} of the row less that of the '
        f"column, judged on the same drawn images, so what both find hard cancels out; below, the "
        f"{comparison.level:.0%} interval. <b>=</b> is a tie: the interval holds 0. ▲ the row is better, ▼ the "
        f"column.</p>{scrolling('Paired differences', table)}</section>"
    )


def _both(row: Difference) -> dict[tuple[str, str], Difference]:
    """A difference is known both ways."""
    value, low, high = (finite(end) for end in (row.difference.value, row.difference.low, row.difference.high))
    back = Interval(*(None if end is None else -end for end in (value, high, low)))
    return {
        (row.first, row.second): Difference(row.first, row.second, Interval(value, low, high), row.tie),
        (row.second, row.first): Difference(row.second, row.first, back, row.tie),
    }


def _cell(known: dict[tuple[str, str], Difference], row: str, column: str) -> str:
    found = known.get((row, column))
    if found is None or found.difference.value is None:
        return '<td class="number none">·</td>' if row == column else f'<td class="number">{MISSING}</td>'
    value = found.difference.value
    kind, mark = ("even", "=") if found.tie else ("up", "▲") if value > 0 else ("down", "▼")
    ends = span(found.difference, _written)
    return f'<td class="number {kind}"><span class="sign">{mark}</span> {_written(value)}<small>{ends}</small></td>'


def _written(value: float | None) -> str:
    """Finer than scores are: most ends lie close to 0, and on one side of it is no tie."""
    return signed(value, 4)
