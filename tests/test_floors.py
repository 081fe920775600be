"""Imports only fall: a room may import rooms of lower floors and itself, and no two rooms import each other."""

import ast
from pathlib import Path

import densenets

PACKAGE = Path(densenets.__file__).parent
FLOORS = {
    "layers": 1,
    "boxes": 1,
    "contract": 1,
    "config": 1,
    "errors": 1,
    "storage": 1,
    "files": 1,
    "page": 1,
    "command_line": 1,
    "backbones": 2,
    "heads": 3,
    "training": 3,
    "data": 3,
    "metrics": 3,
    "draw": 3,
    "build": 4,
    "run": 5,
    "analysis": 6,
    "cli": 7,
}
LEAVES = {"contract", "config", "errors", "storage", "files"}  # what training, data, metrics and draw may know


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def arrows() -> list[tuple[str, str, str]]:
    """(file, its room, a room it imports) for every import in the package."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module] + [f"{node.module}.{a.name}" for a in node.names if node.module == "densenets"]
            found += [(str(file), room, room_of(name)) for name in names if name.startswith("densenets.")]
    return [(file, room, other) for file, room, other in found if room not in ("__init__", other) and other in FLOORS]


def test_every_room_has_a_floor() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms - {"__init__", "__main__"} == set(FLOORS)


def test_no_arrow_rises() -> None:
    assert len(arrows()) > 20
    assert not [(file, other) for file, room, other in arrows() if FLOORS[other] >= FLOORS[room] > 1]


def test_the_ground_floor_has_no_circle() -> None:
    ground = {(room, other) for _, room, other in arrows() if FLOORS[room] == FLOORS[other] == 1}
    assert not [(a, b) for a, b in ground if (b, a) in ground]


def test_training_data_metrics_and_draw_know_no_model() -> None:
    shut = [(f, room, other) for f, room, other in arrows() if room in ("training", "data", "metrics", "draw")]
    assert not [row for row in shut if row[2] not in LEAVES]
