"""One process of several that judge the same fixed detections: shards.py RANK WORLD MEETING-FILE OUT SIZE..."""

import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from densenets.contract import Detections, ImageInfo
from densenets.metrics.judge import CocoJudge

IDS = (4, 9, 17)
DETECTIONS = 12


def scene(size: int) -> tuple[dict[str, Any], list[tuple[ImageInfo, list[tuple[list[float], int, float]]]]]:
    """A ground truth of `size` images, and for each its detections (corners, label, score), most of them tied."""
    rng = random.Random(size)
    images, annotations, found = [], [], []
    for image in range(1, size + 1):
        images.append({"id": image, "file_name": f"{image}.jpg", "width": 200, "height": 200})
        boxes = [[x := rng.randint(0, 90), y := rng.randint(0, 90), x + 60, y + 60] for _ in range(3)]
        for x0, y0, x1, y1 in boxes[: rng.randint(0, 3)]:
            row = {"image_id": image, "category_id": rng.choice(IDS), "bbox": [x0, y0, x1 - x0, y1 - y0]}
            annotations.append({"id": len(annotations) + 1, **row, "area": 3600, "iscrowd": int(rng.random() < 0.1)})
        near = [[v + rng.choice([0, 3, 9]) for v in rng.choice(boxes)] for _ in range(rng.randint(0, DETECTIONS))]
        rows = [(box, rng.randrange(3), rng.choice([0.5, 0.5, 0.75, 0.9])) for box in near]
        found.append((ImageInfo(image, f"{image}.jpg", 200, 200, (1.0, 1.0)), rows))
    categories = [{"id": i, "name": f"class {i}"} for i in IDS]
    return {"images": images, "categories": categories, "annotations": annotations}, found


def judged(size: int, rank: int, world: int, folder: Path | None = None) -> dict[str, Any]:
    """The numbers; each rank takes its share in an order of its own, the rows of each image in another order too."""
    truth, found = scene(size)
    rng = random.Random(1000 * world + rank)
    mine = found[rank::world]
    rng.shuffle(mine)
    judge = CocoJudge(truth, IDS, folder)
    judge.reset()
    for info, rows in mine:
        rng.shuffle(rows)
        filled = rows + [([0.0, 0.0, 1.0, 1.0], 0, 0.0)] * (DETECTIONS - len(rows))
        boxes, labels, scores = (torch.tensor([row[i] for row in filled]) for i in range(3))
        judge.add(Detections(boxes[None].float(), labels[None], scores[None]), [info])
    return judge.result()


if __name__ == "__main__":
    own, count = int(sys.argv[1]), int(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[3]}", rank=own, world_size=count)
    results = {size: judged(int(size), own, count, Path(sys.argv[4]).parent) for size in sys.argv[5:]}
    Path(f"{sys.argv[4]}.{own}").write_text(json.dumps(results))
    dist.destroy_process_group()
