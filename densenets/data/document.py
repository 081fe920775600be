"""A JSON document, and its lists as columns: each is checked as a whole, only faults are looked at one by one."""

import gc
import json
import math
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from densenets.data.decode import read_bytes
from densenets.data.faults import Faults, show
from densenets.errors import InputError, Problems, printable

LARGEST_ID = 2**53  # beyond it a float cannot hold every whole number

Item = dict[str, Any]


class NotANumber(str):
    """NaN, Infinity or -Infinity, which Python's reader takes and JSON does not have."""


def read_json(path: Path, segmentation: bool = False) -> Any:
    """Strict JSON in UTF-8: no NaN or Infinity, no key twice, no byte order mark.

    segmentation: keep this key, which is most of COCO's bytes; boxes need none of it.
    """
    document, constants = _parse(path, segmentation)
    if constants:
        whole = document if segmentation else _parse(path, segmentation=True)[0]
        problems = Problems()
        for place, value in _not_numbers(whole):
            problems.add(f"{printable(path)}: {printable(place)} is {value}, which is no number [D09]")
        problems.refuse()
    return document


def _parse(path: Path, segmentation: bool) -> tuple[Any, list[NotANumber]]:
    """The document, and what in it is not a number."""
    constants: list[NotANumber] = []

    def constant(name: str) -> NotANumber:
        constants.append(NotANumber(name))
        return constants[-1]

    collecting = gc.isenabled()
    gc.disable()  # millions of small objects, and no cycle among them
    try:
        hook = _unique if segmentation else _unique_and_bare
        return json.loads(read_bytes(path).decode(), object_pairs_hook=hook, parse_constant=constant), constants
    except RecursionError as error:
        raise InputError(f"{printable(path)}: not valid JSON: nested too deeply [D37]") from error
    except ValueError as error:  # also UnicodeDecodeError and a number of thousands of digits
        raise InputError(f"{printable(path)}: not valid JSON: {printable(error)} [D37]") from error
    finally:
        if collecting:
            gc.enable()


def _unique(pairs: list[tuple[str, Any]]) -> Item:
    item = dict(pairs)
    if len(item) != len(pairs):
        keys = [key for key, _ in pairs]
        place = next(place for place in first_places(keys, np.zeros(len(keys), dtype=bool)) if place >= 0)
        raise ValueError(f"the key {show(keys[place])} stands twice in {show(item)}")
    return item


def _unique_and_bare(pairs: list[tuple[str, Any]]) -> Item:
    item = _unique(pairs)
    item.pop("segmentation", None)
    return item


def _not_numbers(document: Any) -> Iterator[tuple[str, NotANumber]]:
    """Each with its place, as annotations[17].bbox[2]."""
    waiting = [("", document)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, NotANumber):
            yield place.lstrip(".") or "the document", value
        elif isinstance(value, dict):
            waiting += [(f"{place}.{key}", inner) for key, inner in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [(f"{place}[{i}]", value[i]) for i in reversed(range(len(value)))]


class Items:
    """The objects of the list `key`, by column. What is wrong with them goes to `faults`, and a filler takes its place.

    describe: the words that name an item beside its position. left_out: positions that do not count.
    """

    def __init__(
        self, document: Any, key: str, path: Path, describe: Callable[[Item], str], left_out: Collection[int] = ()
    ) -> None:
        found = document.get(key) if isinstance(document, dict) else None
        if not isinstance(found, list):
            raise InputError(f"{printable(path)}: has no list {show(key)}; is it a COCO annotation file? [D37]")
        self.key, self.path, self.describe = key, path, describe
        self.places = [place for place in range(len(found)) if place not in left_out]
        self.items: list[Item] = [found[place] for place in self.places]
        self.faults = Faults(len(self.items), lambda row: (str(path), self.name(row)))
        if not set(map(type, self.items)) <= {dict}:
            self.faults.add(
                np.array([type(item) is not dict for item in self.items]), lambda _: "is not an object [D37]"
            )
            self.items = [item if type(item) is dict else {} for item in self.items]

    def __len__(self) -> int:
        return len(self.items)

    def name(self, row: int) -> str:
        """The words that name the item in an error."""
        return f"{self.key}[{self.places[row]}] ({self.describe(self.items[row])})"

    def values(self, key: str, kinds: set[type], what: str, filler: Any, default: Any = None) -> list[Any]:
        """`key` of every item, each of a type in `kinds`; a bool is no int. default: where an item has none."""
        values = [item.get(key, default) for item in self.items]
        if set(map(type, values)) <= kinds:
            return values

        def words(row: int) -> str:
            found = f"is {show(values[row])}" if key in self.items[row] else "is missing"
            return f"{key} {found}; it must be {what} [D37]"

        odd = [type(value) not in kinds for value in values]
        self.faults.add(np.array(odd), words)
        return [filler if is_odd else value for value, is_odd in zip(values, odd, strict=True)]

    def whole(self, key: str) -> np.ndarray:
        """(len,) int64."""
        values = self.values(key, {int}, "a whole number", filler=0)
        if values and (min(values) <= -LARGEST_ID or max(values) >= LARGEST_ID):
            large = [abs(value) >= LARGEST_ID for value in values]
            self.faults.add(np.array(large), lambda row: f"{key} is beyond 2^53 [D37]")
            values = [0 if is_large else value for value, is_large in zip(values, large, strict=True)]
        return np.array(values, dtype=np.int64)

    def unique(self, values: list[Any], what: str, code: str) -> None:
        """A fault of each item whose value stood before; `what` names the value."""
        if len(set(values)) == len(values):
            return
        first = first_places(values, self.faults.bad)
        twice = np.array([place >= 0 for place in first])
        self.faults.add(twice, lambda row: f"its {what} is that of {self.name(first[row])} too {code}")


def first_places(values: list[Any], ignored: np.ndarray) -> list[int]:
    """Where each value stood first, or -1 where it stands first; rows that are ignored count as neither."""
    seen: dict[Any, int] = {}
    return [
        -1 if skip or (place := seen.setdefault(value, row)) == row else place
        for row, (value, skip) in enumerate(zip(values, ignored.tolist(), strict=True))
    ]


def floats(values: list[Any]) -> np.ndarray:
    """(len(values),) float64; infinite where a whole number of hundreds of digits has no float."""
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        return np.array([_float(value) for value in values], dtype=np.float64)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
