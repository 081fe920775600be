"""results.csv: a row for each cell, with the numbers of its model beside its own."""

import csv
import io
import math
from pathlib import Path
from typing import Any

from densenets.analysis.comparison import Cell, Comparison, Model
from densenets.analysis.profile.latency import doubtful
from densenets.analysis.report.words import in_order, said
from densenets.errors import printable
from densenets.storage import write_durably

FORMULA = ("=", "+", "-", "@")  # what a spreadsheet takes for the start of one
NO_TIMES = ("drift", "cores")


def write_rows(comparison: Comparison, path: Path) -> Path:
    """Scores in 0..1, bytes, ms and s; a number that is missing leaves its place empty. Text that a spreadsheet would
    take for a formula has a ' before it. docs/comparison-files.md tells what each column holds."""
    judged = {"data": comparison.data, "split": comparison.split, "images": comparison.images}
    judged |= {"level": comparison.level, "draws": comparison.draws}
    pairs = [(model, cell) for model in in_order(comparison) for cell in model.cells]
    found = [{**_row(model, cell, comparison.ranked_by), **judged} for model, cell in pairs]
    rows = [{_text(column): _plain(value) for column, value in row.items()} for row in found]
    columns = dict.fromkeys(column for row in rows for column in row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(columns), restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_durably(path, lambda handle: handle.write(text.getvalue().encode()))
    return path


def _row(model: Model, cell: Cell, ranked_by: str) -> dict[str, Any]:
    height, width = model.canvas
    row: dict[str, Any] = {
        "rank": model.rank,
        "tied_with": " ".join(model.ties),
        "model": model.name,
        "task": model.task,
        "backbone": model.backbone,
        "head": model.head,
        "width": model.width,
        "canvas_height": height,
        "canvas_width": width,
        "measured_height": None if model.measured is None else model.measured[0],
        "measured_width": None if model.measured is None else model.measured[1],
        "weights": model.weights,
        "padding": model.padding,
        "normalize": model.normalize,
        "stands_in": int(model.stands_in),
        "same_as": " ".join(model.same_as),
        "differs": "; ".join(f"{key}: {said(value)}" for key, value in model.differs.items()),
        "cell": cell.name,
        "seed": cell.seed,
        "state": cell.state,
        "fault": cell.fault,
        "folder": cell.folder,
        "seconds": cell.seconds,
        "where": cell.where,
        **cell.scores,
    }
    for key, interval in model.scores.items():
        ends = {"": interval.value, "_low": interval.low, "_high": interval.high}
        row.update({f"model_{key}{end}": value for end, value in ends.items()})
    least, most = model.spread.get(ranked_by, (None, None))
    done = sum(one.state == "done" for one in model.cells)
    row |= {"model_seeds": done, f"model_{ranked_by}_least_seed": least, f"model_{ranked_by}_most_seed": most}
    for key, interval in model.per_class.items():  # in front of the name: a class may be called car_low
        ends = {"class": interval.value, "low_of_class": interval.low, "high_of_class": interval.high}
        row.update({f"{end}_{key}": value for end, value in ends.items()})
    row.update({f"error_{key.replace(' ', '_')}": value for key, value in model.error_types.items()})
    row.update(model.costs)
    for key, value in model.latency.items():
        row[f"latency_{key}" if key in NO_TIMES else f"latency_ms_{key}"] = value
    if model.latency:
        row["latency_doubtful"] = int(doubtful(model.latency))
    return row


def _plain(value: Any) -> Any:
    """A number in full, text on one line, nothing for what is no number."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return value if isinstance(value, int | float) else _text(value)


def _text(value: object) -> str:
    shown = printable(value)
    return f"'{shown}" if shown.lstrip().startswith(FORMULA) else shown
