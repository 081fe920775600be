"""What stands behind the numbers: costs in full, the machine, what was equal for all, how to repeat it."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from densenets.analysis.comparison import Cell, Comparison, Model
from densenets.analysis.report.ranking import cost_cell
from densenets.analysis.report.tables import Column, row_head, sortable
from densenets.analysis.report.words import MEASURES, doubtful, in_order, name, names, said, shortened
from densenets.errors import printable
from densenets.page import as_text

MANY = 14  # facts that stand below each other


def costs(comparison: Comparison) -> str:
    """Every cost of every model, with the machine it was measured on; "" where none was."""
    models = in_order(comparison)
    if not any(model.costs or model.latency for model in models):
        return ""
    measures = [measure for measure in MEASURES if any(measure.of(model) is not None for model in models)]
    columns = [Column("model", "name"), *(Column(measure.words, unit=measure.unit) for measure in measures)]
    rows = [
        [row_head(name(model.name), model.name), *(cost_cell(model, measure) for measure in measures)]
        for model in models
    ]
    return (
        f'<section id="costs"><h2>Cost in full</h2><p class="quiet">Latency of one image at a time (batch 1); p50, p90 '
        f"and p99: half, nine tenths and 99 of 100 images took no longer, pre- and post-processing inside; the parts "
        f"are medians of their own. Drift: by how much the last third of the rounds was slower than the first; cores "
        f"had: hardly below 1 on a quiet machine. MAdds count one multiplication with its addition once. 1 MB is "
        f"1,000,000 bytes.</p>{_doubts(comparison)}{sortable('Cost in full', columns, rows)}{_machine(comparison)}"
        f"</section>"
    )


def _doubts(comparison: Comparison) -> str:
    found = doubtful(in_order(comparison))
    return f"<p><strong>?: doubtful. Measure again on a quiet machine:</strong> {names(found)}.</p>" if found else ""


def _machine(comparison: Comparison) -> str:
    if not comparison.machine:
        return "<p>No latency was measured.</p>"
    return (
        f"<h3>The machine</h3><p class='quiet'>Every latency on this page is of this one machine; on another one "
        f"they, and their order, may be different.</p>{_facts(comparison.machine)}"
    )


def protocol(comparison: Comparison) -> str:
    """What was equal and for whom it was not, and with which versions."""
    equal = _facts(comparison.protocol) if comparison.protocol else "<p>Nothing was written down.</p>"
    versions = {key: value for key, value in comparison.produced_by.items() if key != "command"}
    produced = f"<h3>Produced by</h3>{_facts(versions)}" if versions else ""
    but = ", but for what stands below it" if _differing(comparison) else ""
    return (
        f'<section id="protocol"><h2>Protocol</h2><p class="quiet">Equal for every cell of the comparison{but}.</p>'
        f"{equal}{_others(comparison)}{produced}</section>"
    )


def _differing(comparison: Comparison) -> list[Model]:
    return [model for model in in_order(comparison) if model.stands_in or model.differs]


def _others(comparison: Comparison) -> str:
    """The models that the protocol does not hold for in full."""
    rows = "".join(
        f"<h4>{name(model.name)}{', not trained here' if model.stands_in else ''}</h4>"
        f"{_facts(model.differs) if model.differs else '<p>Nothing is known to differ.</p>'}"
        for model in _differing(comparison)
    )
    head = "<h3>Not equal</h3><p class='quiet'>What is known of a model's training and is not so for all.</p>"
    return head + rows if rows else ""


def _facts(content: dict[str, Any]) -> str:
    rows = [
        f"<div><dt>{as_text(shortened(key.replace('_', ' '), 80))}</dt>"
        f"<dd><bdi>{as_text(shortened(value, 600))}</bdi></dd></div>"
        for key, value in _flat(content)
    ]
    return f'<dl class="facts{" many" if len(rows) > MANY else ""}">{"".join(rows)}</dl>'


def _flat(content: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}, ")
        else:
            yield f"{before}{key}", said(value)


def commands(comparison: Comparison) -> str:
    """The lines that repeat all of it, in the order they were given, and those of each cell."""
    lines = "\n".join(map(command_line, comparison.commands))
    whole = f"<pre>{lines}</pre>" if lines else ""
    cells = [cell for model in in_order(comparison) for cell in model.cells if cell.commands]
    each = "".join(map(_cell, cells))
    inside = f"<details><summary>Each cell by itself</summary>{each}</details>" if each else ""
    if not whole and not inside:
        return ""
    told = (
        "<p class='quiet'>In the folder that they were given in: paths stand here as they were written. With another "
        "--out they do all of it anew; as they are they go on where the comparison stands and repeat nothing.</p>"
    )
    return f'<section id="repeat"><h2>To repeat it</h2>{told}{whole}{inside}</section>'


def _cell(cell: Cell) -> str:
    lines = "\n".join(map(command_line, cell.commands))
    return f"<h3>{name(cell.name)}</h3><pre>{lines}</pre>"


def command_line(words: Sequence[str]) -> str:
    """As a shell takes it, as text of the page."""
    return as_text(shlex.join(map(printable, words)))
