"""What reading left out or put right, in lines for the user and in a file."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from densenets.data.decode import reason
from densenets.data.faults import Skip, count_reasons
from densenets.errors import StorageError, printable
from densenets.files import check_file


class Reading(Protocol):
    """What the splits of all tasks tell of their reading. kept: annotations that were not left out; remarks: what was
    put right or is remarkable -> how often."""

    @property
    def skips(self) -> tuple[Skip, ...]: ...
    @property
    def kept(self) -> int: ...
    @property
    def remarks(self) -> dict[str, int]: ...


def skip_report(splits: Sequence[Reading], listing: Path | None = None) -> list[str]:
    """A line with the count of all annotations that were left out, by reason, where any were.

    listing: the file that `write_skips` named them in; without one the line names the first.
    """
    skips = [skip for split in splits for skip in split.skips]
    if not skips:
        return []
    total = sum(split.kept + len(split.skips) for split in splits)
    first = f"the first: {printable(skips[0].file)}: {skips[0].item}"
    where = first if listing is None else f"list: {printable(listing)}"
    return [f"skipped {len(skips)} of {total} annotations: {count_reasons(skips)}; {where}"]


def note_report(splits: Sequence[Reading]) -> list[str]:
    """A line with the count of all that was put right or is remarkable, where anything is."""
    counts: dict[str, int] = {}
    for split in splits:
        for what, count in split.remarks.items():
            counts[what] = counts.get(what, 0) + count
    told = [f"{count} {what}" for what, count in counts.items() if count]
    return [f"read with {', '.join(told)}"] if told else []


def write_skips(path: Path, skips: Iterable[Skip]) -> None:
    """Append a JSON line for each: file, item, reason, code; none that is there already. Raises StorageError."""
    lines = [json.dumps(skip._asdict()) for skip in skips]
    if not lines:
        return
    if os.path.lexists(path):
        check_file(path)
    try:
        known = set(path.read_text().splitlines()) if path.exists() else set()
        with path.open("a") as handle:
            handle.writelines(f"{line}\n" for line in lines if line not in known)
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{printable(path)}: cannot be written: {reason(error)}") from error
