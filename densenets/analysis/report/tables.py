"""Tables of the page: they scroll inside themselves, and those with a ranking sort on a click."""

from collections.abc import Sequence
from dataclasses import dataclass

from densenets.page import as_text


@dataclass(frozen=True)
class Column:
    """title: any text. kind: CSS class. falling: the first click brings the largest number to the top."""

    title: str
    kind: str = "number"
    falling: bool = False
    unit: str = ""


def number(value: float | None, shown: str, kind: str = "") -> str:
    """A cell that sorts by `value`, None last; shown: HTML."""
    sort = "" if value is None else repr(float(value))
    return f'<td class="{f"number {kind}".strip()}" data-sort="{sort}">{shown}</td>'


def row_head(shown: str, value: str) -> str:
    """The cell that names its row and sorts by the text `value`; shown: HTML."""
    return f'<th scope="row" class="text" data-text="{as_text(value[:200])}">{shown}</th>'


def sortable(
    label: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    first: int = -1,
    kind: str = "",
    room: str = "",
) -> str:
    """A table whose headings are buttons; rows: cells as HTML; first: the column that the rows are in order of.

    kind, room: CSS classes of the table and of the room that it scrolls in.
    """
    heads = "".join(_head(column, at == first) for at, column in enumerate(columns))
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    look = f"data sortable {kind}".strip()
    return scrolling(label, f'<table class="{look}"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>', room)


def _head(column: Column, sorted_by: bool) -> str:
    order = "descending" if column.falling else "ascending"
    now = f' aria-sort="{order}"' if sorted_by else ""
    unit = f"<small>{as_text(column.unit)}</small>" if column.unit else ""
    return (
        f'<th scope="col" class="{column.kind}" data-first="{order}"{now}>'
        f'<button type="button">{as_text(column.title)}</button>{unit}</th>'
    )


def scrolling(label: str, table: str, kind: str = "") -> str:
    """Room that scrolls inside itself, by keyboard too; table: HTML."""
    around = f'class="{f"scroll {kind}".strip()}" role="region" aria-label="{as_text(label)}" tabindex="0"'
    return f"<div {around}>{table}</div>"
