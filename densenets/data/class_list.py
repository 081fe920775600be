"""The classes of a segmentation set: their names, their ids in its files, their colours, and what is ignored."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from densenets.contract import IGNORED
from densenets.data.decode import read_bytes
from densenets.data.document import read_json
from densenets.data.faults import show
from densenets.errors import InputError, Problems, printable

MOST = 254  # classes: 255 is IGNORED, and one value more stands for an unknown id while a mask is read
UNKNOWN = -1

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ClassList:
    """C classes in label order.

    ids: of each in the set's own masks, 0..255. ignored: ids that are of no class. palette: colours to draw with.
    written: colour -> id, of a set whose masks hold colours; None where they hold ids. groups: names of the groups of
    classes, and the group of each class (-1: none). counted: labels whose instances a mask tells apart. absent: labels
    that the set does not have, whose ids are free ones.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]
    ignored: frozenset[int] = frozenset({IGNORED})
    palette: tuple[Colour, ...] = ()
    written: dict[Colour, int] | None = None
    groups: tuple[tuple[str, ...], tuple[int, ...]] | None = None
    counted: frozenset[int] = frozenset()
    absent: frozenset[int] = frozenset()

    def table(self) -> np.ndarray:
        """(256,) int16: id in a file -> label, IGNORED or UNKNOWN."""
        labels = np.full(256, UNKNOWN, dtype=np.int16)
        labels[list(self.ignored)] = IGNORED
        for label, number in enumerate(self.ids):
            if label not in self.absent:
                labels[number] = label
        return labels

    def colours(self) -> np.ndarray:
        """(C, 3) uint8, all different where the set brings none."""
        palette = self.palette or tuple(map(distinct_colour, range(1, len(self.names) + 1)))
        return np.array(palette, dtype=np.uint8).reshape(-1, 3)

    def in_order(self, asked: Sequence[str] | None, file: Path) -> "ClassList":
        """With the labels in the order of the names asked for, which may be more; InputError for a class that is not
        among them."""
        if asked is None or tuple(asked) == self.names:
            return self
        problems = Problems()
        for place, name in enumerate(asked):
            if not name or name in asked[:place]:
                problems.add(f"--classes: class {show(name)} {'stands twice [D18]' if name else 'has no name [D37]'}")
        if len(asked) > MOST:
            problems.add(f"--classes: {len(asked)} classes; 1 to {MOST} can be told apart [D36]")
        wanted = printable(", ".join(asked[:20])) + (", ..." if len(asked) > 20 else "")
        for name in self.names:
            if name not in asked:
                problems.add(
                    f"{printable(file)}: class {show(name)} is not among the classes asked for: {wanted} [D22]"
                )
        problems.refuse()
        return self._taken([self.names.index(name) if name in self.names else None for name in asked], asked)

    def _taken(self, rows: list[int | None], names: Sequence[str]) -> "ClassList":
        """These rows under these names; None is a class that the set does not have."""
        own = self.colours().tolist()
        free = iter(number for number in range(255) if number not in {*self.ids, *self.ignored})
        groups = self.groups
        if groups is not None:
            groups = (groups[0], tuple(-1 if row is None else groups[1][row] for row in rows))
        return replace(
            self,
            names=tuple(names),
            ids=tuple(next(free, 0) if row is None else self.ids[row] for row in rows),
            palette=tuple(distinct_colour(k) if row is None else tuple(own[row]) for k, row in enumerate(rows, 1)),
            groups=groups,
            counted=frozenset(label for label, row in enumerate(rows) if row in self.counted),
            absent=frozenset(label for label, row in enumerate(rows) if row is None),
        )

    def ignoring(self, ids: Collection[int]) -> "ClassList":
        """With these ids ignored too; InputError for the id of a class."""
        for number in ids:
            if not 0 <= number <= 255:
                raise InputError(f"--ignore-ids: {number}: an id of a mask is 0 to 255")
            if number in self.ids:
                name = self.names[self.ids.index(number)]
                raise InputError(f"--ignore-ids: {number} is the id of class {show(name)}")
        return replace(self, ignored=self.ignored | set(ids))


def distinct_colour(number: int) -> Colour:
    """The colour of a number from 0 to 255 in Pascal VOC's palette: its bits in turn, from the highest of red, green
    and blue on. 0 is black."""
    return tuple(  # type: ignore[return-value]
        sum(((number >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3)) for channel in range(3)
    )


def named_classes(names: Sequence[str], where: str) -> ClassList:
    """Names whose ids are their places, from 0."""
    return _checked([{"name": name} for name in names], where)


def read_classes(file: Path) -> ClassList:
    """classes.txt: a name a line, whose id is the number of the line, from 0.

    classes.json: a list of names, or of objects with "name" and optionally "id" (else the place in the list), "color"
    ([r, g, b]: of a set whose masks hold colours) and "ignored" (true: of no class).
    """
    if file.suffix == ".json":
        return _checked(_rows(read_json(file), file), printable(file))
    try:
        lines = read_bytes(file).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{printable(file)}: not text in UTF-8 [D37]") from error
    while lines and not lines[-1].strip():
        lines.pop()
    return _checked([{"name": line.strip()} for line in lines], printable(file))


def _rows(content: Any, file: Path) -> list[dict[str, Any]]:
    if type(content) is not list:
        raise InputError(f"{printable(file)}: must be a list of names, or of objects with a name each [D37]")
    return [{"name": row} if type(row) is str else row if type(row) is dict else {} for row in content]


def _checked(rows: list[dict[str, Any]], where: str) -> ClassList:
    problems = Problems()
    rows = [{"id": place, **row} for place, row in enumerate(rows)]
    for place, row in enumerate(rows):
        for fault in _faults(row, rows[:place]):
            problems.add(f"{where}: class[{place}] ({show(row.get('name'))}): {fault}")
    problems.refuse()
    classes = [row for row in rows if not row.get("ignored")]
    if not 1 <= len(classes) <= MOST:
        raise InputError(f"{where}: {len(classes)} classes; 1 to {MOST} can be told apart [D36]")
    coloured = all("color" in row for row in rows)
    return ClassList(
        names=tuple(row["name"] for row in classes),
        ids=tuple(row["id"] for row in classes),
        ignored=frozenset({IGNORED, *(row["id"] for row in rows if row.get("ignored"))}),
        palette=tuple(tuple(row["color"]) for row in classes) if coloured else (),
        written={tuple(row["color"]): row["id"] for row in rows} if coloured else None,
    )


def _faults(row: dict[str, Any], before: list[dict[str, Any]]) -> list[str]:
    """What is wrong with a class that comes after others."""
    faults = []
    ignored = bool(row.get("ignored"))
    if not ignored and (type(row.get("name")) is not str or not row["name"]):
        faults.append("has no name [D37]")
    if type(row["id"]) is not int or not 0 <= row["id"] <= 255:
        faults.append(f"id {show(row['id'])} is not a whole number from 0 to 255 [D37]")
    elif row["id"] == IGNORED and not ignored:
        faults.append(f"id {IGNORED} is of no class in any mask [D18]")
    if "color" in row and not _is_colour(row["color"]):
        faults.append(f"color {show(row['color'])} is not three whole numbers from 0 to 255 [D37]")
    for key in ("id", "color") if ignored else ("name", "id", "color"):
        if key in row and any(key in other and other[key] == row[key] for other in before):
            faults.append(f"{key} {show(row[key])} stands twice [D18]")
    return faults


def _is_colour(value: Any) -> bool:
    return type(value) is list and len(value) == 3 and all(type(part) is int and 0 <= part <= 255 for part in value)
