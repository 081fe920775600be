"""Results and ground truth that cannot be judged: refused by name, before any number is given."""

import copy
import math
import random

import numpy as np
import pytest
from sets import direct, numbers, shaken

from densenets.errors import InputError
from densenets.metrics.coco_map import evaluate

NAN, INF = math.nan, math.inf


# The first of all: what is no number must not be judged as right [V03]


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_boxes_that_are_no_numbers_are_refused_where_pycocotools_gives_them_full_marks(truth: dict, bad: float):
    results = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "bbox": [bad] * 4, "score": 0.9}
        for a in truth["annotations"]
        if not a["iscrowd"]
    ]
    if math.isnan(bad):
        assert direct(truth, results)[0] == 1.0  # the reason for this test
    with pytest.raises(InputError, match=r"results\[0\] \(image \d+\): bbox .* is not finite.*\[V03\]"):
        evaluate(truth, results)


@pytest.mark.parametrize("bad", [NAN, INF, -INF, np.float32("inf"), np.float16("-inf"), np.float64("nan")])
@pytest.mark.parametrize("place", ["x", "y", "width", "height", "score"])
def test_one_such_value_anywhere_is_enough(truth: dict, results: list[dict], place: str, bad: float):
    if place == "score":
        results[3]["score"] = bad
    else:
        results[3]["bbox"][("x", "y", "width", "height").index(place)] = bad
    with pytest.raises(InputError, match=r"results\[3\] .*\[V03\]"):
        evaluate(truth, results)


def test_finite_boxes_whose_iou_is_none_are_refused_too(truth: dict):
    crowd = {"id": 900, "image_id": 1, "category_id": 3, "bbox": [0, 0, 99, 99], "area": 9801, "iscrowd": 1}
    truth["annotations"].append(crowd)
    for box in ([1.0, 1.0, 1e-200, 1e-200], [0.0, 0.0, 1e200, 1e200], [0, 0, 10**400, 1]):
        result = {"image_id": 1, "category_id": 3, "bbox": box, "score": 0.5}
        with pytest.raises(InputError, match="V03"):
            evaluate(truth, [result])


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("image_id", 2, r"image_id 2 is not in the ground truth \[V04\]"),
        ("image_id", "1", r"image_id '1' must be a whole number.*\[V04\]"),
        ("image_id", 1.0, r"image_id 1\.0 must be a whole number.*\[V04\]"),
        ("image_id", True, r"image_id True must be a whole number.*\[V04\]"),
        ("category_id", 0, r"category_id 0 is not in the ground truth \[V05\]"),
        ("category_id", None, r"category_id None must be a whole number.*\[V05\]"),
        ("score", "0.9", r"score '0\.9' must be a number \[V08\]"),
        ("score", True, r"score True must be a number \[V08\]"),
        ("score", None, r"score None must be a number \[V08\]"),
        ("score", 10**400, r"score 10+\.\.\. is not finite \[V03\]"),
        pytest.param("score", 10**5000, r"score something of type int is not finite \[V03\]", id="score-huge"),
        ("bbox", [1, 2, 3], r"bbox \[1, 2, 3\] must be four numbers.*\[V08\]"),
        ("bbox", [1, 2, 3, 4, 5], r"must be four numbers"),
        ("bbox", [1, 2, 3, "4"], r"must be four numbers"),
        ("bbox", [1, 2, 3, False], r"must be four numbers"),
        ("bbox", "1234", r"must be four numbers"),
        ("bbox", None, r"must be four numbers"),
        ("bbox", [5, 5, -3, 4], r"bbox \[5, 5, -3, 4\] has a negative size \[D08\]"),
    ],
)
def test_a_bad_result_is_named(truth: dict, results: list[dict], field: str, value: object, told: str):
    results[4][field] = value
    with pytest.raises(InputError, match=told) as caught:
        evaluate(truth, results)
    line = str(caught.value)
    assert line.startswith("results[4] (image ")
    assert "\n" not in line
    assert len(line) < 250


@pytest.mark.parametrize("field", ["image_id", "category_id", "bbox", "score"])
def test_a_missing_field_is_named(truth: dict, results: list[dict], field: str):
    del results[2][field]
    with pytest.raises(InputError, match=rf"results\[2\].*{field}"):
        evaluate(truth, results)


@pytest.mark.parametrize("results", [None, {}, "[]", [None], [[1]], ["a\nb"]])
def test_what_is_no_list_of_results_is_refused(truth: dict, results: object):
    with pytest.raises(InputError) as caught:
        evaluate(truth, results)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_all_faults_are_told_at_once_a_line_each_and_counted_beyond_20(truth: dict, results: list[dict]):
    results[0]["score"], results[1]["image_id"], results[2]["category_id"] = NAN, 2, 8
    del results[3]["score"]
    with pytest.raises(InputError) as caught:
        evaluate(truth, results)
    lines = str(caught.value).splitlines()
    assert [line[-5:] for line in lines] == ["[V03]", "[V04]", "[V05]", "[V08]"]
    assert [line.startswith(f"results[{i}] (image ") for i, line in enumerate(lines)] == [True] * 4
    with pytest.raises(InputError) as caught:
        evaluate(truth, [{}] * 41)
    assert len(str(caught.value).splitlines()) == 21
    assert str(caught.value).endswith("and 21 more problems")


def test_no_broken_result_escapes_as_another_exception(truth: dict):
    rng = random.Random(0)
    results = shaken(rng, truth)[:4]
    odd = [None, True, -1, 0, 1.5, NAN, INF, 1e308, 5e-324, 10**30, "x", "\ud800", [], [1], {}, [[1, 2, 3, 4]]]
    refused = 0
    for _ in range(2000):
        broken = copy.deepcopy(results)
        victim = rng.choice(broken)
        key = rng.choice(["image_id", "category_id", "bbox", "score", "box"])
        if key == "box":
            victim["bbox"][rng.randrange(4)] = rng.choice(odd)
        else:
            victim[key] = rng.choice(odd)
        try:
            metrics = evaluate(truth, broken)
        except InputError:
            refused += 1
        else:
            assert all(v is None or 0 <= v <= 1 for v in numbers(metrics))
    assert 1000 < refused < 2000


# The ground truth


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda t: t.pop("categories"), "categories must be a list"),
        (lambda t: t["annotations"].append(None), "annotations must be a list of objects"),
        (lambda t: t["annotations"][1].update(id=t["annotations"][0]["id"]), r"annotations\[1\]: id 1 stands twice"),
        (lambda t: t["images"].append(dict(t["images"][0])), r"images\[6\]: id 1 stands twice"),
        (lambda t: t["categories"].append({"id": 4, "name": "class 3"}), "name 'class 3' stands twice"),
        (lambda t: t["categories"][0].pop("name"), "no name"),
        (lambda t: t["annotations"][2].update(image_id=5), r"annotations\[2\] \(id 3\): image_id 5 is not"),
        (lambda t: t["annotations"][2].update(category_id=5), r"category_id 5 is not"),
        (lambda t: t["annotations"][2].update(bbox=[0, 0, NAN, 5]), r"annotations\[2\] \(id 3\): bbox .*not finite"),
        (lambda t: t["annotations"][2].update(bbox=[0, 0, -1, 5]), "negative size"),
        (lambda t: t["annotations"][2].update(bbox=[0, 0, 5]), "four numbers"),
        (lambda t: t["annotations"][2].update(area=NAN), "area nan"),
        (lambda t: t["annotations"][2].update(iscrowd="no"), "iscrowd 'no'"),
        (lambda t: t["images"][0].update(id="1"), r"images\[0\]: id '1'"),
    ],
)
def test_a_broken_ground_truth_is_named(truth: dict, broken, told: str):
    broken(truth)
    with pytest.raises(InputError, match=told):
        evaluate(truth, [])


def test_an_image_that_the_model_never_saw_is_refused(truth: dict, results: list[dict]):
    ids = [i["id"] for i in truth["images"]]
    assert evaluate(truth, results, seen=ids) == evaluate(truth, results)
    with pytest.raises(InputError, match=r"^image 21: .*\[V06\]\nimage 41: .*\[V06\]$"):
        evaluate(truth, results, seen=[i for i in ids if i not in (21, 41)])
