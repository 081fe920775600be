"""How a refused resume and a long list of files are told."""

from pathlib import Path

from densenets.run.folder import FILES_SHOWN, Outcome
from densenets.run.resume import _differences


def test_of_long_lists_what_differs_is_told() -> None:
    names = [f"class {number}" for number in range(30)]
    assert _differences("classes of the data", names, [*names[:7], "car", *names[8:]]) == [
        'classes of the data[7]: "car", the run has "class 7"'
    ]
    assert _differences("classes of the data", names, names[1:]) == [
        "classes of the data: 29 of them, the run has 30 of them"
    ]
    assert _differences("--rcnn.sizes", None, [[32.0]]) == ["--rcnn.sizes: [[32.0]], the run has null"]
    assert _differences("--width", 1.0, 1.0) == []


def test_files_that_are_not_shown_are_counted() -> None:
    files = [Path(f"{number}.png") for number in range(FILES_SHOWN + 3)]
    assert str(Outcome({}, "text", files)).splitlines()[-2:] == [f"{FILES_SHOWN - 1}.png", "and 3 more"]
    assert str(Outcome({}, "text", files[:FILES_SHOWN])).splitlines()[-1] == f"{FILES_SHOWN - 1}.png"
