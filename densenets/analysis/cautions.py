"""What a reader of a comparison has to know before its numbers: a sentence for each thing, plain text."""

from collections.abc import Mapping, Sequence

from densenets.analysis.comparison import Comparison
from densenets.errors import printable

FEW = 30  # images
SHOWN = 4  # names in a sentence


def cautions(comparison: Comparison) -> list[str]:
    """The gravest first; nothing where no model has a number."""
    if all(model.rank is None for model in comparison.models):
        return []
    told = [_split(comparison), _images(comparison.images), _uneven_seeds(comparison.uneven_seeds)]
    return [line for line in [*told, _one_seed(comparison), _classes(comparison), *_warnings(comparison)] if line]


def _split(comparison: Comparison) -> str:
    split = printable(comparison.split)
    if comparison.split_use == "trained":
        return f"Judged on {split}, which was trained on: the numbers tell how well it was learnt by heart."
    if comparison.split_use == "chosen":
        return (
            f"Judged on {split}, by which each training's best checkpoint was chosen: the numbers are somewhat too "
            f"high. --split names another split."
        )
    return ""


def _images(count: int) -> str:
    told = f"{count} image" if count == 1 else f"Only {count} images"
    return f"{told}: intervals over so few are too narrow, and ranks may be chance." if count < FEW else ""


def _uneven_seeds(seeds: Mapping[str, Sequence[int]]) -> str:
    told = _listed([f"{printable(name)} has {', '.join(map(str, found))}" for name, found in seeds.items()], "; ")
    return f"Not all models have the same seeds: {told}." if told else ""


def _one_seed(comparison: Comparison) -> str:
    if any(model.spread for model in comparison.models):
        return ""
    return "One training each: how far another seed would lead away is not measured, and is no part of the intervals."


def _classes(comparison: Comparison) -> str:
    if not comparison.uneven_classes:
        return ""
    told = _listed([*map(printable, comparison.uneven_classes)], ", ")
    return f"Not in the truth, and so in the mean of those models alone that predict some of it: {told}."


def _warnings(comparison: Comparison) -> list[str]:
    """Those of trainings, each once."""
    cells: dict[str, list[str]] = {}
    for model in comparison.models:
        for cell in model.cells:
            for line in cell.warnings:
                cells.setdefault(line, []).append(cell.name)
    return [f"{_listed([*map(printable, names)], ', ')}: warning: {printable(line)}" for line, names in cells.items()]


def _listed(parts: Sequence[str], between: str) -> str:
    more = [f"{len(parts) - SHOWN} more"] * (len(parts) > SHOWN)
    return between.join([*parts[:SHOWN], *more])
