"""The ranking as text: a row a model, aligned."""

from densenets.analysis.cautions import cautions
from densenets.analysis.comparison import Comparison, Model
from densenets.analysis.profile.latency import doubtful
from densenets.analysis.profile.table import aligned
from densenets.analysis.report.words import plural
from densenets.errors import printable

NONE = "-"
SHOWN = 2  # names of ties


def ranking(comparison: Comparison) -> str:
    """Best first; models without a number at the end."""
    order = sorted(comparison.models, key=lambda model: (model.rank is None, model.rank or 0))
    rows = [_row(model, comparison.ranked_by) for model in order]
    head = ["", "model", comparison.ranked_by, f"{comparison.level:.0%} interval", "seeds", "tie with"]
    head += ["M params", "measured at HxW", "M MAdds", "p50 ms"]
    shown = aligned([head, *rows], left={1, 5})
    images = plural(comparison.images, "image")
    words = f"{images} of {printable(comparison.data)}, split {printable(comparison.split)}"
    notes = [line for line in (_where(comparison), _doubts(comparison), _strangers(comparison)) if line]
    notes += cautions(comparison)
    return "\n".join([f"{words}; {comparison.draws} draws", "", shown, *(["", *notes] if notes else [])])


def _row(model: Model, ranked_by: str) -> list[str]:
    found, spread = model.scores.get(ranked_by), model.spread.get(ranked_by)
    value, low, high = (found.value, found.low, found.high) if found else (None, None, None)
    ends = NONE if low is None or high is None else f"{low:.3f} .. {high:.3f}"
    count = sum(cell.state == "done" for cell in model.cells)
    seeds = f"{count}" if spread is None else f"{count}: {spread[0]:.3f} .. {spread[1]:.3f}"
    parameters, madds = (_scaled(model.costs.get(name), 1e6, 2) for name in ("parameters", "madds"))
    size = NONE if model.measured is None else "x".join(map(str, model.measured))
    latency = _scaled(model.latency.get("p50"), 1.0, 1) + "?" * doubtful(model.latency)
    name = printable(model.name) + "*" * model.stands_in
    place = NONE if model.rank is None else str(model.rank)
    more = len(model.ties) - SHOWN
    ties = ", ".join([*map(printable, model.ties[:SHOWN]), *([f"and {more} more"] if more > 0 else [])])
    shown = NONE if value is None else f"{value:.3f}"
    return [place, name, shown, ends, seeds, ties, parameters, size, madds, latency]


def _scaled(value: float | None, unit: float, digits: int) -> str:
    return NONE if value is None else f"{value / unit:.{digits}f}"


def _doubts(comparison: Comparison) -> str:
    found = any(doubtful(model.latency) for model in comparison.models)
    return "? doubtful, measure again on a quiet machine: the report tells why" if found else ""


def _strangers(comparison: Comparison) -> str:
    found = [model for model in comparison.models if model.stands_in]
    same = [
        f"; {printable(model.name)} is the very checkpoint of {', '.join(map(printable, model.same_as))}"
        for model in found
        if model.same_as
    ]
    return f"* not trained here{''.join(same)}" if found else ""


def _where(comparison: Comparison) -> str:
    if comparison.machine is None:
        return ""
    machine = comparison.machine
    threads = plural(int(machine.get("threads", 1)), "thread")
    words = f"{machine.get('processor', '')}, {threads}, {machine.get('device', '')}"
    return f"latency at batch 1, all models in turn on one machine: {printable(words)}"
