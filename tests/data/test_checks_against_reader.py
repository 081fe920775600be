"""Mutated annotation files: the check finds an error where the reader refuses, and its repaired copy is read."""

import copy
import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from densenets.config import ReadingRules
from densenets.data.checks.annotations import judge
from densenets.data.checks.findings import Findings
from densenets.data.checks.pictures import Picture
from densenets.data.checks.repair import Split, write_repaired
from densenets.data.checks.source import read_raw_coco
from densenets.data.coco import load_coco
from densenets.errors import InputError

Document = dict[str, Any]
SEED = 1
ODD = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    3,
    7,
    42,
    90,
    1.5,
    -0.0,
    1e15,
    2**53,
    2**59,
    10**400,
    math.nan,
    math.inf,
    -math.inf,
]
ODD += ["", "a", "a.png", "b.png", "../x", "/etc/passwd", "\ud800", "a\0", [], {}, [1], [1, 2, 3, 4], {"id": 1}]
ODD += [0.0, 100, 80, 101, 81, 120]
SOUND: Document = {
    "images": [
        {"id": 42, "file_name": "a.png", "height": 80, "width": 100},
        {"id": 7, "file_name": "b.png", "height": 80, "width": 100},
        {"id": 9, "file_name": "c.png", "height": 80, "width": 100},
    ],
    "annotations": [
        {"id": 1, "image_id": 42, "category_id": 3, "bbox": [1, 2, 30, 40], "area": 1200, "iscrowd": 0},
        {"id": 2, "image_id": 42, "category_id": 90, "bbox": [10, 20, 30.5, 40], "area": 1220.0, "iscrowd": 0},
        {"id": 3, "image_id": 7, "category_id": 3, "bbox": [0, 0, 100, 80], "area": 8000, "iscrowd": 1},
        {"id": 4, "image_id": 7, "category_id": 90, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0},
        {"id": 5, "image_id": 7, "category_id": 3, "bbox": [50, 50, 20, 20], "area": 400, "iscrowd": 0},
    ],
    "categories": [{"id": 90, "name": "brush"}, {"id": 3, "name": "car"}],
}


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*place, key))


def mutate(document: Document, rng: random.Random) -> Document:
    """Up to three values replaced, removed or doubled."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        *way, last = rng.choice([*places(document)])
        inner: Any = document
        for key in way:
            inner = inner[key]
        chance, value = rng.random(), copy.deepcopy(rng.choice(ODD))
        if chance < 0.65:
            inner[last] = value
        elif chance < 0.8:
            del inner[last]
        elif isinstance(inner, list):
            inner.insert(rng.randint(0, len(inner)), copy.deepcopy(rng.choice([inner[last], value])))
        else:
            inner[rng.choice(list(inner))] = value
        if not document:
            break
    return document


def some_rules(rng: random.Random) -> ReadingRules:
    """Mostly those of a command without flags."""
    flags = {name: rng.random() < 0.2 for name in ("strict", "skip_invalid", "renumber")}
    return ReadingRules(max_skip=1, box_format="xyxy" if rng.random() < 0.1 else "xywh", **flags)


def refusal(file: Path, images: Path, rules: ReadingRules) -> str:
    """What the reader says; nothing where it reads the file."""
    try:
        load_coco(file, images, None, rules)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("count", [1500, pytest.param(20_000, marks=pytest.mark.slow)])
def test_check_and_reader_agree_on_mutated_files(count: int, tmp_path: Path) -> None:
    images, file, fixed = tmp_path / "images", tmp_path / "a.json", tmp_path / "fixed"
    images.mkdir()
    for name in "abc":
        (images / f"{name}.png").write_bytes(b"-")
    rng = random.Random(SEED)
    told = {"read": 0, "refused": 0, "repaired": 0, "beyond repair": 0}
    for number in range(count):
        file.write_text(json.dumps(mutate(copy.deepcopy(SOUND), rng)))
        rules = some_rules(rng)
        refused, findings = refusal(file, images, rules), Findings("s")
        raw = read_raw_coco(file, images, "s", findings)
        judge(raw, rules, findings)
        ends = [finding.level == "error" or (rules.strict and finding.left_out) for finding in findings.found]
        errors = [finding.line for finding, is_end in zip(findings.found, ends, strict=True) if is_end]
        assert bool(errors) == bool(refused), (number, refused, errors)
        told["refused" if refused else "read"] += 1
        mended = judge(raw, rules, Findings(), mend=True)
        pictures = [Picture("", "PNG", "RGB", (80, 100), 1) for _ in mended.files]
        try:
            write_repaired([Split(raw, mended, pictures, findings, rules.box_format)], fixed)
        except InputError:
            assert refused
            assert not fixed.exists()
            told["beyond repair"] += 1
            continue
        again = refusal(fixed / "annotations" / "instances_s.json", fixed / "s", ReadingRules(strict=True, max_skip=0))
        assert not again, (number, again)
        told["repaired"] += 1
        shutil.rmtree(fixed)
    print(f"seed {SEED}, {count} files: {told}")  # noqa: T201
    assert min(told.values()) > count // 50
