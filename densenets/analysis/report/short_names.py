"""Models by the part of their names in which they differ: v1 and v2 in place of v1-ssdlite-320 and v2-ssdlite-320."""

from dataclasses import replace
from itertools import takewhile

from densenets.analysis.comparison import Comparison

BETWEEN = "-"


def shared_end(names: list[str]) -> str:
    """The words that all names end with, as far as each has a word before them; "" of less than two names."""
    words = [name.split(BETWEEN) for name in names]
    if len(words) < 2:
        return ""
    behind = [list(reversed(each[1:])) for each in words]
    alike = list(takewhile(lambda column: len(set(column)) == 1, zip(*behind, strict=False)))
    return "".join(BETWEEN + column[0] for column in reversed(alike))


def without_end(comparison: Comparison, end: str) -> Comparison:
    """The same with every model's name less `end`; cells keep theirs, by which their folders are called."""

    def short(name: str) -> str:
        return name.removesuffix(end)

    models = [
        replace(
            model,
            name=short(model.name),
            ties=[short(name) for name in model.ties],
            cells=[replace(cell, model=short(cell.model)) for cell in model.cells],
        )
        for model in comparison.models
    ]
    pictures = [
        replace(
            picture,
            predictions={short(name): file for name, file in picture.predictions.items()},
            empty=[short(name) for name in picture.empty],
        )
        for picture in comparison.pictures
    ]
    differences = [replace(row, first=short(row.first), second=short(row.second)) for row in comparison.differences]
    return replace(comparison, models=models, pictures=pictures, differences=differences)
