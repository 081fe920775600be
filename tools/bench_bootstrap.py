"""Bench of the bootstrap: 1,000 draws of 5,000 images with 100 detections each of 80 classes, in one thread.

    tools/bench_bootstrap.py [--images 5000] [--detections 100] [--draws 1000]

Objects are as many and as large as in COCO; detections are near them (at most two each) or anywhere. Both the matching
and the draws count. Then error types of the same set, and the bootstrap of IoU over as many images of 19 classes.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from densenets.analysis.error_types import errors_of
from densenets.analysis.matching import match
from densenets.analysis.uncertainty import detection_samples, segmentation_samples
from densenets.metrics.image_counts import ImageCounts
from densenets.metrics.predictions import Columns

Found = TypeVar("Found")
CLASSES = 80
WIDTH, HEIGHT = 640, 480
OBJECTS = 7.3  # of an image


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("images", 5000), ("detections", 100), ("draws", 1000)):
        words.add_argument(f"--{name}", type=int, default=value)
    asked = words.parse_args()
    torch.set_num_threads(1)
    truth, results = random_set(asked.images, asked.detections)
    objects, found = len(truth["annotations"]), len(results.image)
    print(f"{asked.images} images, {objects} objects, {found} detections, {CLASSES} classes")
    matched = timed("matching", lambda: match(truth, results))
    samples = timed(f"{asked.draws} draws of every AP", lambda: detection_samples(matched, asked.draws, 0))
    print({name: round(value or 0, 4) for name, value in samples.values.items()})
    timed("error types", lambda: errors_of(matched))
    pixels = np.random.default_rng(0).integers(0, 2**20, (asked.images, 3, 19))
    counts = ImageCounts(np.arange(asked.images), [""] * asked.images, pixels)
    timed(
        f"{asked.draws} draws of every IoU", lambda: segmentation_samples(counts, [*map(str, range(19))], asked.draws)
    )
    print(f"largest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def timed(what: str, work: Callable[[], Found]) -> Found:
    clocks = time.perf_counter(), time.process_time()
    found = work()
    passed, busy = time.perf_counter() - clocks[0], time.process_time() - clocks[1]
    print(f"{what}: {busy:.1f} s of one core ({passed:.1f} s by the clock)", flush=True)
    return found


def random_set(images: int, detections: int) -> tuple[dict, Columns]:
    """A truth, and as many detections for each image."""
    random = np.random.default_rng(0)
    image = np.repeat(np.arange(1, images + 1), random.poisson(OBJECTS, images))
    category = np.minimum(random.geometric(0.05, len(image)), CLASSES)  # few classes have most objects
    box = boxes(random, len(image))
    annotations = [
        {"id": i, "image_id": m, "category_id": k, "bbox": b, "area": 0.7 * b[2] * b[3], "iscrowd": int(i % 80 == 0)}
        for i, (m, k, b) in enumerate(zip(image.tolist(), category.tolist(), box.tolist(), strict=True), start=1)
    ]
    truth = {
        "images": [{"id": i, "width": WIDTH, "height": HEIGHT} for i in range(1, images + 1)],
        "categories": [{"id": k, "name": f"class {k}"} for k in range(1, CLASSES + 1)],
        "annotations": annotations,
    }
    return truth, near(random, image, category, box, images, detections)


def boxes(random: np.random.Generator, count: int) -> np.ndarray:
    size = np.exp(random.uniform(2, 5.7, (count, 2)))
    return np.concatenate([random.uniform(0, 1, (count, 2)) * ([WIDTH, HEIGHT] - size), size], axis=1)


def near(
    random: np.random.Generator, image: np.ndarray, category: np.ndarray, box: np.ndarray, images: int, each: int
) -> Columns:
    """Two detections near each object, the second one worse, and the rest anywhere."""
    shaken = [box + random.normal(0, noise, box.shape) * np.tile(box[:, 2:], 2) for noise in (0.08, 0.2)]
    rest = each * images - 2 * len(image)
    columns = Columns(
        np.concatenate([image, image, random.integers(1, images + 1, rest)]),
        np.concatenate([category, category, random.choice(category, rest)]),
        np.concatenate([random.beta(4, 2, len(image)), random.beta(2, 3, len(image)), random.beta(1, 4, rest)]),
        np.concatenate([*shaken, boxes(random, rest)]),
    )
    columns.box[:, 2:] = np.abs(columns.box[:, 2:]) + 1
    return columns


if __name__ == "__main__":
    main()
