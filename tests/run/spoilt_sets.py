"""A small set with one thing spoilt, and the commands that are to refuse it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from densenets.cli import main

ROOT = Path(__file__).parent.parent.parent
SMALL = ["--backbone", "v3-small", "--width", "0.5", "--size", "96", "--batch-size", "4", "--epochs", "1"]
SMALL += ["--workers", "0", "--accelerator", "cpu", "--augment", "flip", "--out", "run"]

Document = dict[str, Any]
Spoil = Callable[[Document, Path], Any]


def first(key: str, **values: Any) -> Spoil:
    """Sets values of the first item of a list."""
    return lambda document, folder: document[key][0].update(values)


def box(*numbers: Any) -> Spoil:
    return first("annotations", bbox=list(numbers))


def again(key: str, **changes: Any) -> Spoil:
    return lambda document, folder: document[key].append({**document[key][0], **changes})


def file(data: bytes) -> Spoil:
    """Other bytes in place of the first picture."""
    return lambda document, folder: (folder / document["images"][0]["file_name"]).write_bytes(data)


def link(document: Document, folder: Path) -> None:
    name = document["images"][0]["file_name"]
    (folder / name).rename(folder.parent.parent / "elsewhere.png")
    (folder / name).symlink_to(folder.parent.parent / "elsewhere.png")


def corners(document: Document, folder: Path) -> None:
    for item in document["annotations"]:
        x, y, width, height = item["bbox"]
        item["bbox"] = [x, y, x + width, y + height]


def nothing(document: Document, folder: Path) -> None:
    document.update(images=[], annotations=[])


ITEM = r'annotations\[0\] \(id 1, image 100 "0.png"\): '


def spoiled(shapes: Callable[..., Path], spoil: Spoil) -> Path:
    data = shapes(train=range(4), val=range(4, 6))
    path = data / "annotations" / "instances_train.json"
    document = json.loads(path.read_text())
    spoil(document, data / "train")
    path.write_text(json.dumps(document))
    return data


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The lines of a command that ends with 2."""
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    lines = [line for line in printed.err.splitlines() if line.startswith("densenets: error: ")]
    assert all(line.isprintable() for line in lines)
    return [line.removeprefix("densenets: error: ") for line in lines]


def write_predictions(path: Path) -> None:
    """Something for each picture of the training split."""
    row = {"category_id": 4, "bbox": [1, 1, 9, 9], "score": 0.5}
    path.write_text(json.dumps([{"image_id": number, **row} for number in range(100, 104)]))
