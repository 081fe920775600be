"""What is wrong with a data set: gathered to be told together, or left out and counted."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from densenets.config import ReadingRules
from densenets.errors import PROBLEMS_SHOWN, InputError, Problems, printable

USUAL = ReadingRules()
CUT = "boxes cut at the edge of their image [D11]"
LEAVE_OUT = " (--skip-invalid leaves such boxes out)"
BEYOND = "more than rounding outside the image [D11]"

Place = Callable[[int], tuple[str, str]]  # row -> (its file, the words that name it there)
Words = Callable[[int], str]  # row -> what is wrong with it, with its code


class NoSplit(InputError):
    """A split that a data set does not have."""


class Skip(NamedTuple):
    """An item that was left out: the file it stands in, its name there, and why, in a word and as a code."""

    file: str
    item: str
    reason: str
    code: str


class Faults:
    """What is wrong with the rows of one list. Of a row only the first fault counts: others may follow from it."""

    def __init__(self, rows: int, place: Place) -> None:
        self.place = place
        self.bad = np.zeros(rows, dtype=bool)
        self._words: dict[int, str] = {}

    def add(self, mask: np.ndarray, words: Words) -> None:
        """One kind of fault: the (rows,) mask of those that have it."""
        rows = np.flatnonzero(mask & ~self.bad)
        self._words.update({row: words(row) for row in rows[:PROBLEMS_SHOWN].tolist()})
        self.bad[rows] = True

    def tell(self, problems: Problems) -> None:
        """All of them, in the order of the rows."""
        for row in sorted(self._words):
            file, item = self.place(row)
            problems.add(f"{printable(file)}: {item}: {self._words[row]}")
        problems.count += int(self.bad.sum()) - len(self._words)


class BoxReport(NamedTuple):
    """boxes: (M, 4) cut at the image's edges. The rest are (M,) masks, of which a row has one at most.

    clipped: cut by no more than rounding. empty: no area. outside: no part inside the image. faults: words for each
    other reason why a box cannot be used.
    """

    boxes: np.ndarray
    clipped: np.ndarray
    empty: np.ndarray
    outside: np.ndarray
    faults: dict[str, np.ndarray]

    @property
    def unusable(self) -> np.ndarray:
        """(M,) all but the empty, whose place is not judged, that cannot be used as they are."""
        return np.logical_or.reduce([self.outside, *self.faults.values()])


def check_boxes(boxes: np.ndarray, sizes: np.ndarray) -> BoxReport:
    """Judge (M, 4) boxes x0 y0 x1 y1 against the (M, 2) heights and widths of their images.

    Outside by up to 1 px or 1 % of the image's side is rounding and is cut; more is a fault.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    limit = sizes[:, ::-1].astype(np.float64)  # width, height
    slack = np.maximum(1.0, 0.01 * limit)
    with np.errstate(invalid="ignore"):
        endless = ~np.isfinite(boxes).all(axis=1)
        negative = ~endless & (high < low).any(axis=1)
        empty = ~endless & ~negative & ((high - low).prod(axis=1) == 0)  # also where the area of a tiny one vanishes
        sound = ~endless & ~negative & ~empty
        outside = sound & ((low >= limit) | (high <= 0)).any(axis=1)
        beyond = sound & ~outside & ((low < -slack) | (high > limit + slack)).any(axis=1)
    inside = np.concatenate([np.clip(low, 0, limit), np.clip(high, 0, limit)], axis=1)
    clipped = sound & ~outside & ~beyond & (inside != boxes).any(axis=1)
    faults = {
        "a coordinate that is not a finite number [D09]": endless,
        "a negative width or height [D08]": negative,
        BEYOND: beyond,
    }
    return BoxReport(inside, clipped, empty, outside, faults)


def sift(
    report: BoxReport, boxes: np.ndarray, written: Words, faults: Faults, rules: ReadingRules
) -> tuple[np.ndarray, list[Skip]]:
    """Tells `faults` of the boxes that cannot be used, and gives those that are left out instead, as `rules` allow:
    their (M,) mask, and what is said of them.

    boxes: (M, 4) x0 y0 x1 y1 as in the file; written: the words for the box of a row.
    """
    for fault, mask in report.faults.items():
        faults.add(mask, lambda row, fault=fault: f"{written(row)} has {fault}")  # type: ignore[misc]
    if rules.strict:
        faults.add(report.empty, lambda row: f"{written(row)} has zero {_zero(boxes[row])} [D07]")
    advice = "" if rules.strict else LEAVE_OUT
    if rules.strict or not rules.skip_invalid:
        faults.add(report.outside, lambda row: f"{written(row)} has no part inside the image{advice} [D10]")
    reasons = {("zero-area", "D07"): report.empty, ("outside the image", "D10"): report.outside}
    return report.empty | report.outside, [
        Skip(*faults.place(row), *reason)
        for reason, mask in reasons.items()
        for row in np.flatnonzero(mask & ~faults.bad).tolist()
    ]


def _zero(box: np.ndarray) -> str:
    sides = [name for name, low, high in (("width", box[0], box[2]), ("height", box[1], box[3])) if low == high]
    return " and ".join(sides) or "area"


def limit_skips(skips: list[Skip], total: int, file: object, rules: ReadingRules, problems: Problems) -> None:
    """A problem where more of the `total` annotations of a file are left out than --max-skip allows."""
    if len(skips) > allowed_skips(total, rules.max_skip):
        problems.add(f"{printable(file)}: {too_many_skips(skips, total, rules)} [{skips[0].code}]")


def too_many_skips(skips: Sequence[Skip], total: int, rules: ReadingRules, enough: float | None = None) -> str:
    """As `too_many`, of annotations: with their reasons and the first of them."""
    told = too_many(len(skips), total, "annotations", rules, enough)
    return f"{told}: {count_reasons(skips)}; the first: {skips[0].item}"


def allowed_skips(total: int, max_skip: float) -> int:
    """How many of `total` items may be left out: the part `max_skip`; one always may, unless that is 0."""
    return max(1, math.floor(max_skip * total + 1e-9)) if max_skip > 0 else 0


def accepting(count: int, total: int) -> float:
    """The --max-skip, in thousandths, that allows `count` of `total` items to be left out."""
    return math.ceil(1000 * count / total) / 1000


def too_many(count: int, total: int, what: str, rules: ReadingRules, enough: float | None = None) -> str:
    """The words for more skips than allowed, with the --max-skip that accepts them; enough: a larger one, for others
    as well."""
    accepted = accepting(count, total) if enough is None else enough
    return (
        f"{count} of {total} {what} would be skipped, more than --max-skip {rules.max_skip:g} allows; "
        f"--max-skip {accepted:g} accepts {'it' if enough is None else 'all that was found'}"
    )


def count_reasons(skips: Iterable[Skip]) -> str:
    """ "2 zero-area [D07], 1 outside the image [D10]", in the order of the codes."""
    counts: dict[tuple[str, str], int] = {}
    for skip in skips:
        counts[skip.code, skip.reason] = counts.get((skip.code, skip.reason), 0) + 1
    return ", ".join(f"{counts[key]} {key[1]} [{key[0]}]" for key in sorted(counts))


def show(value: object) -> str:
    """A value of a file as JSON writes it, on one line and not too long."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:  # read a few frames higher up, where the same depth just fitted
        return "a deeply nested value"
    return printable(text if len(text) <= 80 else f"{text[:77]}...")
