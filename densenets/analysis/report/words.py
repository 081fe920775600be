"""Numbers and names as a reader meets them, in the page, its plots and their descriptions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from densenets import build
from densenets.analysis.comparison import Comparison, Interval, Model
from densenets.analysis.profile import latency
from densenets.errors import printable
from densenets.page import as_text

MISSING = "–"
FINEST = 6  # decimals of a score; what is less is rounding
SCORES = {
    "pixel_accuracy": "pixel accuracy",
    "category_mIoU": "mIoU of categories",
    "category_iIoU": "iIoU of categories",
}
MEANINGS = {  # of scores, where the name does not say it
    "AP": "mean over IoU 0.50 to 0.95",
    "AP50": "at IoU 0.50",
    "AP75": "at IoU 0.75",
    "APs": "small objects, below 32² px",
    "APm": "medium objects",
    "APl": "large objects, from 96² px",
    "ARs": "recall of small objects",
    "ARm": "recall of medium objects",
    "ARl": "recall of large objects",
    "mIoU": "mean over classes",
    "pixel_accuracy": "share of pixels that are right",
    "iIoU": "each object weighs the same",
}


@dataclass(frozen=True)
class Measure:
    """A cost: `source` and `key` find it in a Model; a number of the page is the stored one divided by `scale`."""

    key: str
    source: str
    words: str
    unit: str
    scale: float = 1.0
    file: str = ""  # of its plot

    def of(self, model: Model) -> float | None:
        """In the unit of the page; None where it was not measured."""
        costs: dict[str, float] = getattr(model, self.source)
        value = finite(costs.get(self.key))
        return None if value is None else value / self.scale


MEASURES = [
    Measure("parameters", "costs", "parameters", "M", 1e6, file="parameters"),
    Measure("madds", "costs", "MAdds", "M", 1e6, file="madds"),
    Measure("file_bytes", "costs", "file size", "MB", 1e6, file="file-size"),
    Measure("activation_bytes", "costs", "activations", "MB", 1e6),
    Measure("peak_bytes", "costs", "peak memory", "MB", 1e6),
    Measure("p50", "latency", "latency p50", "ms", file="latency"),
    Measure("p90", "latency", "latency p90", "ms"),
    Measure("p99", "latency", "latency p99", "ms"),
    Measure("pre", "latency", "before the network", "ms"),
    Measure("network", "latency", "network", "ms"),
    Measure("post", "latency", "after it", "ms"),
    Measure("drift", "latency", "drift", "%", 0.01),
    Measure("cores", "latency", "cores had", ""),
]
BY_KEY = {measure.key: measure for measure in MEASURES}
PLOTTED = [BY_KEY[key] for key in ("p50", "madds", "parameters", "file_bytes")]


def finite(value: Any) -> float | None:
    """A number, or None for whatever is none, NaN and infinity included."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def three(value: float | None) -> str:
    """Three significant digits or all before the point: 0.0123, 4.50, 1,204."""
    if value is None:
        return MISSING
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def score(value: float | None) -> str:
    """A score in 0..1."""
    value = finite(value)
    return MISSING if value is None else f"{value:.3f}"


def signed(value: float | None, least: int = 3) -> str:
    """A difference of scores with its sign; with `least` decimals, or as many more as tell it from 0."""
    value = finite(value)
    if value is None:
        return MISSING
    digits = next((digits for digits in range(least, FINEST + 1) if round(value, digits)), None)
    return f"{0:.{least}f}" if digits is None else f"{value:+.{digits}f}".replace("-", "−")


def span(interval: Interval, write: Any = score) -> str:
    """The ends of the interval, "" where it has none."""
    if finite(interval.low) is None or finite(interval.high) is None:
        return ""
    return f"{write(interval.low)} to {write(interval.high)}"


def with_span(interval: Interval) -> str:
    """0.523 (0.490 to 0.551)"""
    ends = span(interval)
    return f"{score(interval.value)} ({ends})" if ends else score(interval.value)


def said(value: Any) -> str:
    """A setting; not escaped for HTML."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(said, value))
    return "none" if value is None else f"{value:,}" if isinstance(value, int) and abs(value) > 9999 else str(value)


def duration(seconds: float | None) -> str:
    """Of a training."""
    value = finite(seconds)
    if value is None:
        return MISSING
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if value >= 1.5 * length:
            return f"{value / length:.1f} {unit}"
    return f"{value:.0f} s"


def shortened(value: object, room: int) -> str:
    """At most `room` characters of a text, printable; not escaped for HTML. Both ends stay: names differ there."""
    text = printable(value)
    tail = room // 2
    return text if len(text) <= room else f"{text[: room - tail - 1]}…{text[-tail:]}"


def name(value: object, room: int = 60) -> str:
    """A name from the data as HTML: kept apart from the text around it, whichever way it is written."""
    short, whole = shortened(value, room), shortened(value, 400)
    title = f' title="{as_text(whole)}"' if short != whole else ""
    return f'<bdi class="name"{title}>{as_text(short)}</bdi>'


def measured(model: Model, measure: Measure) -> str:
    """A cost in the unit of the page; with a question mark where it is a time that is not to be trusted."""
    value = measure.of(model)
    doubt = " ?" if value is not None and measure.unit == "ms" and latency.doubtful(model.latency) else ""
    return three(value) + doubt


def doubtful(models: Sequence[Model]) -> list[str]:
    """Names of the models whose latency drifted, or was measured on cores that others used too."""
    return [model.name for model in models if latency.doubtful(model.latency)]


def names(values: Sequence[object]) -> str:
    """a, b and c"""
    shown = [name(value) for value in values]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def title_of(key: str) -> str:
    """What a score is called; not escaped for HTML."""
    return SCORES.get(key, key)


def meaning_of(key: str) -> str:
    """What a score says, where that is known; not escaped for HTML."""
    if key.startswith("AR") and key[2:].isdigit():
        return f"recall, at most {plural(int(key[2:]), 'box')} an image"
    return MEANINGS.get(key, "")


def place_of(data: str) -> str:
    """The end of a path, as a short name for the data."""
    return PurePath(data).name or data


def plural(count: int, word: str) -> str:
    """2 images"""
    ending = "" if count == 1 else "es" if word.endswith(("s", "x")) else "s"
    return f"{count:,} {word}{ending}"


def in_px(size: Sequence[int]) -> str:
    """(H, W)"""
    return build.in_px(size).replace(" x ", " × ")


def in_order(comparison: Comparison) -> list[Model]:
    """By rank; models without a number last."""
    return sorted(comparison.models, key=lambda model: math.inf if model.rank is None else model.rank)


def interval_of(model: Model, key: str) -> Interval:
    """Of a score that may be missing."""
    return model.scores.get(key, Interval(None))
