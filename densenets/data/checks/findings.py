"""What a check finds: errors and warnings one by one, notes as counts."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from densenets.errors import printable

Level = Literal["error", "warning"]
CODE = re.compile(r"\s*\[([\w-]+)\]$")
ANY_CODE = re.compile(r"\[(D\d\d)\]")
COUNT = re.compile(r"and \d+ more problems")


class Finding(NamedTuple):
    """One problem. file and item say where, `what` is the words; picture: the full path to show, where one is meant.

    code: the kind of fault, such as D07; a word where the list of faults has no number for it.
    """

    level: Level
    code: str
    split: str
    file: str
    item: str
    what: str
    picture: str | None = None

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
