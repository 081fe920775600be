"""The curves of a run."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOM = 1.12  # of the highest value: how far an axis goes


def curves(
    rows: Sequence[dict[str, Any]], path_loss: str | Path, path_judged: str | Path, judged: Sequence[str]
) -> None:
    """Two charts by epoch: "loss" with its terms "loss_...", where it has several, and the numbers `judged`.

    rows: one an epoch, "epoch" from 0; a value may be missing, empty or NaN, and its line then passes over it.
    """
    terms = sorted({name for row in rows for name in row if name.startswith("loss_")})
    parts = terms if len(terms) > 1 else []  # a single one is the total
    names = {"loss": "total", **{name: name.removeprefix("loss_") for name in parts}}
    _chart(rows, path_loss, names, "training loss", "lowest", min)
    _chart(rows, path_judged, {name: name for name in judged}, "validation", "best", max)


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _chart(
    rows: Sequence[dict[str, Any]], path: str | Path, names: dict[str, str], title: str, word: str, best: Any
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.2, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    epochs = np.array([_number(row.get("epoch", i)) + 1 for i, row in enumerate(rows)])
    colours = ["#111111", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
    for i, (name, label) in enumerate(names.items()):
        values = np.array([_number(row.get(name)) for row in rows])
        here = np.isfinite(values) & np.isfinite(epochs)
        if not here.any():
            continue
        label = f"{label}  {values[here][-1]:.3f}  ({word} {best(values[here]):.3f})"
        few = "o" if here.sum() <= 40 else None
        axes.plot(
            epochs[here], values[here], marker=few, markersize=3.5, label=label,
            color=colours[i % len(colours)], linewidth=2.2 if i == 0 else 1.5, zorder=3 - 0.01 * i,
        )  # fmt: skip
    axes.set(title=title, xlabel="epochs trained")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        highest = max(np.max(line.get_ydata()) for line in axes.lines)
        axes.set_ylim(0, ROOM * highest if highest > 0 else 1.0)
        axes.set_xlim(0, max(2.0, 1.03 * np.nanmax(epochs)))
        axes.legend(frameon=False)
    else:
        axes.text(0.5, 0.5, "no values", ha="center", va="center", color="#777777", transform=axes.transAxes)
    figure.savefig(path)
