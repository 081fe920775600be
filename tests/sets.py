"""Random detection sets, and pycocotools called directly on them."""

import contextlib
import copy
import io
import math
import random

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from densenets.metrics.coco_map import NUMBERS

IDS = (3, 7, 20, 90)


def ground_truth(rng: random.Random, images: int = 6, objects: int = 5, crowd: float = 0.1) -> dict:
    """A random set; the category ids have gaps, sizes reach all three of COCO's ranges."""
    annotations = []
    for image in range(images):
        for _ in range(rng.randint(0, objects)):
            w, h = (math.exp(rng.uniform(1.5, 5.5)) for _ in range(2))
            box = [rng.uniform(0, 640 - w), rng.uniform(0, 480 - h), w, h]
            flags = {"area": w * h * rng.uniform(0.5, 1), "iscrowd": int(rng.random() < crowd)}
            head = {"id": len(annotations) + 1, "image_id": 10 * image + 1, "category_id": rng.choice(IDS)}
            annotations.append({**head, "bbox": box, **flags})
    return {
        "images": [{"id": 10 * i + 1, "width": 640, "height": 480, "file_name": f"{i}.jpg"} for i in range(images)],
        "categories": [{"id": i, "name": f"class {i}"} for i in IDS],
        "annotations": annotations,
    }


def shaken(rng: random.Random, truth: dict, noise: float = 0.15, extra: int = 3) -> list[dict]:
    """Detections near the truth, doubles of them and false ones; scores without ties."""
    found = []
    for a in truth["annotations"]:
        for _ in range(rng.randint(0, 2)):
            x, y, w, h = a["bbox"]
            box = [x + rng.gauss(0, noise * w), y + rng.gauss(0, noise * h), w * rng.uniform(0.8, 1.2), h]
            category = a["category_id"] if rng.random() < 0.9 else rng.choice(IDS)
            found.append({"image_id": a["image_id"], "category_id": category, "bbox": box, "score": rng.random()})
    for image in truth["images"]:
        for _ in range(rng.randint(0, extra)):
            box = [rng.uniform(0, 500), rng.uniform(0, 400), rng.uniform(1, 200), rng.uniform(1, 200)]
            category = rng.choice(IDS)
            found.append({"image_id": image["id"], "category_id": category, "bbox": box, "score": rng.random()})
    rng.shuffle(found)
    return found


def direct(truth: dict, results: list[dict]) -> list[float]:
    """pycocotools as its own demo calls it."""
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = copy.deepcopy(truth)
        gt.createIndex()
        judge = COCOeval(gt, gt.loadRes(copy.deepcopy(results)), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return [float(v) for v in judge.stats]


def numbers(metrics: dict) -> list[float | None]:
    return [metrics[name] for name in NUMBERS]


def random_set(seed: int) -> tuple[dict, list[dict]]:
    """Each third set has tied scores, each fiftieth more objects of a class than there are recalls."""
    rng = random.Random(seed)
    many = 30 if seed % 50 == 49 else 1
    truth = ground_truth(rng, images=many * rng.randint(1, 8), objects=rng.randint(1, 8))
    results = shaken(rng, truth, noise=rng.choice([0.02, 0.1, 0.3]))
    for result in results if seed % 3 == 0 else []:
        result["score"] = rng.choice([0.25, 0.5, 0.75])
    return truth, results
