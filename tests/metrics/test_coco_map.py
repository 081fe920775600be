"""COCO's 12 numbers: equal to pycocotools called directly, whatever the order, and their table."""

import copy
import importlib.util
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from sets import IDS, direct, ground_truth, numbers, random_set, shaken

from densenets.errors import InputError
from densenets.metrics.coco_map import NUMBERS, evaluate, evaluate_columns, format_table, names
from densenets.metrics.official import JUDGES, find_judge
from densenets.metrics.predictions import columns_of, results_of


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
        truth, results = random_set(seed)
        if not results:
            continue
        results = results_of(columns_of(results).canonical())  # pycocotools goes by the order where scores are equal
        ours = numbers(evaluate(truth, results))
        assert [-1.0 if v is None else v for v in ours] == direct(truth, results), f"set {seed}"
        undefined += None in ours
    assert undefined  # the sets reach the undefined ones too


def test_equal_to_pycocotools_called_directly():
    same_as_pycocotools(range(50))


@pytest.mark.slow
def test_equal_to_pycocotools_called_directly_on_1000_sets():
    same_as_pycocotools(range(1000))


def same_by_both_judges(sets: range) -> None:
    pytest.importorskip("faster_coco_eval", reason="the extra [fast] is not installed")
    for seed in sets:
        truth, results = random_set(seed)
        by = {name: evaluate_columns(truth, columns_of(results), judge=judge) for name, judge in JUDGES.items()}
        assert by["faster"] == by["pycocotools"], f"set {seed}"  # every number of every class too


def test_the_faster_judge_gives_the_same_bits():
    same_by_both_judges(range(50))
    truth, results = random_set(7)
    for part, given in (({**truth, "annotations": []}, results), (truth, [])):
        by = [evaluate_columns(part, columns_of(given), judge=judge) for judge in JUDGES.values()]
        assert by[0] == by[1]


@pytest.mark.slow
def test_the_faster_judge_gives_the_same_bits_on_1000_sets():
    same_by_both_judges(range(1000))


def test_the_faster_judge_needs_its_correction():
    """pycocotools gives a single detection that is right a precision below 1; faster-coco-eval does not."""
    fast = pytest.importorskip("faster_coco_eval", reason="the extra [fast] is not installed")
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
    truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "a"}], "annotations": [annotation]}
    found = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}]
    assert direct(truth, found)[0] == 1 - 2**-52
    side = fast.COCO(copy.deepcopy(truth), print_function=lambda *_: None)
    judge = fast.COCOeval_faster(side, side.loadRes(copy.deepcopy(found)), "bbox", print_function=lambda *_: None)
    judge.run()
    assert judge.stats[0] == 1.0
    assert evaluate_columns(truth, columns_of(found), judge=JUDGES["faster"])["AP"] == 1 - 2**-52


def test_a_judge_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(InputError, match=r"^--judge faster: not installed; pip install 'densenets\[fast\]'"):
        find_judge("faster")
    assert find_judge("pycocotools") is JUDGES["pycocotools"]


@pytest.mark.parametrize("judge", JUDGES)
def test_another_number_of_detections_counts_at_the_last_one(judge: str):
    """[V10] pycocotools alone gives AP -1 there."""
    official = find_judge(judge) if judge == "pycocotools" or has_faster() else pytest.skip("[fast] is not installed")
    truth, results = random_set(4)
    usual = evaluate_columns(truth, columns_of(results), judge=official)
    many = evaluate_columns(truth, columns_of(results), judge=official, per_image=300)
    assert list(many)[:12] == [*NUMBERS[:8], "AR300", *NUMBERS[9:]] == list(names(300))
    assert [many[name] for name in names(300)] == numbers(usual)  # no image has more than 100
    few = evaluate_columns(truth, columns_of(results * 30), judge=official, per_image=20)
    assert 0 < few["AP"] < evaluate_columns(truth, columns_of(results * 30), judge=official)["AP"] + 1e-12
    assert few["counts"]["cut"] > 0
    assert "AR20   " in format_table(few)
    assert f"({few['counts']['cut']} beyond 20 per image and class left out)" in format_table(few)


def has_faster() -> bool:
    return importlib.util.find_spec("faster_coco_eval") is not None


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
    assert results_of(columns_of(results).canonical()) == results[::-1]


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
    assert format_table(metrics).endswith(" 0 detections")
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
    assert format_table(metrics).count("undefined: no such object") == 12 + len(IDS)
    assert json.loads(json.dumps(metrics))["AP"] is None  # null, never NaN
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


def test_of_a_partial_evaluation_only_the_judged_images_count(truth: dict, results: list[dict]):
    ids = [i["id"] for i in truth["images"]][1:]
    found = [r for r in results if r["image_id"] in ids]
    part = {**truth, "images": truth["images"][1:]}
    part["annotations"] = [a for a in truth["annotations"] if a["image_id"] in ids]
    metrics = evaluate_columns(truth, columns_of(found), seen=ids, partial=True)
    assert numbers(metrics) == numbers(evaluate(part, found))
    assert metrics["partial"] is True
    assert (metrics["counts"]["images"], metrics["counts"]["not_judged"]) == (5, 1)
    assert format_table(metrics).endswith("partial, 1 images not judged")
    assert "partial" not in evaluate_columns(truth, columns_of(results), seen=[*ids, 1], partial=True)


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
        "APs        -  small, area < 32 x 32 px (undefined: no such object)\n"
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
        "traffic\\nlight      -      -  undefined: no such object\n"
        "\n"
        "2 images, 3 annotations, 205 detections (5 beyond 100 per image and class left out)"
    )


def test_the_table_of_real_metrics(truth: dict, results: list[dict]):
    text = format_table(evaluate(truth, results))
    assert all(line == line.rstrip() for line in text.splitlines())
    assert text.count("class ") == 5
