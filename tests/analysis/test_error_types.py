"""Each type of error in a scene made by hand, with its cost typed in; sets where an oracle can only help."""

import copy
from typing import Any

import numpy as np
import pytest
from sets import random_set

from densenets.analysis.error_types import NOTHING, SPECIAL, TYPES, error_types, errors_of
from densenets.analysis.matching import IGNORED, match
from densenets.metrics.coco_map import evaluate
from densenets.metrics.predictions import columns_of

CAT, DOG = 1, 2
BOX = [100.0, 100.0, 100.0, 100.0]


def moved(right: float) -> list[float]:
    """IoU with BOX: (100 - right) / (100 + right)."""
    return [100 + right, 100.0, 100.0, 100.0]


def scene(objects: list[tuple[int, int, list[float]]], crowds: tuple[int, ...] = ()) -> dict:
    """objects: image, class, box; crowds: places among them."""
    return {
        "images": [{"id": i} for i in (1, 2)],
        "categories": [{"id": CAT, "name": "cat"}, {"id": DOG, "name": "dog"}],
        "annotations": [
            {"id": i + 1, "image_id": m, "category_id": k, "bbox": box, "iscrowd": int(i in crowds)}
            for i, (m, k, box) in enumerate(objects)
        ],
    }


def detection(image: int, category: int, box: list[float], score: float) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}


def kinds(truth: dict, results: list[dict]) -> list[str | None]:
    """The error of each detection, in the order of the list."""
    found = errors_of(match(truth, columns_of(results)))
    kind = {
        score: None if k == NOTHING else TYPES[k]
        for score, k in zip(found.matched.score.tolist(), found.kind.tolist(), strict=True)
    }
    return [kind[result["score"]] for result in results]


def check_costs(truth: dict, results: list[dict], **expected: float) -> None:
    """Of the types that are not named: none."""
    found = error_types(match(truth, columns_of(results)))
    assert [*found] == [*TYPES, *SPECIAL]
    named = {name.replace("_", " "): value for name, value in expected.items()}
    assert found == pytest.approx({**dict.fromkeys(found, 0.0), **named}, abs=1e-12)


PAIR = [(1, CAT, BOX), (2, CAT, BOX)]  # both of one class; AP50 of the first alone found is 51/101
ONE = 51 / 101  # the recalls 0, 0.01, ... 0.5
RIGHT = detection(1, CAT, BOX, 0.9)


def test_a_perfect_detector_has_no_errors() -> None:
    truth = scene([*PAIR, (1, DOG, moved(200))])
    check_costs(truth, [RIGHT, detection(2, CAT, BOX, 0.8), detection(1, DOG, moved(200), 0.1)])


def test_nothing_to_find_has_no_costs() -> None:
    assert error_types(match(scene([]), columns_of([RIGHT]))) == {}


def test_a_box_that_is_off_is_an_error_of_localisation() -> None:
    """Below the right one, so that it costs nothing but the object: repaired, both are found. The object counts as
    covered, and not as missed."""
    results = [RIGHT, detection(2, CAT, moved(50), 0.8)]  # IoU 1/3
    assert kinds(scene(PAIR), results) == [None, "localisation"]
    check_costs(scene(PAIR), results, localisation=1 - ONE, false_negatives=1 - ONE)


def test_a_wrong_class_is_an_error_of_classification() -> None:
    """The dog is not found: its class has 0, cats have 1 behind a wrong one: 1/2 up to recall 1. Corrected: all."""
    truth = scene([(1, CAT, BOX), (2, DOG, BOX)])
    results = [detection(2, CAT, BOX, 0.95), RIGHT]
    assert kinds(truth, results) == ["classification", None]
    check_costs(truth, results, classification=0.75, false_positives=0.25, false_negatives=0.25)


def test_near_another_class_is_both() -> None:
    truth = scene([(1, CAT, BOX), (2, DOG, BOX)])
    results = [detection(2, CAT, moved(50), 0.95), RIGHT, detection(2, DOG, BOX, 0.3)]
    assert kinds(truth, results) == ["both", None, None]
    check_costs(truth, results, both=0.25, false_positives=0.25)


def test_a_second_detection_is_a_duplicate() -> None:
    """Between the two right ones: 1 up to recall 0.5, then 2/3."""
    results = [RIGHT, detection(1, CAT, moved(20), 0.85), detection(2, CAT, BOX, 0.8)]  # IoU 2/3
    assert kinds(scene(PAIR), results) == [None, "duplicate", None]
    check_costs(scene(PAIR), results, duplicate=50 / 101 / 3, false_positives=50 / 101 / 3)


def test_nothing_near_is_background() -> None:
    """Also in an image without any object."""
    results = [detection(1, CAT, moved(300), 0.95), RIGHT]
    for truth in (scene([(1, CAT, BOX)]), scene([(1, CAT, BOX), (2, CAT, moved(100))], crowds=(1,))):
        assert kinds(truth, results) == ["background", None]
        check_costs(truth, results, background=0.5, false_positives=0.5)
    results[0]["image_id"] = 2
    assert kinds(scene([(1, CAT, BOX)]), results) == ["background", None]


def test_an_object_nobody_saw_is_missed() -> None:
    check_costs(scene(PAIR), [RIGHT], missed=1 - ONE, false_negatives=1 - ONE)


def test_a_class_of_missed_objects_alone_leaves_the_mean() -> None:
    """As COCO's mean leaves a class without objects; without any object left nothing is missed."""
    check_costs(scene([(1, CAT, BOX), (2, DOG, BOX)]), [RIGHT], missed=0.5, false_negatives=0.5)
    check_costs(scene(PAIR), [], missed=1.0, false_negatives=1.0)


def test_of_several_errors_at_an_object_the_best_is_repaired_and_the_rest_removed() -> None:
    """Scores: two boxes that are off, then the right one: AP50 is 1/3 up to recall 0.5. Repaired: the first finds the
    second object, the other one is gone. At an object that is found already, a box that is off is only removed."""
    off = [detection(2, CAT, moved(50), 0.97), detection(2, CAT, moved(60), 0.95)]
    check_costs(
        scene(PAIR), [*off, RIGHT], localisation=1 - ONE / 3, false_positives=ONE * 2 / 3, false_negatives=(1 - ONE) / 3
    )
    truth = scene([(1, CAT, BOX)])
    results = [detection(1, CAT, moved(50), 0.95), RIGHT]
    check_costs(truth, results, localisation=0.5, false_positives=0.5)


def test_an_object_is_repaired_once_by_the_best_of_its_errors_of_whichever_type() -> None:
    """The box of the cat in image 2 is off, at 0.8; a dog at 0.7 lies right upon it. Correcting boxes alone finds it;
    correcting classes alone removes the dog, which costs nothing as no dog is in the truth."""
    results = [RIGHT, detection(2, CAT, moved(50), 0.8), detection(2, DOG, BOX, 0.7)]
    assert kinds(scene(PAIR), results) == [None, "localisation", "classification"]
    check_costs(scene(PAIR), results, localisation=1 - ONE, false_negatives=1 - ONE)


def test_a_class_of_missed_objects_with_false_detections_counts_as_nothing_found() -> None:
    """It had 0 before and has 0 without its objects: what it lacks is no fault of the missed."""
    truth = scene([(1, CAT, BOX), (2, DOG, BOX)])
    check_costs(truth, [RIGHT, detection(1, DOG, moved(300), 0.5)])


TIDECV = {  # by seed, in the order of TYPES and SPECIAL: of tidecv 1.0.1, the paper's own program, on the same sets
    3: (0.0, 0.377888, 0.0, 0.0, 0.0, 0.056106, 0.084158, 0.30363),
    7: (0.0, 0.0, 0.0, 0.008251, 0.239494, 0.19802, 0.266997, 0.19802),
    13: (0.027369, 0.072277, 0.0, 0.015553, 0.059506, 0.095827, 0.191189, 0.154738),
    50: (0.011751, 0.059297, 0.00408, 0.052997, 0.118628, 0.130939, 0.299396, 0.156072),
    67: (0.0, 0.0, 0.0, 0.165017, 0.0, 0.0, 0.165017, 0.0),
}


@pytest.mark.parametrize("seed", TIDECV)
def test_the_costs_are_those_of_the_papers_own_program(seed: int) -> None:
    """Without crowds, classes without objects and equal scores, which it treats otherwise."""
    truth, results = random_set(seed)
    truth["annotations"] = [{**one, "iscrowd": 0} for one in truth["annotations"] if not one.get("iscrowd")]
    known = {one["category_id"] for one in truth["annotations"]}
    truth["categories"] = [one for one in truth["categories"] if one["id"] in known]
    results = [one for one in results if one["category_id"] in known]
    order = np.random.default_rng(seed).permutation(len(results))
    for one, place in zip(results, order.tolist(), strict=True):
        one["score"] = (place + 1) / (len(results) + 1)
    found = error_types(match(truth, columns_of(results)))
    assert tuple(found.values()) == pytest.approx(TIDECV[seed], abs=1e-6)


def test_crowds_and_what_they_hold_are_no_errors() -> None:
    truth = scene([(1, CAT, BOX), (2, CAT, [0.0, 0.0, 400.0, 400.0])], crowds=(1,))
    results = [detection(2, CAT, BOX, 0.99), RIGHT]
    assert kinds(truth, results) == [None, None]
    check_costs(truth, results)


def test_the_bounds_belong_to_a_type() -> None:
    """IoU 1/2 finds the object; 0.1 to an object of the class is near it, to another's it is background."""
    truth = scene([(1, CAT, [0.0, 0.0, 10.0, 10.0])])
    assert kinds(truth, [detection(1, CAT, [0.0, 0.0, 10.0, 5.0], 0.5)]) == [None]
    assert kinds(truth, [detection(1, DOG, [0.0, 0.0, 10.0, 5.0], 0.5)]) == ["classification"]
    assert kinds(truth, [detection(1, CAT, [0.0, 0.0, 10.0, 1.0], 0.5)]) == ["localisation"]
    assert kinds(truth, [detection(1, DOG, [0.0, 0.0, 10.0, 1.0], 0.5)]) == ["background"]
    assert kinds(truth, [detection(1, DOG, [0.0, 0.0, 10.0, 2.0], 0.5)]) == ["both"]


def test_repairs_never_cost() -> None:
    """And what is removed or missed of one type costs no more than all that is wrong, or all that nobody found."""
    seen = set()
    for seed in range(1, 40):
        truth, results = random_set(seed)
        found = error_types(match(truth, columns_of(results)))
        if evaluate(truth, results)["AP50"] is None:
            assert found == {}
            continue
        assert min(found.values()) >= -1e-12, seed
        assert found["false negatives"] >= found["missed"] - 1e-12
        parts = [found[name] for name in ("both", "duplicate", "background")]
        assert found["false positives"] >= max(parts) - 1e-12
        seen |= {name for name in found if found[name] > 0}
    assert seen == {*TYPES, *SPECIAL}


def test_removal_and_missing_equal_the_official_numbers_of_the_repaired_set() -> None:
    """What is removed is left out of the results, what is missed out of the truth."""
    checked = 0
    for seed in range(1, 12):
        truth, results = random_set(seed)
        before, costs = evaluate(truth, results)["AP50"], error_types(match(truth, columns_of(results)))
        if before is None:
            continue
        checked += 1
        errors = errors_of(match(truth, columns_of(results)))
        canonical = columns_of(results).canonical()
        for name in ("both", "duplicate", "background"):
            kept = canonical.take(~errors.of(name))
            rows = [*zip(*(column.tolist() for column in kept), strict=True)]
            repaired = [{"image_id": m, "category_id": k, "score": s, "bbox": b} for m, k, s, b in rows]
            assert costs[name] == pytest.approx(evaluate(truth, repaired)["AP50"] - before, abs=1e-12)
        gone = {(*box,) for box in errors.matched.objects.box[errors.missed].tolist()}
        fewer = copy.deepcopy(truth)
        fewer["annotations"] = [a for a in truth["annotations"] if (*a["bbox"],) not in gone]
        assert len(fewer["annotations"]) == len(truth["annotations"]) - np.count_nonzero(errors.missed)
        objects, found = errors.matched.objects, errors.matched.kind[:, 0, 0] != IGNORED
        had, left = ({*objects.category[~objects.crowd & some]} for some in (True, ~errors.missed))
        empty = {*errors.matched.category[found]} & (had - left)  # not COCO's: 0 counts for these
        official = (evaluate(fewer, results)["AP50"] or 0.0) * len(left) / (len(left) + len(empty))
        assert costs["missed"] == pytest.approx(official - before, abs=1e-12)
    assert checked > 6
