import contextlib
import copy
import io
import json
import math
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from densenets.errors import DivergedError, InputError
from densenets.metrics import coco_map
from densenets.metrics.coco_map import NUMBERS, evaluate, format_table, read_predictions, to_results, write_predictions

NAN, INF = math.nan, math.inf
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


@pytest.fixture
def truth() -> dict:
    return ground_truth(random.Random(5))


@pytest.fixture
def results(truth: dict) -> list[dict]:
    return shaken(random.Random(6), truth)


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


def test_several_faults_are_one_line_that_counts_them(truth: dict, results: list[dict]):
    for result in results[:3]:
        result["score"] = NAN
    with pytest.raises(InputError, match=r"results\[0\].*\(and 2 more\)$"):
        evaluate(truth, results)
    with pytest.raises(InputError, match=r"\(and at least 19 more\)$"):
        evaluate(truth, [{}] * 40)


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


def test_annotation_id_0_and_missing_fields_are_made_good(truth: dict, results: list[dict]):
    for a in truth["annotations"]:
        a["area"], a["iscrowd"] = a["bbox"][2] * a["bbox"][3], 0
    expected = numbers(evaluate(truth, results))
    for i, a in enumerate(truth["annotations"]):
        a["id"] = i
        del a["area"], a["iscrowd"]
    assert numbers(evaluate(truth, results)) == expected


def test_neither_argument_is_changed(truth: dict, results: list[dict]):
    before = copy.deepcopy((truth, results))
    evaluate(truth, results)
    assert (truth, results) == before


# The numbers


def same_as_pycocotools(sets: range) -> None:
    undefined = 0
    for seed in sets:
        rng = random.Random(seed)
        truth = ground_truth(rng, images=rng.randint(1, 8), objects=rng.randint(1, 8))
        results = shaken(rng, truth, noise=rng.choice([0.02, 0.1, 0.3]))
        if not results:
            continue
        ours = numbers(evaluate(truth, results))
        assert [-1.0 if v is None else v for v in ours] == direct(truth, results), f"set {seed}"
        undefined += None in ours
    assert undefined  # the sets reach the undefined ones too


def test_equal_to_pycocotools_called_directly():
    same_as_pycocotools(range(60))


@pytest.mark.slow
def test_equal_to_pycocotools_called_directly_on_1000_sets():
    same_as_pycocotools(range(1000))


def test_any_order_of_tied_detections_gives_the_same_bits():
    rng = random.Random(1)
    truth = ground_truth(rng, images=5, objects=6)
    results = shaken(rng, truth, extra=8)
    for result in results:
        result["score"] = rng.choice([0.25, 0.5, 0.5000001, 0.75])
    results += [dict(r) for r in results[:10]]
    expected = evaluate(truth, results)
    direct_ap = set()
    for _ in range(30):
        rng.shuffle(results)
        assert evaluate(truth, results) == expected
        direct_ap.add(direct(truth, results)[0])
    assert len(direct_ap) > 1  # pycocotools alone depends on the order


def test_the_order_decides_by_image_category_score_and_box():
    box = [[1, 0, 5, 5], [0, 0, 5, 5], [2, 0, 5, 5], [0, 0, 5, 5], [0, 0, 5, 5]]
    keys = [(1, 3, 0.5), (1, 3, 0.5), (1, 3, 0.9), (1, 2, 0.1), (0, 9, 0.1)]
    results = [{"image_id": i, "category_id": c, "bbox": b, "score": s} for (i, c, s), b in zip(keys, box, strict=True)]
    assert coco_map._canonical(coco_map._table(results)).tolist() == [4, 3, 2, 1, 0]


def test_of_an_image_the_best_100_of_each_class_count_as_pycocotools_has_it():
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10], "area": 100, "iscrowd": 0}
    truth = {"images": [{"id": 1}, {"id": 2}], "categories": categories, "annotations": [annotation]}
    right = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10], "score": 0.5}
    better = [{"image_id": 1, "category_id": 1, "bbox": [50, 50, 9, 9], "score": 0.6 + i / 1000} for i in range(100)]
    other = [{"image_id": 1, "category_id": 2, "bbox": [50, 50, 9, 9], "score": 0.9}] * 30

    metrics = evaluate(truth, [right, *better[1:], *other])
    assert (metrics["AP"], metrics["counts"]["cut"]) == (pytest.approx(0.01, abs=1e-4), 0)  # precision 1 / 100
    metrics = evaluate(truth, [right, *better, *other])
    assert (metrics["AP"], metrics["counts"]["cut"]) == (0.0, 1)
    assert metrics["counts"]["detections"] == 131
    assert numbers(metrics)[:3] == direct(truth, [right, *better, *other])[:3]


def test_a_cut_through_ties_does_not_depend_on_the_order():
    rng = random.Random(2)
    truth = ground_truth(rng, images=2, objects=30)
    results = [{**r, "score": rng.choice([0.5, 0.6])} for _ in range(40) for r in shaken(rng, truth)]
    expected = evaluate(truth, results)
    assert expected["counts"]["cut"] > 100
    for _ in range(10):
        rng.shuffle(results)
        assert evaluate(truth, results) == expected


def test_no_detections_are_AP_0_and_no_crash(truth: dict):
    metrics = evaluate(truth, [])
    assert metrics["AP"] == metrics["AP50"] == metrics["AR100"] == 0.0
    assert metrics["counts"] == {
        "images": 6,
        "annotations": len(truth["annotations"]),
        "detections": 0,
        "cut": 0,
    }


@pytest.mark.parametrize("detected", [True, False])
def test_without_ground_truth_all_is_undefined(truth: dict, results: list[dict], detected: bool):
    truth["annotations"] = []
    metrics = evaluate(truth, results if detected else [])
    assert numbers(metrics) == [None] * 12
    assert all(c == {"AP": None, "AP50": None} for c in metrics["per_class"].values())


def test_a_set_of_crowds_only_is_undefined(truth: dict, results: list[dict]):
    for a in truth["annotations"]:
        a["iscrowd"] = 1
    assert numbers(evaluate(truth, results)) == [None] * 12


@pytest.mark.parametrize("empty", ["images", "categories"])
def test_a_set_without_images_or_categories_does_not_crash(truth: dict, empty: str):
    truth["annotations"], truth[empty] = [], []
    assert numbers(evaluate(truth, [])) == [None] * 12


def test_per_class_numbers_stand_in_the_classes_order_and_average_to_the_whole(truth: dict, results: list[dict]):
    truth["categories"] = [*truth["categories"][::-1], {"id": 1, "name": "never seen"}]
    metrics = evaluate(truth, results)
    assert list(metrics["per_class"]) == ["class 90", "class 20", "class 7", "class 3", "never seen"]
    assert metrics["per_class"]["never seen"] == {"AP": None, "AP50": None}
    for name in ("AP", "AP50"):
        defined = [c[name] for c in metrics["per_class"].values() if c[name] is not None]
        assert np.mean(defined) == pytest.approx(metrics[name], abs=1e-12)


def test_each_class_is_judged_as_pycocotools_judges_it_alone(truth: dict, results: list[dict]):
    metrics = evaluate(truth, results)
    for category in truth["categories"]:
        keep = {
            "images": truth["images"],
            "categories": [category],
            "annotations": [a for a in truth["annotations"] if a["category_id"] == category["id"]],
        }
        ap, ap50 = direct(keep, [r for r in results if r["category_id"] == category["id"]])[:2]
        assert metrics["per_class"][category["name"]] == {"AP": pytest.approx(ap), "AP50": pytest.approx(ap50)}


def test_numbers_by_hand():
    def square(x: float, size: float = 100) -> list[float]:
        return [x, 0, size, size]

    truth = {
        "images": [{"id": 1}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"id": i, "image_id": 1, "category_id": 1, "bbox": square(200 * i)} for i in (1, 2)],
    }

    def result(x: float, score: float) -> dict:
        return {"image_id": 1, "category_id": 1, "bbox": square(x), "score": score}

    # One of two found: precision 1 up to recall 0.5, which is 51 of the 101 recalls.
    assert evaluate(truth, [result(200, 0.9)])["AP"] == pytest.approx(51 / 101)
    # Shifted by 25 px: IoU 75 / 125 = 0.6, right at 0.50, 0.55 and 0.60 only.
    assert evaluate(truth, [result(225, 0.9), result(400, 0.8)])["AP75"] == pytest.approx(0.5 * 51 / 101)
    metrics = evaluate(truth, [result(225, 0.9), result(425, 0.8)])
    assert (metrics["AP"], metrics["AP50"], metrics["AP75"]) == (pytest.approx(0.3), pytest.approx(1.0), 0.0)
    assert (metrics["APs"], metrics["APl"], metrics["AR1"]) == (None, pytest.approx(0.3), pytest.approx(0.15))


def test_AP50_of_a_class_is_taken_at_050_and_no_other():
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 100]}
    truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "a"}], "annotations": [annotation]}
    result = {"image_id": 1, "category_id": 1, "bbox": [31, 0, 100, 100], "score": 0.9}  # IoU 69 / 131 = 0.527
    assert evaluate(truth, [result])["per_class"] == {"a": {"AP": pytest.approx(0.1), "AP50": pytest.approx(1.0)}}


def test_an_image_that_the_model_never_saw_is_refused(truth: dict, results: list[dict]):
    ids = [i["id"] for i in truth["images"]]
    assert evaluate(truth, results, seen=ids) == evaluate(truth, results)
    with pytest.raises(InputError, match=r"image 21: .*\[V06\] \(and 1 more\)$"):
        evaluate(truth, results, seen=[i for i in ids if i not in (21, 41)])


def test_corners_in_place_of_sizes_are_suspected(truth: dict, results: list[dict], caplog: pytest.LogCaptureFixture):
    truth["images"][0]["width"] = "unknown"
    evaluate(truth, results)
    assert not caplog.records
    for a in truth["annotations"]:
        x, y, w, h = a["bbox"]
        results.append({**a, "bbox": [x, y, x + w, y + h], "score": 0.3})
    evaluate(truth, results[-len(truth["annotations"]) :])
    assert "look like x0 y0 x1 y1" in caplog.text


def test_stdout_stays_empty(truth: dict, results: list[dict], capfd: pytest.CaptureFixture):
    evaluate(truth, results)
    evaluate(truth, [])
    assert capfd.readouterr() == ("", "")


def test_coco_itself(real_data: Path):
    truth = json.loads((real_data / "coco_mini/annotations/instances_val2017.json").read_text())
    found = [{**a, "score": 1 - i / 1e5} for i, a in enumerate(truth["annotations"]) if not a["iscrowd"]]
    keep = ("image_id", "category_id", "bbox", "score")
    found = [{key: r[key] for key in keep} for r in found]
    metrics = evaluate(truth, found)
    assert metrics["AP"] == pytest.approx(1.0)
    assert len(metrics["per_class"]) == 80
    rng = random.Random(3)
    for result in found:
        result["bbox"] = [v * rng.uniform(0.8, 1.2) for v in result["bbox"]]
    assert [-1.0 if v is None else v for v in numbers(evaluate(truth, found))] == direct(truth, found)


# From a model to results


def test_to_results_by_hand():
    boxes = torch.tensor([[10.0, 20.0, 30.5, 60.25], [0.0, 0.0, 5.0, 5.0], [7.0, 7.0, 7.0, 9.0], [1.0, 1.0, 2.0, 2.0]])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.0])
    found = to_results(boxes, torch.tensor([1, 0, 0, 1]), scores, 17, (3, 90))
    nine, eight = (float(np.float32(v)) for v in (0.9, 0.8))
    assert found == [
        {"image_id": 17, "category_id": 90, "bbox": [10.0, 20.0, 20.5, 40.25], "score": nine},
        {"image_id": 17, "category_id": 3, "bbox": [0.0, 0.0, 5.0, 5.0], "score": eight},
    ]
    assert json.loads(json.dumps(found)) == found  # plain types


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_to_results_takes_arrays_and_half_precision(half: torch.dtype):
    boxes, labels, scores = torch.tensor([[0.0, 0.0, 4.0, 8.0]]), torch.tensor([0]), torch.tensor([0.5])
    expected = to_results(boxes, labels, scores, 1, [5])
    assert to_results(boxes.numpy(), labels.numpy(), scores.numpy(), 1, np.array([5])) == expected
    assert to_results(boxes.to(half).requires_grad_(), labels, scores.to(half), 1, [5]) == expected


def test_to_results_of_nothing():
    assert to_results(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0), 1, (1,)) == []
    assert to_results(np.zeros((3, 4)), np.zeros(3, int), np.zeros(3), 1, (1,)) == []


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_model_that_gives_no_numbers_is_told_by_image(bad: float):
    for boxes, scores in (([[0, 0, bad, 1]], [0.5]), ([[bad] * 4], [0.5]), ([[0, 0, 1, 1]], [bad])):
        with pytest.raises(DivergedError, match=r"image 23: .*V03"):
            to_results(np.array(boxes), np.array([0]), np.array(scores), 23, (1,))


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_without_a_class_is_refused(label: int):
    with pytest.raises(ValueError, match="2 classes"):
        to_results(np.array([[0, 0, 1, 1]]), np.array([label]), np.array([0.5]), 1, (1, 2))


# The predictions file


def test_a_round_trip_loses_nothing(tmp_path: Path, truth: dict):
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 300, (200, 2)).astype(np.float32)
    boxes = np.concatenate([corner, corner + rng.uniform(0, 300, (200, 2)).astype(np.float32)], axis=1)
    results = [
        r
        for image in (1, 11)
        for r in to_results(boxes, rng.integers(0, 4, 200), rng.random(200, dtype=np.float32), image, IDS)
    ]
    write_predictions(tmp_path / "p.json", results)
    assert read_predictions(tmp_path / "p.json") == results
    assert evaluate(truth, read_predictions(tmp_path / "p.json")) == evaluate(truth, results)
    assert json.loads((tmp_path / "p.json").read_text()) == results


def test_results_of_numpy_types_and_other_fields(tmp_path: Path):
    result = {"image_id": np.int64(1), "category_id": np.int32(2), "bbox": (1, 2, np.float32(0.1), 4)}
    write_predictions(tmp_path / "p.json", [{**result, "score": np.float32(0.3), "area": "?"}])
    box = [1.0, 2.0, float(np.float32(0.1)), 4.0]
    expected = [{"image_id": 1, "category_id": 2, "bbox": box, "score": float(np.float32(0.3))}]
    assert read_predictions(tmp_path / "p.json") == expected


def test_an_empty_list_is_a_valid_file(tmp_path: Path):
    write_predictions(tmp_path / "p.json", [])
    assert read_predictions(tmp_path / "p.json") == []


@pytest.mark.parametrize("score", [NAN, INF, "1", None])
def test_what_cannot_be_read_is_not_written(tmp_path: Path, results: list[dict], score: object):
    write_predictions(tmp_path / "p.json", results)
    with pytest.raises(InputError, match=r"p\.json: results\[0\]"):
        write_predictions(tmp_path / "p.json", [{**results[0], "score": score}])
    assert read_predictions(tmp_path / "p.json") == results
    assert list(tmp_path.iterdir()) == [tmp_path / "p.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, results: list[dict], monkeypatch: pytest.MonkeyPatch):
    write_predictions(tmp_path / "p.json", results)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"p\.json: cannot be written: No space left"):
        write_predictions(tmp_path / "p.json", results[:1])
    assert list(tmp_path.iterdir()) == [tmp_path / "p.json"]
    assert read_predictions(tmp_path / "p.json") == results


def test_a_file_is_replaced_and_never_written_into(tmp_path: Path, results: list[dict]):
    write_predictions(tmp_path / "p.json", results)
    (tmp_path / "old").hardlink_to(tmp_path / "p.json")
    write_predictions(tmp_path / "p.json", results[:1])
    assert (read_predictions(tmp_path / "old"), read_predictions(tmp_path / "p.json")) == (results, results[:1])


def test_a_folder_that_is_missing_or_a_file_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "p.json", tmp_path / "file" / "p.json", tmp_path):
        with pytest.raises(InputError, match="cannot be written"):
            write_predictions(path, [])
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no valid JSON"),
        ("[", "no valid JSON"),
        ("{}", "must be a list"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": NaN}]', "NaN is no number"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, Infinity, 1], "score": 1}]', "Infinity is no number"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1e999, 1], "score": 1}]', r"bbox \[0, 0, inf, 1\]"),
        ('[{"image_id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]', "stands twice"),
        ('[{"image_id": "1", "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]', "image_id '1'"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}]', "no score"),
        ("[" * 200000, "no valid JSON"),
        ("[" + "9" * 5000 + "]", "no valid JSON"),
        ("\ufeff[]", "no valid JSON"),
        ("\x00\x01", "no valid JSON"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, told: str):
    path = tmp_path / "a\nb.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told) as caught:
        read_predictions(path)
    assert "\n" not in str(caught.value)
    assert r"a\nb.json: " in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.json: cannot be read: No such file"):
        read_predictions(tmp_path / "none.json")
    (tmp_path / "jpeg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match="no valid JSON"):
        read_predictions(tmp_path / "jpeg")


# The text


def test_the_table_by_hand():
    metrics: dict = {name: i / 20 for i, name in enumerate(NUMBERS)}
    metrics["APs"] = None
    metrics["per_class"] = {"a": {"AP": 0.5, "AP50": 1.0}, "traffic\nlight": {"AP": None, "AP50": None}}
    metrics["counts"] = {"images": 2, "annotations": 3, "detections": 205, "cut": 5}
    assert format_table(metrics) == (
        "AP     0.000  IoU 0.50:0.95\n"
        "AP50   0.050  IoU 0.50\n"
        "AP75   0.100  IoU 0.75\n"
        "APs        -  small, area < 32 x 32 px\n"
        "APm    0.200  medium\n"
        "APl    0.250  large, area > 96 x 96 px\n"
        "AR1    0.300  1 detection per image\n"
        "AR10   0.350  10 detections per image\n"
        "AR100  0.400  100 detections per image\n"
        "ARs    0.450  small\n"
        "ARm    0.500  medium\n"
        "ARl    0.550  large\n"
        "\n"
        "class              AP   AP50\n"
        "a               0.500  1.000\n"
        "traffic\\nlight      -      -\n"
        "\n"
        "2 images, 3 annotations, 205 detections (5 beyond 100 per image and class left out)"
    )


def test_the_table_of_real_metrics(truth: dict, results: list[dict]):
    text = format_table(evaluate(truth, results))
    assert all(line == line.rstrip() for line in text.splitlines())
    assert text.count("class ") == 5
