"""How a comparison stands, on stderr: a table that is drawn anew on a terminal, a line for each change elsewhere."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import track
from rich.table import Table
from rich.text import Text

from densenets.analysis.compare.grid import Plan
from densenets.analysis.compare.supervisor import read_state
from densenets.errors import InputError, printable
from densenets.training.records import clock, read_rows

log = logging.getLogger(__name__)
EVERY = 1.0  # seconds between two looks at the files
SHOWN = 12  # cells on the screen: those that run, failed or come next
SCORES = ("AP", "mIoU")
Item = TypeVar("Item")


@dataclass
class Seen:
    """A cell now. done, epochs: of its training; seconds: since it began, or that it took, in this session."""

    plan: Plan
    state: str
    done: int = 0
    score: str = ""
    seconds: float = 0.0
    fault: str = ""
    first: int = 0  # epochs done in this session

    def left(self, typical: float | None) -> float | None:
        """Seconds to its end; None where nobody knows. typical: of a whole cell."""
        if self.state in ("done", "failed"):
            return 0.0
        if self.done and self.plan.epochs and self.first:
            return max(0.0, self.seconds / self.first * (self.plan.epochs - self.done))
        return None if typical is None else max(0.0, typical - self.seconds)


def watched(items: Sequence[Item], words: str, console: Console | None = None) -> Iterable[Item]:
    """The items of a stage at the end, with a bar and the time left on a terminal's stderr while they last."""
    return track(items, words, console=console or Console(stderr=True), transient=True)


class Progress:
    """Of all cells; `session` is that of this start of the comparison."""

    def __init__(self, plans: Sequence[Plan], out: Path, session: str, at_once: int, console: Console | None = None):
        self.plans, self.out, self.session = plans, out, session
        self.at_once = at_once  # cells, where not more are seen to run
        self.console = console or Console(stderr=True)
        self.started = self.looked = time.monotonic()
        self.begun: dict[str, tuple[float, int]] = {}  # when a cell was first seen at work, its epochs then
        self.told: dict[str, tuple[str, int]] = {}
        self.stack = ExitStack()
        self.live: Live | None = None

    def __enter__(self) -> "Progress":
        if self.console.is_terminal:
            self.live = self.stack.enter_context(Live(console=self.console, auto_refresh=False, transient=True))
        self.show()
        return self

    def __exit__(self, *fault: object) -> None:
        self.show()
        self.stack.close()

    def look(self) -> None:
        """Show how it stands, not more often than every second."""
        if time.monotonic() - self.looked >= EVERY:
            self.show()

    def show(self) -> None:
        self.looked = time.monotonic()
        cells = [self._seen(plan) for plan in self.plans]
        if self.live is not None:
            self.live.update(self._drawn(cells), refresh=True)
        else:
            for cell in cells:
                self._tell(cell, cells)

    def _seen(self, plan: Plan) -> Seen:
        folder = plan.folder(self.out)
        state = read_state(folder)
        word = str(state.get("state", "waiting"))
        if word != "done" and state.get("session") != self.session:
            word = "waiting"  # left so by an earlier start
        try:
            rows = read_rows(folder / "metrics.csv") if word != "waiting" else []
        except InputError:
            rows = []
        scores = [f"{name} {row[name]:.3f}" for row in rows for name in SCORES if name in row]
        seen = Seen(plan, word, len(rows), scores[-1] if scores else "", fault=str(state.get("fault", "")))
        if word == "running":
            begun, first = self.begun.setdefault(plan.name, (time.monotonic(), len(rows)))
            seen.seconds, seen.first = time.monotonic() - begun, len(rows) - first
        elif state.get("session") == self.session:
            seen.seconds = float(state.get("seconds", 0.0))
        return seen

    def left(self, cells: Sequence[Seen]) -> float | None:
        """Seconds to the end of all cells; None where none has shown its speed yet."""
        whole = [cell.seconds for cell in cells if cell.state == "done" and cell.seconds and cell.plan.epochs]
        parts = [cell.seconds / cell.first * cell.plan.epochs for cell in cells if cell.first and cell.plan.epochs]
        typical = sum(whole + parts) / len(whole + parts) if whole or parts else None
        rest = [cell.left(typical) for cell in cells]
        if any(seconds is None for seconds in rest):
            return None
        known = [seconds or 0.0 for seconds in rest]
        at_once = max(self.at_once, sum(cell.state == "running" for cell in cells))
        return max([sum(known) / at_once, *known])

    def _sum(self, cells: Sequence[Seen]) -> str:
        counts = Counter(cell.state for cell in cells)
        words = [f"{counts['done']} of {len(cells)} cells done", f"{counts['running']} running"]
        words += [f"{counts['waiting']} to come"] + [f"{counts['failed']} failed"] * bool(counts["failed"])
        left = self.left(cells)
        rest = "" if left is None else f", about {clock(left)} left"
        return f"{', '.join(words)}; {clock(time.monotonic() - self.started)} gone{rest}"

    def _drawn(self, cells: Sequence[Seen]) -> RenderableType:
        table = Table(box=None, pad_edge=False, show_header=False)
        order = {"running": 0, "failed": 1, "waiting": 2, "done": 3}
        chosen = sorted(cells, key=lambda cell: order.get(cell.state, 2))[:SHOWN]
        for cell in [cell for cell in cells if cell in chosen]:
            table.add_row(Text(printable(cell.plan.name)), Text(cell.state), Text(_words(cell)))
        return Group(table, Text(self._sum(cells)))

    def _tell(self, cell: Seen, cells: Sequence[Seen]) -> None:
        """A line where a cell has another state, or one more epoch behind it."""
        now, before = (cell.state, cell.done), self.told.get(cell.plan.name)
        self.told[cell.plan.name] = now
        if now == before or cell.state == "waiting" or (before is None and cell.state == "done" and not cell.seconds):
            return
        log.info("%s: %s  %s  (%s)", cell.plan.name, cell.state, _words(cell), self._sum(cells))


def _words(cell: Seen) -> str:
    if cell.state == "failed":
        return printable(cell.fault)
    epochs = f"epoch {cell.done}/{cell.plan.epochs}" if cell.plan.epochs and cell.state == "running" else ""
    took = clock(cell.seconds) if cell.seconds else ""
    return "  ".join(part for part in (epochs, cell.score, took) if part)
