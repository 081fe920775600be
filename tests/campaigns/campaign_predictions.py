"""Damaged predictions files through eval: a table of numbers, or lines that name the result."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

from cases import check_lines
from mutations import damage_bytes, damage_document

from densenets.config import EvalDetection
from densenets.errors import InputError
from densenets.run.detection import evaluate_detection

MEMORY = 2**31
PLACE = re.compile(r"results\[\d+\]|valid JSON|must be a list|image \d+|\d+ images|is no number|without|empty")


def prepare(folder: Path) -> Callable[[random.Random], str]:
    images = [{"id": 10 + i, "file_name": f"{i}.png", "height": 80, "width": 100} for i in range(3)]
    boxes = [(10, 4, [1, 2, 30, 40]), (10, 9, [50, 20, 20, 20]), (11, 4, [0, 0, 100, 80])]
    truth = [{"id": n, "image_id": i, "category_id": k, "bbox": b} for n, (i, k, b) in enumerate(boxes)]
    classes = [{"id": 4, "name": "car"}, {"id": 9, "name": "person"}]
    (folder / "ann.json").write_text(json.dumps({"images": images, "annotations": truth, "categories": classes}))
    for image in images:
        (folder / str(image["file_name"])).touch()
    found = [{"image_id": i, "category_id": k, "bbox": b, "score": 0.9 - n / 10} for n, (i, k, b) in enumerate(boxes)]
    found.append({"image_id": 12, "category_id": 9, "bbox": [5.5, 5.5, 9.25, 9], "score": 0.25})
    file = folder / "predictions.json"
    settings = EvalDetection(
        predictions=str(file), annotations=str(folder / "ann.json"), images=str(folder), partial=True
    )

    def try_one(rng: random.Random) -> str:
        data = json.dumps(found if rng.random() < 0.3 else damage_document(found, rng)).encode("utf-8", "surrogatepass")
        file.write_bytes(damage_bytes(data, rng) if rng.random() < 0.4 else data)
        try:
            numbers = evaluate_detection(settings).results
        except InputError as fault:
            check_lines(str(fault), str(file), PLACE)
            return "refused"
        values = [value for name, value in numbers.items() if re.fullmatch(r"A[PR]\w*", name)]
        assert all(value is None or 0 <= value <= 1 for value in values), numbers
        return "judged"

    return try_one
