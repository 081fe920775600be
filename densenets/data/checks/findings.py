"""What a check finds: errors and warnings one by one, notes as counts."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from densenets.errors import printable

Level = Literal["error", "warning"]
CODE = re.compile(r"\s*\[([\w-]+)\]$")
ANY_CODE = re.compile(r"\[(D\d\d)\]")
ITEM = re.compile(r"(categories|images|annotations)\[(\d+)\]")
LISTS = ("categories", "images", "annotations")  # in the order in which a reader judges them
COUNT = re.compile(r"and \d+ more problems")


class Finding(NamedTuple):
    """One problem. file and item say where, `what` is the words; picture: the full path to show, where one is meant.

    code: the kind of fault, such as D07; a word where the list of faults has no number for it. left_out: a training
    leaves the item out, or ends with --strict.
    """

    level: Level
    code: str
    split: str
    file: str
    item: str
    what: str
    picture: str | None = None
    left_out: bool = False

    @property
    def line(self) -> str:
        """FILE: ITEM: what is wrong [CODE], on one line whatever the names are."""
        place = [printable(part) for part in (self.file, self.item) if part]
        return ": ".join([*place, f"{printable(self.what)} [{self.code}]"])


@dataclass
class Findings:
    """Those of one split, or of the whole set (split "")."""

    split: str = ""
    found: list[Finding] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)  # what was put right or is merely worth knowing -> how often

    def error(self, code: str, place: tuple[str, str], what: str, picture: str | None = None) -> None:
        """place: (file, item)."""
        self.found.append(Finding("error", code, self.split, *place, what, picture))

    def warn(self, code: str, place: tuple[str, str], what: str, picture: str | None = None) -> None:
        self.found.append(Finding("warning", code, self.split, *place, what, picture))

    def leave_out(self, code: str, place: tuple[str, str], what: str, picture: str | None = None) -> None:
        """A warning of an item that a training leaves out and goes on."""
        self.found.append(Finding("warning", code, self.split, *place, what, picture, left_out=True))

    def note(self, what: str, times: int = 1) -> None:
        if times:
            self.notes[what] += times

    def refused(self, message: str, file: str = "", unless_known: bool = False) -> None:
        """The lines of an InputError, each an error; unless_known: but for those of errors that were found already.

        file: the one that each line begins with.
        """
        known = {finding.code for finding in self.found if finding.level == "error"} if unless_known else set()
        for line in message.splitlines():
            match, inside = CODE.search(line), ANY_CODE.findall(line)
            code, what = (match[1], line[: match.start()]) if match else (inside[-1] if inside else "input", line)
            if code not in known and not COUNT.fullmatch(line):
                self.error(code, (file, ""), what.removeprefix(f"{printable(file)}: "))


def in_order(found: Sequence[Finding], files: Sequence[str]) -> list[Finding]:
    """Those of one split: of its annotation file as a whole, of the items of its lists, of the pictures `files`."""
    rows = {file: row for row, file in enumerate(files)}

    def place(finding: Finding) -> tuple[int, int]:
        if match := ITEM.match(finding.item):
            return LISTS.index(match[1]), int(match[2])
        return (len(LISTS), rows[finding.file]) if finding.file in rows else (-1, 0)

    return sorted(found, key=place)
