"""How often intervals hold what many images would give, on made-up sets: the figures that README has."""

import sys

import numpy as np
import pytest

from densenets.analysis.matching import match
from densenets.analysis.uncertainty import Samples, detection_samples, difference, interval
from densenets.metrics.predictions import columns_of

MANY = 4000  # images of the sets that stand for all that could have been drawn
QUALITY, WORSE = 0.8, 0.6  # chance that an easy object is found


def samples(seed: int, images: int, classes: int, draws: int, qualities: tuple[float, ...]) -> list[Samples]:
    """Detectors on one set of images, each as hard as it is for all of them; classes fall off in number as 1 / rank."""
    random = np.random.default_rng(seed)
    share = 1 / np.arange(1, classes + 1)
    share /= share.sum()
    hard = random.random(images + 1)
    truth: list[dict] = []
    for image in range(1, images + 1):
        for k in random.choice(classes, size=random.poisson(4), p=share).tolist():
            corner, sides = random.uniform(0, 400, 2), random.uniform(20, 150, 2)
            box = [*corner.tolist(), *sides.tolist()]
            truth.append({"id": len(truth) + 1, "image_id": image, "category_id": k + 1, "bbox": box, "iscrowd": 0})
    listed = {
        "images": [{"id": image} for image in range(1, images + 1)],
        "categories": [{"id": k, "name": str(k)} for k in range(1, classes + 1)],
        "annotations": [{**one, "area": one["bbox"][2] * one["bbox"][3]} for one in truth],
    }
    return [
        detection_samples(match(listed, columns_of(found(random, truth, hard, share, quality))), draws)
        for quality in qualities
    ]


def found(random: np.random.Generator, truth: list[dict], hard: np.ndarray, share: np.ndarray, quality: float) -> list:
    results = []
    for one in truth:
        difficulty = hard[one["image_id"]]
        if random.random() < quality * (1 - 0.4 * difficulty):
            x, y, width, height = one["bbox"]
            off = random.normal(0, 0.12, 4) * np.array([width, height, width, height]) * (0.3 + difficulty)
            box = [x + off[0], y + off[1], max(5.0, width + off[2]), max(5.0, height + off[3])]
            known = {"image_id": one["image_id"], "category_id": one["category_id"], "score": float(random.beta(4, 2))}
            results.append({**known, "bbox": [float(side) for side in box]})
    for image in range(1, len(hard)):
        for k in random.choice(len(share), size=random.poisson(4), p=share).tolist():
            box = [*random.uniform(0, 400, 2).tolist(), *random.uniform(20, 150, 2).tolist()]
            score = float(random.beta(2, 4))
            results.append({"image_id": image, "category_id": k + 1, "bbox": box, "score": score})
    return results


@pytest.mark.slow
@pytest.mark.parametrize(("images", "classes", "sets"), [(72, 3, 100), (100, 20, 60), (500, 20, 40)])
def test_intervals_of_a_score_hold_that_of_many_images_more_often_than_percentiles(
    images: int, classes: int, sets: int, capsys: pytest.CaptureFixture[str]
) -> None:
    true = np.mean([samples(10_000 + s, MANY, classes, 1, (QUALITY,))[0].values["AP"] for s in range(2)])
    held = percentiles = 0
    for seed in range(sets):
        (one,) = samples(seed, images, classes, 400, (QUALITY,))
        ours, ends = interval(one, "AP"), np.nanquantile(one.draws["AP"], [0.025, 0.975])
        held += ours.low <= true <= ours.high  # type: ignore[operator]
        percentiles += ends[0] <= true <= ends[1]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{images} images, {classes} classes: {held} of {sets} intervals, {percentiles} of percentiles\n"
        )
    assert held >= 0.75 * sets
    assert held >= percentiles


@pytest.mark.slow
@pytest.mark.parametrize(("images", "classes", "sets"), [(72, 3, 80), (100, 20, 50)])
def test_paired_differences_hold_that_of_many_images_and_equal_models_are_tied(
    images: int, classes: int, sets: int, capsys: pytest.CaptureFixture[str]
) -> None:
    large = [samples(10_000 + s, MANY, classes, 1, (QUALITY, WORSE)) for s in range(2)]
    true = np.mean([one.values["AP"] - other.values["AP"] for one, other in large])  # type: ignore[operator]
    held = ties = 0
    for seed in range(sets):
        first, same, worse = samples(seed, images, classes, 400, (QUALITY, QUALITY, WORSE))
        between, _ = difference(first, worse, "AP")
        held += between.low <= true <= between.high  # type: ignore[operator]
        ties += difference(first, same, "AP")[1]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{images} images, {classes} classes: {held} of {sets} differences, {ties} of {sets} equal pairs tied\n"
        )
    assert held >= 0.85 * sets
    assert ties >= 0.85 * sets
