"""Every AP of a draw equals the official program's on images that are really copied; intervals cover the truth."""

import copy
import importlib
import random
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sets import IDS, ground_truth, random_set, shaken

from densenets.analysis.matching import match
from densenets.analysis.uncertainty import Samples, detection_samples, difference, interval, mean_of
from densenets.analysis.uncertainty import draws as draws_module
from densenets.analysis.uncertainty.detection import NAMES
from densenets.analysis.uncertainty.draws import blocks
from densenets.metrics.coco_map import evaluate
from densenets.metrics.predictions import columns_of

CLASS_NAMES = [f"class {number}" for number in IDS]


def multiplicities(images: int, draws: int, seed: int) -> np.ndarray:
    """(images, draws)"""
    return np.concatenate([weights for _, weights in blocks(images, draws, seed)], axis=1)


def copied(truth: dict, results: list[dict], times: list[int]) -> tuple[dict, list[dict]]:
    """Each image as often as it is drawn, with ids of its own; copies of an image follow each other."""
    images, annotations, found = [], [], []
    for image, often in zip(sorted(truth["images"], key=lambda one: one["id"]), times, strict=True):
        for _ in range(often):
            new = len(images) + 1
            images.append({**image, "id": new})
            for a in truth["annotations"]:
                if a["image_id"] == image["id"]:
                    annotations.append({**a, "id": len(annotations) + 1, "image_id": new})
            found += [{**r, "image_id": new} for r in results if r["image_id"] == image["id"]]
    return {**truth, "images": images, "annotations": annotations}, found


def check_equal(samples: Samples, place: int | None, expected: dict, limit: float) -> int:
    """Of a draw, or of the whole set; how many numbers are undefined."""
    sides = [(samples, name, expected[name]) for name in NAMES]
    for one in CLASS_NAMES:
        sides += [(samples.per_class[one], name, expected["per_class"][one][name]) for name in ("AP", "AP50")]
    none = 0
    for side, name, right in sides:
        value = side.values[name] if place is None else side.draws[name][place]
        if right is None:
            assert value is None or (place is not None and np.isnan(value))
            none += 1
        else:
            assert value == pytest.approx(right, abs=limit, rel=0)
    return none


def test_the_whole_set_has_the_official_numbers() -> None:
    """Equal scores, crowds, images without objects or without detections are among the sets."""
    none = 0
    for seed in range(40):
        truth, results = random_set(seed)
        none += check_equal(
            detection_samples(match(truth, columns_of(results)), 1), None, evaluate(truth, results), 1e-12
        )
    assert none


@pytest.mark.parametrize("seed", range(6))
def test_a_draw_equals_the_official_numbers_of_copied_images(seed: int) -> None:
    rng = random.Random(seed)
    truth = ground_truth(rng, images=12, objects=6, crowd=0.2)
    results = shaken(rng, truth, noise=[0.05, 0.15, 0.3][seed % 3])
    samples = detection_samples(match(truth, columns_of(results)), 6, seed)
    times = multiplicities(12, 6, seed).astype(int)
    assert times.max() > 2
    assert (times.sum(axis=0) == 12).all()
    for place in range(6):
        again, found = copied(truth, results, times[:, place].tolist())
        check_equal(samples, place, evaluate(again, found), 1e-9)
        for name in ("APs", "APm", "APl"):  # of a class: the official numbers of a set of that class alone
            for number, one in zip(IDS, CLASS_NAMES, strict=True):
                mine, theirs = (
                    [item for item in items if item["category_id"] == number] for items in (again["annotations"], found)
                )
                right = evaluate({**again, "annotations": mine}, theirs)[name]
                value = samples.per_class[one].draws[name][place]
                assert np.isnan(value) if right is None else value == pytest.approx(right, abs=1e-9, rel=0)


@pytest.mark.parametrize(("steps", "tied", "limit"), [(100, 0.0, 1e-12), (20, 0.07, 0.003), (4, 0.4, 0.015)])
def test_equal_scores_of_a_class_in_an_image_are_the_one_difference(steps: int, tied: float, limit: float) -> None:
    """Scores as whole hundredths have none that are equal there, as twentieths a few, as quarters more than a third."""
    shares, worst = [], []
    for seed in range(4):
        rng = random.Random(seed)
        truth = ground_truth(rng, images=12, objects=6, crowd=0.0)
        results = shaken(rng, truth)
        for result in results:
            result["score"] = max(1, round(result["score"] * steps)) / steps
        equal = Counter((one["image_id"], one["category_id"], one["score"]) for one in results)
        shares.append(sum(count for count in equal.values() if count > 1) / len(results))
        samples = detection_samples(match(truth, columns_of(results)), 2, seed)
        for place, times in enumerate(multiplicities(12, 2, seed).astype(int).T.tolist()):
            worst.append(abs(samples.draws["AP"][place] - evaluate(*copied(truth, results, times))["AP"]))
    assert np.mean(shares) == pytest.approx(tied, abs=0.02)
    assert max(worst) < limit
    assert max(worst) > 1e-4 or not tied


def test_of_a_class_a_hundred_detections_an_image_count() -> None:
    """What is beyond them would find the objects."""
    rng = random.Random(3)
    truth = ground_truth(rng, images=3, objects=9, crowd=0.1)
    truth["annotations"] = [{**a, "category_id": IDS[0]} for a in truth["annotations"]]
    false = [
        {"image_id": image["id"], "category_id": IDS[0], "bbox": [600, 440, 30, 30], "score": 0.5 + 0.4 * rng.random()}
        for image in truth["images"]
        for _ in range(96)
    ]
    found = [
        {"image_id": a["image_id"], "category_id": IDS[0], "bbox": a["bbox"], "score": rng.random()}
        for a in truth["annotations"]
    ]
    expected = evaluate(truth, found + false)
    assert expected["counts"]["cut"] > 0
    samples = detection_samples(match(truth, columns_of(found + false)), 4, 1)
    assert 0 < expected["AP"] != evaluate(truth, [f for f in found + false if f["score"] > 0.3])["AP"]
    check_equal(samples, None, expected, 1e-12)
    for place, times in enumerate(multiplicities(3, 4, 1).astype(int).T.tolist()):
        check_equal(samples, place, evaluate(*copied(truth, found + false, times)), 1e-9)


def test_more_draws_and_smaller_blocks_change_no_bit(
    truth: dict, results: list[dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = detection_samples(match(truth, columns_of(results)), 70, 5)
    again = detection_samples(match(truth, columns_of(results)), 70, 5)
    monkeypatch.setattr(draws_module, "_MOST", 20)  # 3 draws a block
    assert next(blocks(6, 70, 5))[1].shape == (6, 3)
    blocked = detection_samples(match(truth, columns_of(results)), 90, 5)
    for name in NAMES:
        assert first.draws[name].tobytes() == again.draws[name].tobytes()
        assert first.draws[name].tobytes() == blocked.draws[name][:70].tobytes()
    assert not np.array_equal(
        first.draws["AP"], detection_samples(match(truth, columns_of(results)), 70, 6).draws["AP"]
    )


def test_the_order_of_everything_changes_no_bit(truth: dict, results: list[dict]) -> None:
    """But for objects of one image and class with the very same IoU, where COCO's own order counts."""
    first = detection_samples(match(truth, columns_of(results)), 8, 2)
    mixed = copy.deepcopy(truth)
    for part in ("images", "categories"):
        random.Random(1).shuffle(mixed[part])
    random.Random(2).shuffle(results)
    again = detection_samples(match(mixed, columns_of(results)), 8, 2)
    assert first.values == again.values
    assert all(first.draws[name].tobytes() == again.draws[name].tobytes() for name in NAMES)
    assert {*first.per_class} == {*again.per_class}


def test_nothing_found_is_0_and_nothing_to_find_is_undefined(truth: dict, results: list[dict]) -> None:
    nothing = detection_samples(match(truth, columns_of([])), 5, 0)
    assert nothing.values["AP"] == 0
    assert not nothing.draws["AP"].any()
    empty = detection_samples(match({**truth, "annotations": []}, columns_of(results)), 5, 0)
    assert empty.values == dict.fromkeys(NAMES)
    assert np.isnan(empty.draws["AP"]).sum() == 5
    assert interval(empty, "AP").low is None
    assert difference(empty, nothing, "AP")[1]
    none = detection_samples(match({**truth, "images": [], "annotations": []}, columns_of([])), 5, 0)
    assert np.isnan(none.draws["AP50"]).sum() == 5


def test_draws_without_an_object_of_a_class_are_left_out_and_counted() -> None:
    rng = random.Random(1)
    truth = ground_truth(rng, images=5, objects=4, crowd=0)
    alone = truth["images"][2]["id"]
    truth["annotations"] = [
        {**a, "category_id": IDS[0] if a["image_id"] == alone else IDS[1]} for a in truth["annotations"]
    ]
    assert any(a["category_id"] == IDS[0] for a in truth["annotations"])
    results = shaken(rng, truth)
    samples = detection_samples(match(truth, columns_of(results)), 50, 0)
    times = multiplicities(5, 50, 0)[2]
    rare = samples.per_class["class 3"]
    assert 0 < np.isnan(rare.draws["AP"]).sum() == (times == 0).sum() < 50
    assert np.isnan(samples.draws["AP"]).sum() == 0
    found = interval(rare, "AP", 0.9)
    assert found.low is not None
    assert not np.isnan([found.low, found.high]).any()


@pytest.mark.slow
def test_5000_images_and_1000_draws_take_less_than_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one core, the matching included; 12 s where it was written."""
    tools = Path(__file__).parent.parent.parent / "tools"
    monkeypatch.syspath_prepend(str(tools))
    truth, results = importlib.import_module("bench_bootstrap").random_set(5000, 100)
    assert len(results.image) == 500_000
    started = time.process_time()
    detection_samples(match(truth, results), 1000, 0)
    assert time.process_time() - started < 60


# Intervals


def samples(value: float | None, draws: list[float], basis: tuple[int, int, str] = (4, 0, "a")) -> Samples:
    return Samples({"AP": value}, {"AP": np.array(draws)}, basis)


def ends(value: float, draws: list[float]) -> tuple[float | None, float | None, float | None]:
    found = interval(samples(value, draws), "AP", 0.9)
    return found.value, found.low, found.high


def test_an_interval_turns_the_percentiles_of_the_draws_about_the_value() -> None:
    """The percentiles are 0.45 and 0.63: 0.05 below the value and 0.13 above. Its ends are 0.13 below, 0.05 above."""
    draws = [*np.linspace(0.44, 0.64, 101).tolist(), float("nan")]
    assert ends(0.5, draws) == pytest.approx((0.5, 0.37, 0.55))


def test_an_interval_holds_its_value_and_numbers_of_0_to_1_alone() -> None:
    assert ends(0.9, np.linspace(0, 1, 101).tolist()) == pytest.approx((0.9, 0.85, 1.0))
    assert ends(0.1, np.linspace(0, 1, 101).tolist()) == pytest.approx((0.1, 0.0, 0.15))
    assert ends(0.4, np.linspace(0.5, 0.6, 101).tolist()) == pytest.approx((0.4, 0.205, 0.4))
    assert ends(0.7, np.linspace(0.5, 0.6, 101).tolist()) == pytest.approx((0.7, 0.7, 0.895))


def test_an_interval_has_no_ends_where_most_draws_are_undefined() -> None:
    nothing = float("nan")
    assert ends(0.5, [0.4, nothing, nothing]) == (0.5, None, None)
    assert ends(0.5, [0.4, nothing])[1] is not None
    assert difference(samples(0.5, [0.4, nothing, nothing]), samples(0.1, [0.1] * 3), "AP")[1]  # a tie


def of_seeds(*seeds: tuple[float | None, float], draws: int = 4000) -> Samples:
    """value and what every draw has, so that all that varies is the seed."""
    basis = (draws, 0, "a")
    return mean_of([Samples({"AP": value}, {"AP": np.full(draws, drawn)}, basis) for value, drawn in seeds], "v2")


def test_the_mean_over_seeds_varies_with_the_seeds_that_are_drawn() -> None:
    """The variance of the mean of S is the unbiased one of the seeds, by S; here (0.1 ** 2 * 2 / 2) / 3."""
    three = of_seeds((0.3, 0.3), (0.4, 0.4), (0.5, 0.5))
    assert three.values == {"AP": pytest.approx(0.4)}
    assert three.draws["AP"].mean() == pytest.approx(0.4, abs=0.004)
    assert three.draws["AP"].std() == pytest.approx(0.1 / 3**0.5, rel=0.05)
    two = of_seeds((0.3, 0.3), (0.5, 0.5))
    assert two.draws["AP"].std() == pytest.approx(0.1, rel=0.05)
    assert of_seeds((0.3, 0.3), (0.3, 0.3)).draws["AP"] == pytest.approx(np.full(4000, 0.3))
    assert of_seeds((0.25, 0.0), (None, 0.0)).values == {"AP": None}
    assert np.isnan(of_seeds((0.25, float("nan")), (0.3, 0.3)).draws["AP"]).all()


def test_seeds_that_overlap_are_a_tie_though_the_images_tell_them_apart() -> None:
    first, second = of_seeds((0.30, 0.3), (0.50, 0.5)), of_seeds((0.34, 0.34), (0.36, 0.36))
    assert difference(first, second, "AP")[1]
    assert not difference(of_seeds((0.40, 0.4)), of_seeds((0.35, 0.35)), "AP")[1]


def test_seeds_of_two_models_are_drawn_apart_and_the_same_way_each_time() -> None:
    both = [samples(0.3, [0.3] * 4), samples(0.5, [0.5] * 4)]
    long = [Samples(one.values, {"AP": np.full(50, one.values["AP"])}, (50, 0, "a")) for one in both]
    assert mean_of(long, "v1").draws["AP"].tolist() == mean_of(long, "v1").draws["AP"].tolist()
    assert mean_of(long, "v1").draws["AP"].tolist() != mean_of(long, "v2").draws["AP"].tolist()
    assert mean_of(long[:1], "v1") is long[0]


def test_a_difference_is_paired() -> None:
    """Two that rise and fall together differ by less than each of them varies."""
    one = samples(0.5, [0.1, 0.4, 0.6, 0.9])
    other = samples(0.48, [0.09, 0.38, 0.57, 0.88])
    found, tie = difference(one, other, "AP")
    assert found.value == pytest.approx(0.02)
    assert not tie
    assert 0 < found.low < found.high < 0.04  # type: ignore[operator]
    back, tie = difference(other, one, "AP")
    assert (back.low, back.high, tie) == pytest.approx((-found.high, -found.low, False))  # type: ignore[operator]
    assert difference(one, one, "AP") == (interval(samples(0.0, [0.0]), "AP"), True)
    assert difference(one, samples(0.3, [0.5] * 4), "AP")[1]


def test_samples_of_other_images_or_draws_are_not_compared() -> None:
    for basis in ((5, 0, "a"), (4, 1, "a"), (4, 0, "b")):
        other = samples(0.5, [0.1], basis)
        with pytest.raises(ValueError, match="other images, draws"):
            difference(samples(0.5, [0.1]), other, "AP")
        with pytest.raises(ValueError, match="other images, draws"):
            mean_of([samples(0.5, [0.1]), other], "v2")
    with pytest.raises(ValueError, match="no samples"):
        mean_of([], "v2")


def test_the_draws_are_of_as_many_images_with_replacement() -> None:
    times = multiplicities(50, 2000, 1)
    assert (times.sum(axis=0) == 50).all()
    assert (times == 0).mean() == pytest.approx(np.exp(-1), abs=0.01)
    assert times.mean(axis=1) == pytest.approx(np.ones(50), abs=0.15)
