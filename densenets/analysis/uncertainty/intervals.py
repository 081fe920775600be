"""From draws to intervals: percentiles, means over seeds, paired differences."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from densenets.analysis.comparison import Interval


@dataclass
class Samples:
    """The numbers of a model on a set of images and on draws from it.

    values: of the whole set; None: undefined. draws: (D,) float64 by the same names, NaN where a draw holds nothing
    that defines the number. per_class: the same of each class by its name; that of a class has none. basis: says which
    images and draws these are; equal for samples that can be compared.
    """

    values: dict[str, float | None]
    draws: dict[str, np.ndarray]
    basis: tuple[int, int, str]
    per_class: dict[str, "Samples"] = field(default_factory=dict)


def interval(samples: Samples, name: str, level: float = 0.95) -> Interval:
    """The value of the whole set, between the percentiles that hold the part `level` of the draws.

    Draws that leave the number undefined are left out; without any other there are no ends, and none where the whole
    set leaves it undefined.
    """
    return _interval(samples.values[name], samples.draws[name], level)


def difference(first: Samples, second: Samples, name: str, level: float = 0.95) -> tuple[Interval, bool]:
    """The number of `first` less that of `second`, draw by draw, and whether it is a tie: the interval holds 0.

    Where one of them is undefined the difference is, which counts as a tie. ValueError where the two have other images
    or draws.
    """
    _check_basis([first, second])
    values = first.values[name], second.values[name]
    value = None if values[0] is None or values[1] is None else values[0] - values[1]
    found = _interval(value, first.draws[name] - second.draws[name], level)
    return found, found.low is None or found.high is None or found.low <= 0 <= found.high


def mean_of(seeds: Sequence[Samples]) -> Samples:
    """The mean over the seeds of a model, draw by draw; undefined where it is of one of them.

    What is drawn is images: how far the seeds lie apart is no part of an interval. ValueError for none, or for others'
    images, draws or names.
    """
    _check_basis(seeds)
    values = {name: _mean([one.values[name] for one in seeds]) for name in seeds[0].values}
    draws = {name: np.mean([one.draws[name] for one in seeds], axis=0) for name in seeds[0].draws}
    classes = {name: mean_of([one.per_class[name] for one in seeds]) for name in seeds[0].per_class}
    return Samples(values, draws, seeds[0].basis, classes)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _interval(value: float | None, draws: np.ndarray, level: float) -> Interval:
    known = draws[~np.isnan(draws)]
    if value is None or not known.size:
        return Interval(value)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Interval(value, low, high)


def _check_basis(samples: Sequence[Samples]) -> None:
    if not samples:
        raise ValueError("no samples")
    if any(one.basis != samples[0].basis or {*one.per_class} != {*samples[0].per_class} for one in samples):
        raise ValueError("samples of other images, draws or classes cannot be compared draw by draw")
