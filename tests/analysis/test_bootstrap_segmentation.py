"""mIoU of draws is that of images really drawn; its interval covers the truth as often as it says."""

import math

import numpy as np
import pytest

from densenets.analysis.uncertainty import Samples, difference, interval, segmentation_samples
from densenets.analysis.uncertainty.draws import blocks
from densenets.metrics.image_counts import ImageCounts, pixels_of
from densenets.metrics.segmentation_iou import Counts, Rules, nothing, scores

CLASSES = ("road", "car", "sky")
RULES = Rules(CLASSES)


def matrices(images: int, seed: int = 0) -> np.ndarray:
    """(images, C, C + 1); in most images there is neither a car nor the prediction of one."""
    random = np.random.default_rng(seed)
    found = random.integers(0, 50, (images, 3, 4)) + 200 * np.eye(3, 4, dtype=np.int64)
    rare = np.arange(images) % 8 > 0
    found[rare, 1] = 0
    found[rare, :, 1] = 0
    return found


def counts_of(confusion: np.ndarray) -> ImageCounts:
    images = np.arange(1, len(confusion) + 1)
    return ImageCounts(images, [f"{i}.png" for i in images], np.stack([pixels_of(one) for one in confusion]))


def check_equal(samples: Samples, place: int | None, confusion: np.ndarray) -> None:
    """Of the sum over the images, as results.json has it; place: None for the whole set, to the bit."""
    expected = scores(Counts(confusion, nothing(RULES).objects), RULES)
    sides = [(samples, name, expected[name]) for name in ("mIoU", "pixel_accuracy")]
    sides += [(samples.per_class[name], "IoU", expected["per_class"][name]["IoU"]) for name in CLASSES]
    for side, name, right in sides:
        if place is None:
            assert side.values[name] == right
        elif right is None:
            assert math.isnan(side.draws[name][place])
        else:
            assert side.draws[name][place] == pytest.approx(right, abs=1e-14, rel=0)


def test_a_draw_equals_the_scores_of_its_images() -> None:
    confusion = matrices(9)
    samples = segmentation_samples(counts_of(confusion), CLASSES, draws=70, seed=3)
    check_equal(samples, None, confusion.sum(axis=0))
    times = np.concatenate([weights for _, weights in blocks(9, 70, 3)], axis=1).astype(np.int64)
    for place, drawn in enumerate(times.T):
        check_equal(samples, place, np.repeat(confusion, drawn, axis=0).sum(axis=0))
    assert 0 < np.isnan(samples.per_class["car"].draws["IoU"]).sum() < 70
    assert np.isnan(samples.draws["mIoU"]).sum() == 0


def test_the_images_stand_by_their_ids() -> None:
    """Lines of a file in another order are drawn in the same way."""
    counts = counts_of(matrices(9))
    mixed = np.random.default_rng(1).permutation(9)
    other = ImageCounts(counts.images[mixed], [counts.files[i] for i in mixed], counts.pixels[mixed])
    one, two = (segmentation_samples(part, CLASSES, 5, 3) for part in (counts, other))
    assert (one.values, one.basis) == (two.values, two.basis)
    assert one.draws["mIoU"].tobytes() == two.draws["mIoU"].tobytes()


def test_nothing_to_judge_is_undefined() -> None:
    for images in (0, 4):
        empty = ImageCounts(np.arange(images), [""] * images, np.zeros((images, 3, 3), dtype=np.int64))
        samples = segmentation_samples(empty, CLASSES, 5)
        assert samples.values == {"mIoU": None, "pixel_accuracy": None}
        assert np.isnan(samples.draws["mIoU"]).sum() == 5
        assert interval(samples, "mIoU").high is None


def test_names_have_to_fit() -> None:
    with pytest.raises(ValueError, match="3 classes and 2 names"):
        segmentation_samples(counts_of(matrices(2)), CLASSES[:2])


# Simulated sets whose truth is known


def drawn_images(random: np.random.Generator, images: int, right: float) -> ImageCounts:
    """Images of two classes of 100 px, in each of which another part is right, `right` on the average."""
    part = random.beta(8 * right, 8 * (1 - right), (images, 2))
    hits = random.binomial(100, part)
    missed = 100 - hits
    pixels = np.stack([hits, missed[:, ::-1], missed], axis=1)
    return ImageCounts(np.arange(images), [""] * images, pixels)


def test_the_interval_covers_the_truth() -> None:
    """Of 100 sets 95 are expected; outside 88..99 it lies once in a thousand times."""
    random, right = np.random.default_rng(7), 0.7
    truth = right / (2 - right)  # of many images: hits over hits, extra and missed
    inside = 0
    for seed in range(100):
        found = interval(segmentation_samples(drawn_images(random, 60, right), "ab", 200, seed), "mIoU", 0.95)
        inside += found.low <= truth <= found.high  # type: ignore[operator]
    assert 88 <= inside <= 99


def test_a_tie_is_called_one_as_often_as_it_should_be() -> None:
    """Two models of the same worth, each wrong in its own way on the same images; then one that is better."""
    random = np.random.default_rng(8)
    ties = better = 0
    for seed in range(100):
        one, two, third = (
            segmentation_samples(drawn_images(random, 60, right), "ab", 200, seed) for right in (0.7, 0.7, 0.8)
        )
        ties += difference(one, two, "mIoU")[1]
        better += not difference(third, one, "mIoU")[1]
    assert 88 <= ties <= 99
    assert better > 90
