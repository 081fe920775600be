"""The frame of a plot: from numbers to px, with round numbers along its sides."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from densenets.analysis.report.shapes import Line, Shape, Words, width_of

WIDE = 8.0  # a span of this many times its least number is shown on a logarithmic scale


@dataclass(frozen=True)
class Scale:
    """low < high are the ends of the axis; low > 0 where it is logarithmic."""

    low: float
    high: float
    logarithmic: bool
    ticks: tuple[float, ...]

    def part(self, value: float) -> float:
        """Where the number lies: 0 at the low end, 1 at the high one."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def scale_of(
    values: Iterable[float], *, from_zero: bool = False, may_be_logarithmic: bool = False, room: float = 0.08
) -> Scale:
    """An axis that holds all the values with a margin; from_zero: unless it is logarithmic. room: behind the highest,
    as a part of it."""
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    if may_be_logarithmic and low > 0 and high >= WIDE * low:
        low, high = low / 1.35, high * (1.35 + room)
        return Scale(low, high, True, _logarithmic(low, high))
    if from_zero and low >= 0:
        low, high = 0.0, (high or 1.0) * (1 + room)
        return Scale(low, high, False, _round(low, high))
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 0.5
    low = max(0.0, low - margin) if low >= 0 else low - margin
    return Scale(low, high + margin, False, _round(low, high + margin))


def of_epochs(last: float) -> Scale:
    """From 0, with whole numbers alone."""
    scale = scale_of([last], from_zero=True)
    return replace(scale, ticks=tuple(tick for tick in scale.ticks if tick == round(tick)))


def _round(low: float, high: float) -> tuple[float, ...]:
    """Four to eight multiples of 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(k * power for k in (1.0, 2.0, 2.5, 5.0, 10.0) if (high - low) / (k * power) <= 6)
    first = math.ceil(low / step - 1e-9)
    return tuple(at * step for at in range(first, math.floor(high / step + 1e-9) + 1))


def _logarithmic(low: float, high: float) -> tuple[float, ...]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 300 else (1,)
    return tuple(k * 10.0**power for power in powers for k in steps if low <= k * 10.0**power <= high)


@dataclass(frozen=True)
class Frame:
    """A sheet of `size` px with axes inside; the y axis points up."""

    x: Scale
    y: Scale
    size: tuple[float, float]
    left: float
    right: float = 14.0
    top: float = 12.0
    bottom: float = 46.0

    @staticmethod
    def of(x: Scale, y: Scale, size: tuple[float, float]) -> "Frame":
        """With room for the numbers of the y axis and its title."""
        return Frame(x, y, size, 34.0 + max(width_of(_tick(value, y)) for value in (*y.ticks, y.high)))

    def place(self, x: float, y: float) -> tuple[float, float]:
        """The numbers of a point as px."""
        width, height = self.size
        return (
            self.left + self.x.part(x) * (width - self.left - self.right),
            height - self.bottom - self.y.part(y) * (height - self.top - self.bottom),
        )

    def shapes(self, x_title: str, y_title: str) -> list[Shape]:
        """Grid, numbers and titles."""
        width, height = self.size
        floor, middle = height - self.bottom, (self.left + width - self.right) / 2
        shapes: list[Shape] = []
        for value in self.y.ticks:
            _, y = self.place(self.x.low, value)
            shapes.append(Line([(self.left, y), (width - self.right, y)], "grid"))
            shapes.append(Words(self.left - 7, y + 4.5, _tick(value, self.y), "end", "quiet"))
        for value, x in self._apart():
            shapes.append(Line([(x, floor), (x, floor + 5)], "axis"))
            shapes.append(Words(x, floor + 20, _tick(value, self.x), "middle", "quiet"))
        shapes.append(Line([(self.left, floor), (width - self.right, floor)], "axis"))
        shapes.append(Words(middle, height - 6, x_title, "middle"))
        shapes.append(Words(14, (self.top + floor) / 2, y_title, "middle", turned=True))
        return shapes

    def _apart(self) -> list[tuple[float, float]]:
        """Numbers of the x axis with their px, without those that would touch the one before."""
        kept: list[tuple[float, float]] = []
        end = -math.inf
        for value in self.x.ticks:
            x, _ = self.place(value, self.y.low)
            half = width_of(_tick(value, self.x)) / 2
            if x - half > end + 6:
                kept.append((value, x))
                end = x + half
        return kept


def _tick(value: float, scale: Scale) -> str:
    if scale.logarithmic:
        return f"{value:,g}"
    step = _least_step(scale.ticks)
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step else 2
    if step and round(step * 10**digits) != round(step * 10**digits, 6):
        digits += 1  # steps of 2.5
    return f"{value:,.{digits}f}"


def _least_step(ticks: Sequence[float]) -> float:
    return ticks[1] - ticks[0] if len(ticks) > 1 else 0.0
