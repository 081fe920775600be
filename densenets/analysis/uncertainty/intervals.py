"""From draws to intervals: of a score, of the mean over seeds, of paired differences.

A score of drawn images is more than that of the images themselves, on average, most of all AP of rare classes, just as
theirs is more than that of many images. Its interval is therefore the "basic" one (Davison and Hinkley 1997, section
5.2), which turns the percentiles about the value: on made-up sets of 100 and 500 images and 20 classes it held the AP
of thousands of images in 55 of 60 and 37 of 40 cases, percentiles in 34 and 22. In a paired difference that shift
cancels out: percentiles held it in 75 of 80 and 49 of 50 cases, and there they stay (test_bootstrap_coverage.py).
"""

import zlib
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
    """The value of the whole set, a number of 0..1, and its basic interval by the part `level` of the draws.

    Draws that leave the number undefined are left out; where they are most of all there are no ends, and none where the
    whole set leaves it undefined.
    """
    found = _percentiles(samples.values[name], samples.draws[name], level)
    if found.value is None or found.low is None or found.high is None:
        return found
    low, high = 2 * found.value - found.high, 2 * found.value - found.low
    return Interval(found.value, max(0.0, min(found.value, low)), min(1.0, max(found.value, high)))


def difference(first: Samples, second: Samples, name: str, level: float = 0.95) -> tuple[Interval, bool]:
    """The number of `first` less that of `second`, between percentiles of the draws, and whether it is a tie: the
    interval holds 0.

    Where one of them is undefined the difference is, which counts as a tie. ValueError where the two have other images
    or draws.
    """
    _check_basis([first, second])
    values = first.values[name], second.values[name]
    value = None if values[0] is None or values[1] is None else values[0] - values[1]
    found = _percentiles(value, first.draws[name] - second.draws[name], level)
    return found, found.low is None or found.high is None or found.low <= 0 <= found.high


def mean_of(seeds: Sequence[Samples], name: str) -> Samples:
    """The mean over the seeds of the model `name`; undefined where it is of one of them.

    Each draw is one of seeds as well as of images, independent of those of other models, whose trainings from the same
    seed have hardly more in common than from others. The seeds' deviations from their mean are widened by
    sqrt(S / (S - 1)) of S seeds, which makes the variance that they bring to the mean an unbiased one. ValueError for
    none, or for others' images, draws or names.
    """
    _check_basis(seeds)
    count, draws = len(seeds), seeds[0].basis[0]
    if count == 1:
        return seeds[0]
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    return _mean_of(seeds, generator.multinomial(count, np.full(count, 1 / count), draws))


def _mean_of(seeds: Sequence[Samples], times: np.ndarray) -> Samples:
    """times: (D, S), how often each seed is in a draw of seeds."""
    count = len(seeds)
    parts = (1 + (times - 1) * np.sqrt(count / (count - 1))) / count  # of each draw 1 in sum
    values = {name: _mean([one.values[name] for one in seeds]) for name in seeds[0].values}
    draws = {name: sum(parts[:, at] * one.draws[name] for at, one in enumerate(seeds)) for name in seeds[0].draws}
    classes = {name: _mean_of([one.per_class[name] for one in seeds], times) for name in seeds[0].per_class}
    return Samples(values, draws, seeds[0].basis, classes)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _percentiles(value: float | None, draws: np.ndarray, level: float) -> Interval:
    known = draws[~np.isnan(draws)]
    if value is None or 2 * known.size < draws.size or not known.size:
        return Interval(value)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Interval(value, low, high)


def _check_basis(samples: Sequence[Samples]) -> None:
    if not samples:
        raise ValueError("no samples")
    if any(one.basis != samples[0].basis or {*one.per_class} != {*samples[0].per_class} for one in samples):
        raise ValueError("samples of other images, draws or classes cannot be compared draw by draw")
