"""Small data sets written to disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from noise import speckled
from PIL import Image

Document = dict[str, Any]


@pytest.fixture
def document() -> Document:
    """Two images of 100x80, three boxes, two categories; ids are sparse and out of order."""
    return {
        "images": [
            {"id": 42, "file_name": "b.png", "height": 80, "width": 100},
            {"id": 7, "file_name": "a.png", "height": 80, "width": 100},
        ],
        "annotations": [
            {"id": 918, "image_id": 7, "category_id": 90, "bbox": [10, 20, 30.5, 40], "area": 700.25, "iscrowd": 0},
            {"id": 5, "image_id": 42, "category_id": 3, "bbox": [0, 0, 100, 80], "area": 8000, "iscrowd": 1},
            {"id": 6, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0},
        ],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 3, "name": "car"}],
    }


@pytest.fixture
def coco(tmp_path: Path) -> Callable[..., Path]:
    """Writes a document (or the text of a file) as split "train" of a COCO folder, with its pictures."""

    def write(content: Document | str, root: Path = tmp_path / "coco", split: str = "train") -> Path:
        (root / "annotations").mkdir(parents=True, exist_ok=True)
        (root / split).mkdir(exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (root / "annotations" / f"instances_{split}.json").write_bytes(text.encode())
        items = content["images"] if isinstance(content, dict) else []
        for name in {item.get("file_name") for item in items if isinstance(item, dict)}:
            if isinstance(name, str) and not {"/", "\0"} & set(name) and name != ".":
                Image.fromarray(speckled(80, 100, seed=len(name))).save(root / split / name)
        return root

    return write
