"""The scores of a comparison: each cell's numbers on draws of the images, their means over seeds, ranks and ties."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densenets.analysis.compare.grid import SOURCE
from densenets.analysis.comparison import EXACT, Difference, Interval, Model
from densenets.analysis.matching import Matched, match
from densenets.analysis.uncertainty import (
    Samples,
    detection_samples,
    difference,
    interval,
    mean_of,
    segmentation_samples,
)
from densenets.errors import InputError, printable
from densenets.metrics.image_counts import IMAGE_COUNTS, read_image_counts
from densenets.metrics.predictions import Columns, read_predictions
from densenets.run.evaluation import RESULTS, read_results

RANKED_BY = {"detection": "AP", "segmentation": "mIoU"}
OF_CLASS = {"detection": "AP", "segmentation": "IoU"}


def predictions_of(folder: Path, judged: Any) -> Columns:
    """What a detector found in the split that all are judged on."""
    return read_predictions(folder / SOURCE["detection"], {*judged.image_ids.tolist()}, {*judged.category_ids.tolist()})


def matched_of(folder: Path, judged: Any) -> Matched:
    return match(judged.ground_truth(), predictions_of(folder, judged))


def samples_of(task: str, folder: Path, judged: Any, draws: int, matched: Callable[[], Matched]) -> dict[str, Any]:
    """The samples of one cell as plain types: those of the set, and of each class the one number that is shown.

    matched: of a detector.
    """
    if task == "detection":
        found = detection_samples(matched(), draws)
    else:
        found = segmentation_samples(read_image_counts(folder / IMAGE_COUNTS), list(judged.classes), draws)
    _refuse_other_numbers(folder, found, RANKED_BY[task])
    return plain(found, OF_CLASS[task])


def _refuse_other_numbers(folder: Path, found: Samples, name: str) -> None:
    """The whole set's number has to be the official one: what lies here would else be of something other."""
    official, ours = read_results(folder / RESULTS).get(name), found.values[name]
    if (official is None) != (ours is None) or (official is not None and abs(official - ours) > 1e-6):
        raise InputError(f"{printable(folder)}: {name} is {official} in {RESULTS}, but {ours} by what lies beside it")


def plain(samples: Samples, of_class: str) -> dict[str, Any]:
    """null: an undefined draw."""
    classes = {
        name: {"value": one.values[of_class], "draws": _listed(one.draws[of_class])}
        for name, one in samples.per_class.items()
    }
    draws = {name: _listed(column) for name, column in samples.draws.items()}
    return {"values": samples.values, "draws": draws, "basis": list(samples.basis), "per_class": classes}


def from_plain(content: Mapping[str, Any], of_class: str) -> Samples:
    basis = (int(content["basis"][0]), int(content["basis"][1]), str(content["basis"][2]))
    classes = {
        name: Samples({of_class: one["value"]}, {of_class: _column(one["draws"])}, basis)
        for name, one in content["per_class"].items()
    }
    draws = {name: _column(column) for name, column in content["draws"].items()}
    return Samples(dict(content["values"]), draws, basis, classes)


def _listed(column: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in column.tolist()]


def _column(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def score(model: Model, seeds: Sequence[Samples], task: str, level: float) -> Samples:
    """Fills in a model's scores, spread and classes; the mean of its seeds."""
    mean = mean_of(seeds, model.name)
    model.scores = {name: interval(mean, name, level) for name in mean.values}
    model.per_class = {name: interval(one, OF_CLASS[task], level) for name, one in mean.per_class.items()}
    if len(seeds) > 1:
        for name in mean.values:
            known = [value for one in seeds if (value := one.values[name]) is not None]
            if known:
                model.spread[name] = (min(known), max(known))
    return mean


def rank(models: Sequence[Model], means: Mapping[str, Samples], ranked_by: str, level: float) -> list[Difference]:
    """Gives every model with a number its rank and its ties; the difference of each pair, the better model first; of
    equal ones that of fewer MAdds.

    A pair whose difference lies inside its interval is a tie. The interval is over images, and over seeds where a model
    has several: of a model with one it does not tell how another seed would have ended.
    """
    order = sorted(
        (model for model in models if _value(model, ranked_by) is not None),
        key=lambda model: (-round(_value(model, ranked_by) or 0.0, EXACT), model.costs.get("madds", math.inf)),
    )
    found = []
    for place, first in enumerate(order):
        first.rank = place + 1
        for second in order[place + 1 :]:
            between, tie = difference(means[first.name], means[second.name], ranked_by, level)
            found.append(Difference(first.name, second.name, between, tie))
            if tie:
                first.ties.append(second.name)
                second.ties.append(first.name)
    return found


def _value(model: Model, name: str) -> float | None:
    return model.scores.get(name, Interval(None)).value
