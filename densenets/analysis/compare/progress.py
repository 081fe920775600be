"""How a comparison stands, on stderr: a table that is drawn anew on a terminal, a line for each change elsewhere."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import track
from rich.table import Table
from rich.text import Text

from densenets.analysis.compare.grid import Plan
from densenets.analysis.compare.supervisor import LOG, read_state, warnings_in
from densenets.errors import InputError, printable
from densenets.run.evaluation import RESULTS
from densenets.training.records import clock, read_rows

log = logging.getLogger(__name__)
EVERY = 1.0  # seconds between two looks at the files
SHOWN = 12  # cells on the screen: those that run, failed or come next
SCORES = ("AP", "mIoU")
Item = TypeVar("Item")


class Typical(NamedTuple):
    """Seconds; None where nobody knows. training: of all epochs of a cell. after: from its last epoch to its end.
    judging: of a checkpoint that stands in for a training."""

    training: float | None
    after: float | None
    judging: float | None


@dataclass
class Seen:
    """A cell now. done: epochs of its training. seconds: since it began, or that it took, in this session. fresh:
    epochs of this session, of which `timed` took `paced` seconds; None where it was never seen at work. judging: its
    training is over, or it needs none."""

    plan: Plan
    state: str
    done: int = 0
    score: str = ""
    seconds: float = 0.0
    fault: str = ""
    fresh: int | None = None
    timed: int = 0
    paced: float = 0.0
    judging: bool = False

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed")

    @property
    def stands_in(self) -> bool:
        return self.plan.checkpoint is not None

    def training(self, typical: float | None) -> float | None:
        """Seconds to its last epoch; None where nobody knows. typical: of all epochs of a cell."""
        epochs = self.plan.epochs or 0
        if self.ended or self.stands_in or self.done >= epochs:
            return 0.0
        if self.timed:
            return max(0.0, self.paced / self.timed * (epochs - self.done) - (self.seconds - self.paced))
        return None if typical is None else max(0.0, typical * (epochs - self.done) / epochs - self.seconds)

    def after(self, typical: Typical) -> float | None:
        """Seconds from its last epoch, or from now where that is over, to its end; None where nobody knows."""
        usual = typical.judging if self.stands_in and typical.judging is not None else typical.after
        if self.ended or usual is None:
            return 0.0 if self.ended else None
        trains = not self.stands_in and self.done < (self.plan.epochs or 0)
        return usual if trains else max(0.0, usual - (self.seconds - self.paced))

    def took_after(self) -> float | None:
        """Seconds from its last epoch to its end; None where that was not seen."""
        if self.state != "done" or not self.seconds or self.stands_in or self.fresh is None:
            return None
        if not self.fresh:  # all of its epochs are of an earlier session
            return self.seconds
        return max(0.0, self.seconds - self.paced / self.timed * self.fresh) if self.timed else None


def _typical(cells: Sequence[Seen]) -> Typical:
    training = [cell.paced / cell.timed * (cell.plan.epochs or 0) for cell in cells if cell.timed]
    after = [seconds for cell in cells if (seconds := cell.took_after()) is not None]
    judging = [cell.seconds for cell in cells if cell.state == "done" and cell.stands_in and cell.seconds]
    return Typical(*(sum(found) / len(found) if found else None for found in (training, after, judging)))


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
        self.paces: dict[str, tuple[int, float]] = {}  # epochs since then, and the seconds that they took
        self.told: dict[str, tuple[str, int, bool]] = {}
        self.warned: set[str] = set()
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
        for cell in cells:
            self._warn(cell)
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
            rows = read_rows(folder / "metrics.csv")
        except InputError:
            rows = []
        seen = Seen(plan, word, len(rows), _score(rows), fault=str(state.get("fault", "")))
        if word == "running":
            seen.judging = seen.stands_in or (plan.judged is not None and (folder / RESULTS).is_file())
            self._time(seen)
        elif state.get("session") == self.session:
            seen.seconds = float(state.get("seconds", 0.0))
        if plan.name in self.begun:
            seen.fresh = seen.done - self.begun[plan.name][1]
            seen.timed, seen.paced = self.paces.get(plan.name, (0, 0.0))
        return seen

    def _time(self, seen: Seen) -> None:
        """Of a cell at work, and of its epochs as they come."""
        name, now = seen.plan.name, time.monotonic()
        begun, first = self.begun.setdefault(name, (now, seen.done))
        seen.seconds = now - begun
        if seen.done - first > self.paces.get(name, (0, 0.0))[0]:
            self.paces[name] = (seen.done - first, seen.seconds)

    def left(self, cells: Sequence[Seen]) -> str:
        """The time to the end of all cells in words, or of their trainings alone while nobody knows how long what comes
        behind these takes; nothing where not even that is known, and where nothing of it is left. What comes behind
        all cells is no part of it."""
        typical = _typical(cells)
        rest = [cell.training(typical.training) for cell in cells]
        behind = [cell.after(typical) for cell in cells]
        if any(seconds is None for seconds in rest):
            return ""
        whole = all(seconds is not None for seconds in behind)
        known = [(one or 0.0) + (two or 0.0) * whole for one, two in zip(rest, behind, strict=True)]
        at_once = max(self.at_once, sum(cell.state == "running" for cell in cells))
        seconds = max([sum(known) / at_once, *known])
        return f", about {clock(seconds)} left for the {'cells' if whole else 'trainings'}" if seconds >= 1 else ""

    def _sum(self, cells: Sequence[Seen]) -> str:
        counts = Counter(cell.state for cell in cells)
        words = [f"{counts['done']} of {len(cells)} cells done", f"{counts['running']} running"]
        words += [f"{counts['waiting']} to come"] + [f"{counts['failed']} failed"] * bool(counts["failed"])
        return f"{', '.join(words)}; {clock(time.monotonic() - self.started)} gone{self.left(cells)}"

    def _drawn(self, cells: Sequence[Seen]) -> RenderableType:
        table = Table(box=None, pad_edge=False, show_header=False)
        order = {"running": 0, "failed": 1, "waiting": 2, "done": 3}
        chosen = sorted(cells, key=lambda cell: order.get(cell.state, 2))[:SHOWN]
        for cell in [cell for cell in cells if cell in chosen]:
            table.add_row(Text(printable(cell.plan.name)), Text(cell.state), Text(_words(cell)))
        return Group(table, Text(self._sum(cells)))

    def _warn(self, cell: Seen) -> None:
        """What trainings of this session warn of, each once whoever has said it."""
        if cell.fresh is None:  # not at work in this session
            return
        for line in warnings_in(cell.plan.folder(self.out) / LOG):
            if line not in self.warned:
                self.warned.add(line)
                log.warning("warning: %s: %s", cell.plan.name, printable(line))

    def _tell(self, cell: Seen, cells: Sequence[Seen]) -> None:
        """A line where a cell has another state, one more epoch behind it, or its training."""
        now, before = (cell.state, cell.done, cell.judging), self.told.get(cell.plan.name)
        self.told[cell.plan.name] = now
        if now == before or cell.state == "waiting" or (before is None and cell.state == "done" and not cell.seconds):
            return
        log.info("%s: %s  %s  (%s)", cell.plan.name, cell.state, _words(cell), self._sum(cells))


def _score(rows: Sequence[Mapping[str, Any]]) -> str:
    """Of the last validation, and of the best one where that is another: the checkpoint that counts."""
    found = [(name, float(row[name])) for row in rows for name in SCORES if name in row]
    if not found:
        return ""
    (name, last), best = found[-1], max(score for _, score in found)
    return f"{name} {last:.3f}" + (f", best {best:.3f}" if best > last else "")


def _words(cell: Seen) -> str:
    if cell.state == "failed":
        return printable(cell.fault)
    epochs = f"epoch {cell.done}/{cell.plan.epochs}" if cell.plan.epochs else ""
    work = ("judging" if cell.judging else epochs) if cell.state == "running" else ""
    took = clock(cell.seconds) if cell.seconds else ""
    return "  ".join(part for part in (work, cell.score, took) if part)
