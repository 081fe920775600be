"""comparison.json: the protocol of a comparison as data, written before the first cell begins, and what may change.

A comparison only grows. Started again with the same settings it goes on; cells may come to those that are there where
all else is equal; whatever would make the cells unlike each other is refused and named.
"""

import contextlib
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from densenets import __version__
from densenets.analysis.compare.grid import Plan
from densenets.analysis.compare.supervisor import STATE
from densenets.build import fits
from densenets.errors import InputError, Problems, printable
from densenets.files import file_name, free_name
from densenets.heads import HEADS
from densenets.metrics.predictions import read_json
from densenets.run.folder import LIBRARIES, write_json
from densenets.storage import write_durably

FILE = "comparison.json"
FORMAT = 2
PARTS: dict[str, Any] = {
    "format": int,
    "task": Literal["detection", "segmentation"],
    "alike": dict[str, Any],
    "cells": list[dict[str, Any]],
    "commands": list[list[str]],
}
# Settings of a training that no bit of its result depends on, that the grid sets, or that a digest of the data stands
# for.
LOOSE = {
    *("out", "resume", "workers", "worker_timeout", "save_every", "on_save_error", "allow_config_change"),
    *("backbone", "head", "width", "size", "seed", "weights"),
    *("data", "train_annotations", "train_images", "val_annotations", "val_images"),
}
COMPARED = ("model", "seed", "backbone", "head", "width", "size", "digest", "epochs", "padding", "normalize")
DATA = {"train data": "train_split", "val data": "val_split", "judged data": "split"}  # each digest, and who names it
SHOWN = 80  # characters of a value
TAKEN = ("results.json", "report.html", "results.csv", "plots", "pictures", "config.yaml", "checkpoints")


def alike(training: Any, split: str, threads: int, digests: dict[str, str], trains: bool) -> dict[str, Any]:
    """What is equal for every cell, and has to stay so; where nothing is trained, what the judging depends on."""
    recipe = {name: value for name, value in asdict(training).items() if name not in LOOSE} if trains else {}
    versions = {name: version(name) for name in LIBRARIES}
    content = {**recipe, "split": split, "cell_threads": threads, **digests, "densenets": __version__, **versions}
    told: dict[str, Any] = json.loads(json.dumps(content))
    return told


def _host() -> dict[str, Any]:
    """Where the comparison is started."""
    system = f"{platform.system()} {platform.machine()}"
    return {"host": platform.node(), "system": system, "cores": os.cpu_count(), "python": platform.python_version()}


class Agreed(NamedTuple):
    """What comparison.json says. cells: all of the comparison. asked: those of the present command; no other is run.
    alike: the protocol. commands: in the order they were given."""

    cells: list[Plan]
    asked: list[Plan]
    alike: dict[str, Any]
    commands: list[list[str]]


def agree(out: Path, task: str, equal: dict[str, Any], plans: Sequence[Plan], command: Sequence[str]) -> Agreed:
    """What is asked for, written down in `out` beside what was there. Raises InputError where it is another comparison.

    A cell that is asked for again is what it is now: data and weights of the same digests may lie elsewhere. Of the
    others nothing is done but shown.
    """
    before = read(out) or _nothing(out)
    known = {plan.name: plan for plan in before["cells"]}
    asked = _named(plans, known)
    if "task" in before:
        _refuse_another(out, before, task, equal, asked, known)
    cells = [*{**known, **{plan.name: plan for plan in asked}}.values()]
    commands = [*(line for line in before["commands"] if line != [*command]), [*command]]
    protocol = {**before["alike"], **equal}
    content = {
        "format": FORMAT,
        "task": task,
        "alike": protocol,
        "cells": [asdict(plan) for plan in cells],
        "commands": commands,
        "machine": _host(),
    }
    write_json(out / FILE, content)
    return Agreed(cells, asked, protocol, commands)


def _nothing(out: Path) -> dict[str, Any]:
    """As before the first command. Raises InputError where files lie that it would write over, as of a run or of
    somebody's own, and where there are cells whose protocol nobody knows."""
    found = [name for name in TAKEN if os.path.lexists(out / name)]
    found += ["cells"] * any((out / "cells").glob(f"*/{STATE}"))
    if found:
        raise InputError(f"--out: {printable(out)}: holds {found[0]}, but no {FILE}: not a comparison's; name another")
    return {"cells": [], "alike": {}, "commands": []}


@contextlib.contextmanager
def unless_refused(out: Path) -> Iterator[None]:
    """Where what is agreed on in here is refused after all, comparison.json is as it was."""
    file = out / FILE
    before = file.read_bytes() if file.is_file() else None
    try:
        yield
    except InputError:
        if before is None:
            file.unlink(missing_ok=True)
        else:
            write_durably(file, lambda handle: handle.write(before))
        raise


def read(out: Path) -> dict[str, Any] | None:
    """comparison.json with its cells as plans; None where there is none. Raises InputError for another's file."""
    file = out / FILE
    if not os.path.lexists(file):
        return None
    content = read_json(file)
    sound = isinstance(content, dict) and all(fits(content.get(name), kind) for name, kind in PARTS.items())
    if not sound or content["format"] != FORMAT or not {"judged data", "densenets"} <= content["alike"].keys():
        raise InputError(f"{printable(file)}: not the protocol of a comparison of this version")
    try:
        cells = [_plan(cell) for cell in content["cells"]]
    except (TypeError, KeyError, ValueError) as fault:
        raise InputError(f"{printable(file)}: a cell cannot be one of this version: {printable(fault)}") from fault
    return {**content, "cells": cells}


def threads_of(out: Path) -> int | None:
    """Those that the cells of the comparison in `out` have had."""
    found = (read(out) or {"alike": {}})["alike"].get("cell_threads")
    return found if type(found) is int and found > 0 else None


def _named(plans: Sequence[Plan], known: dict[str, Plan]) -> list[Plan]:
    """A checkpoint that is there already is that cell, wherever it lies now; another of the same name gets a number."""
    there = {plan.digest: plan for plan in known.values() if plan.checkpoint is not None}
    found: list[Plan] = []
    for plan in plans:
        if plan.checkpoint is None:
            found.append(plan)
        elif plan.digest in there:
            found.append(replace(plan, name=there[plan.digest].name, model=there[plan.digest].model))
        else:
            name = free_name(plan.name, {*known, *(one.name for one in [*plans, *found] if one is not plan)})
            found.append(replace(plan, name=name, model=name if plan.model == plan.name else plan.model))
    return found


def _plan(cell: Any) -> Plan:
    """Its name and its model's are those of files, which have to lie inside of the comparison's folder."""
    if not fits(cell, Plan):
        raise ValueError("its values are of other kinds")
    for name in ("name", "model"):
        if file_name(cell[name]) != cell[name]:
            raise ValueError(f"its {name}: {printable(cell[name])}")
    if cell["head"] not in HEADS:
        raise ValueError(f"its head: {printable(cell['head'])}")
    return Plan(**cell)


def _refuse_another(
    out: Path,
    before: dict[str, Any],
    task: str,
    equal: dict[str, Any],
    plans: Sequence[Plan],
    known: dict[str, Plan],
) -> None:
    """One line a flag, for however many cells it is."""
    lines = [] if before["task"] == task else [_another(out, "task", before["task"], task)]
    was = before["alike"]
    changed = {name: (was[name], value) for name, value in equal.items() if name in was and was[name] != value}
    lines += _other_settings(out, changed) + _other_data(out, changed)
    lines += [_another(out, name, *changed[name]) for name in ("densenets", *LIBRARIES) if name in changed]
    for plan in plans:
        if plan.name in known:
            lines += _other_cell(out, known[plan.name], plan)
    problems = Problems()
    for line in dict.fromkeys(lines):
        problems.add(line)
    problems.refuse()


def _other_settings(out: Path, changed: dict[str, tuple[Any, Any]]) -> list[str]:
    """Where no flag names the split that all are judged on, it follows from --val-split, and is not told beside it."""
    own = {name: values for name, values in changed.items() if name not in (*DATA, "densenets", *LIBRARIES)}
    if own.get("split") == own.get("val_split"):
        own.pop("split", None)
    remedies = {"split": f", with --checkpoints {printable(out / 'cells')}/* to judge these trainings there"}
    return [
        _another(out, *one) + remedies.get(name, "") for name, values in own.items() for one in _flags(name, *values)
    ]


def _other_data(out: Path, changed: dict[str, tuple[Any, Any]]) -> list[str]:
    """Of another split they are others anyway."""
    found = [name for name, flag in DATA.items() if name in changed and flag not in changed]
    told = f"{' and '.join(found)} are not those that {printable(out)} was begun with"
    return [f"--data: {told}; name another --out"] if found else []


def _other_cell(out: Path, before: Plan, plan: Plan) -> list[str]:
    pairs = {name: (getattr(before, name), getattr(plan, name)) for name in COMPARED}
    changed = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    lines = []
    if changed.pop("digest", None):
        given = f"{printable(plan.backbone)}={printable(plan.weights)}"
        lines = [f"--pretrained: {given} is not the file that {printable(out)} was begun with; name another --out"]
    return lines + [_another(out, _cell_flag(plan, name), *pair) for name, pair in changed.items()]


def _cell_flag(plan: Plan, name: str) -> str:
    """The flag that a cell has a value from."""
    if plan.checkpoint is not None or name == "model":
        return f"{plan.name}: {name}"
    if name in ("padding", "normalize"):
        return f"--pretrained-{name}" if plan.weights else f"--{name}"
    return "--epochs" if name == "epochs" else f"--{name}s"


def _flags(name: str, was: Any, now: Any) -> list[tuple[str, Any, Any]]:
    """Each flag that differs, with both values: of a group of settings those below it."""
    if not (isinstance(was, dict) and isinstance(now, dict) and was.keys() == now.keys()):
        return [(f"--{name.replace('_', '-')}", was, now)]
    return [one for key in now if was[key] != now[key] for one in _flags(f"{name}.{key}", was[key], now[key])]


def _another(out: Path, name: str, was: object, now: object) -> str:
    before, after = (printable(value)[:SHOWN] for value in (was, now))
    return f"{printable(name)}: {after}, but {printable(out)} was begun with {before}; name another --out"
