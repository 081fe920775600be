"""A small detection set that a net can learn by heart: bright shapes on noise, three classes, COCO layout."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = ((230, 40, 40), (40, 220, 60), (60, 80, 240))
CATEGORY_IDS = (4, 9, 17)  # sparse, as COCO's are
SIDE = 128


def paint(index: int) -> tuple[np.ndarray, list[tuple[int, list[int]]]]:
    """One picture, and (class, [x, y, width, height]) of its two objects; every fifth picture has none."""
    rng = np.random.default_rng(index)
    image = rng.integers(90, 130, (SIDE, SIDE, 3), dtype=np.uint8)
    objects = []
    for place in range(2 if index % 5 != 4 else 0):
        kind = int(rng.integers(3))
        width, height = (int(side) for side in rng.integers(30, 50, 2))
        x, y = int(rng.integers(4, 10)) + 62 * place, int(rng.integers(4, SIDE - height - 4))
        image[y : y + height, x : x + width] = COLOURS[kind]
        objects.append((kind, [x, y, width, height]))
    return image, objects


def write_split(root: Path, split: str, numbers: range) -> None:
    (root / split).mkdir()
    images, annotations = [], []
    for number in numbers:
        picture, objects = paint(number)
        Image.fromarray(picture).save(root / split / f"{number}.png")
        images.append({"id": 100 + number, "file_name": f"{number}.png", "height": SIDE, "width": SIDE})
        for kind, box in objects:
            area = box[2] * box[3]
            row = {"image_id": 100 + number, "category_id": CATEGORY_IDS[kind], "bbox": box, "area": area, "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, **row})
    categories = [{"id": i, "name": name} for i, name in zip(CATEGORY_IDS, ("red", "green", "blue"), strict=True)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))
