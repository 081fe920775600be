"""The scores are the official ones, and each rule of theirs is seen in a case typed by hand."""

import json
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cityscapes_pairs as masks
import numpy as np
import pytest
import torch
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
from PIL import Image

from densenets.contract import IGNORED, Mask
from densenets.metrics import segmentation_iou
from densenets.metrics.segmentation_iou import (
    MEANS,
    NO_GROUP,
    Counts,
    Rules,
    added,
    confusion,
    count,
    from_plain,
    nothing,
    plain,
    scores,
)
from densenets.metrics.segmentation_rules import columns_of, rules_of

PLAIN = Rules(("a", "b", "c"))
SPLIT = masks.Cityscapes([], [], [])
CITY = rules_of(SPLIT, of_files=True)
AVERAGES = {
    "mIoU": "averageScoreClasses",
    "category_mIoU": "averageScoreCategories",
    "iIoU": "averageScoreInstClasses",
    "category_iIoU": "averageScoreInstCategories",
}


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[masks.Pair]], dict[str, Any]]:
    """The official evaluation of pairs, which takes them as pictures and was written for an older NumPy."""
    pictures: dict[str, Image.Image] = {}
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    monkeypatch.setattr(official, "Image", SimpleNamespace(open=pictures.__getitem__))
    for name, value in {"quiet": True, "JSONOutput": False, "evalPixelAccuracy": False}.items():
        monkeypatch.setattr(official.args, name, value)

    def judge(pairs: list[masks.Pair]) -> dict[str, Any]:
        for i, (prediction, truth, instances) in enumerate(pairs):
            pictures.update({f"{i}_pred": Image.fromarray(prediction), f"{i}_labelIds": Image.fromarray(truth)})
            pictures[f"{i}_instanceIds"] = Image.fromarray(instances)
        names = [[f"{i}_{kind}" for i in range(len(pairs))] for kind in ("pred", "labelIds")]
        return official.evaluateImgLists(*names, official.args)

    return judge


def ours(pairs: list[masks.Pair]) -> dict[str, Any]:
    columns = torch.from_numpy(columns_of(SPLIT, CITY).astype(np.uint8))
    parts = [count(columns[torch.from_numpy(p.prediction).long()], masks.mask(p), CITY) for p in pairs]
    return scores(added(parts, CITY), CITY)


def same(one: float | None, other: float) -> bool:
    return math.isnan(other) if one is None else abs(one - other) <= 1e-12


def differences(found: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    wrong = [name for name, theirs in AVERAGES.items() if not same(found[name], reference[theirs])]
    for rows, theirs in (("per_class", "class"), ("per_category", "category")):
        for name, row in found[rows].items():
            for word, key in (("IoU", f"{theirs}Scores"), ("iIoU", f"{theirs}InstScores")):
                wrong += [f"{name} {word}"] if not same(row[word], reference[key][name]) else []
    return wrong


def test_a_thousand_pairs_score_as_the_official_evaluation_has_them(judged: Callable) -> None:
    """To 1e-12, means and every class and category, of each pair alone and of lists of them."""
    rng = np.random.default_rng(0)
    pairs = masks.adversaries()
    pairs += [masks.pair(rng) for _ in range(1000 - len(pairs))]
    lists = [[pair] for pair in pairs] + [pairs[first : first + 7] for first in range(0, 1000, 7)] + [pairs]
    undefined: set[tuple[str, bool]] = set()
    for pairs in lists:
        found = ours(pairs)
        assert differences(found, judged(pairs)) == []
        undefined |= {(name, found[name] is None) for name in MEANS}
    assert len(undefined) == 2 * len(MEANS)  # each mean was met defined and not


def test_void_is_a_category_of_the_official_evaluation_without_a_score(judged: Callable) -> None:
    """[V22] Seven count, not eight."""
    reference = judged(masks.adversaries())
    assert (len(reference["categoryScores"]), math.isnan(reference["categoryScores"]["void"])) == (8, True)
    assert len(ours(masks.adversaries())["per_category"]) == 7


def scored(matrix: list[list[int]], objects: list[list[int]] | None = None, rules: Rules = PLAIN) -> dict[str, Any]:
    return scores(Counts(np.array(matrix), np.array(objects or []).reshape(-1, 4).astype(np.int64)), rules)


def ious(found: dict[str, Any], word: str = "IoU") -> list[float | None]:
    return [row[word] for row in found["per_class"].values()]


def test_a_class_that_is_neither_there_nor_predicted_has_no_part_in_the_mean() -> None:
    """[V15]"""
    found = scored([[3, 1, 0, 0], [0, 4, 0, 0], [0, 0, 0, 0]])
    assert ious(found) == [3 / 4, 4 / 5, None]
    assert found["mIoU"] == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_a_class_that_is_predicted_alone_scores_0_and_counts() -> None:
    """[V16]"""
    found = scored([[3, 0, 1, 0], [0, 4, 0, 0], [0, 0, 0, 0]])
    assert ious(found) == [3 / 4, 1, 0]
    assert found["mIoU"] == pytest.approx(1.75 / 3)


def test_void_on_a_pixel_of_a_class_is_a_miss_and_no_false_positive() -> None:
    """[V17]"""
    found = scored([[3, 0, 0, 1], [0, 4, 0, 0], [0, 0, 2, 0]])
    assert ious(found) == [3 / 4, 1, 1]
    assert found["pixel_accuracy"] == 9 / 10


def test_images_are_added_up_before_they_are_scored() -> None:
    """[V20] The mean over images would be 0.625."""
    one, other = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]), np.array([[1, 0, 0, 0]] + [[0] * 4] * 2)
    objects = nothing(PLAIN).objects
    found = scores(added([Counts(one, objects), Counts(other, objects)], PLAIN), PLAIN)
    assert ious(found) == [2 / 3, 0, None]


def test_nothing_overflows() -> None:
    """[V21] 2^33 px of a class are beyond int32 and beyond the whole numbers of float32."""
    many = 2**33
    part = Counts(np.array([[many, 1, 0, 0], [0, many, 0, 0], [0, 0, 1, 0]]), nothing(PLAIN).objects)
    total = added([part] * 4, PLAIN)
    assert total.matrix.dtype == np.int64
    assert total.matrix[0].tolist() == [4 * many, 4, 0, 0]
    assert ious(scores(total, PLAIN)) == [many / (many + 1), many / (many + 1), 1.0]


def test_nothing_at_all_is_undefined() -> None:
    found = scores(nothing(CITY), CITY)
    assert [found[name] for name in MEANS] == [None] * 5
    assert {row["IoU"] for row in found["per_class"].values()} == {None}


def test_objects_weigh_equally_whatever_their_size() -> None:
    """Two objects of "a", 1 and 9 px, the small one found: IoU 0.1, iIoU 0.5."""
    rules = Rules(("a", "b"), counted=(True, False))
    found = scored([[1, 9, 0], [0, 5, 0]], [[0, 1, 1, 1], [0, 9, 0, 0]], rules)
    assert ious(found) == [1 / 10, 5 / 14]
    assert ious(found, "iIoU") == [1 / 2, None]
    assert found["iIoU"] == 1 / 2
    given = scored([[1, 9, 0], [2, 5, 0]], [[0, 1, 1, 1], [0, 9, 0, 0]], rules._replace(sizes=(100.0, math.nan)))
    assert ious(given, "iIoU") == [100 / (200 + 2), None]  # false positives weigh 1


def test_a_group_takes_its_classes_for_one_another() -> None:
    rules = Rules(("a", "b", "c"), ("ab", "c"), (0, 0, 1), (True, True, False))
    found = scored([[1, 3, 0, 0], [0, 2, 2, 0], [4, 0, 4, 0]], [[0, 4, 1, 4], [1, 4, 2, 2]], rules)
    assert found["per_category"] == {"ab": {"IoU": 6 / 12, "iIoU": 6 / 12}, "c": {"IoU": 4 / 10, "iIoU": None}}
    assert (found["category_mIoU"], found["category_iIoU"]) == (0.45, 0.5)


def test_a_group_without_a_class_and_a_class_without_a_group() -> None:
    """As a model of other classes leaves them."""
    rules = Rules(("a", "b"), ("none", "a"), (1, NO_GROUP), (True, True))
    found = scored([[3, 1, 0], [2, 2, 0]], [[0, 4, 3, 3], [1, 4, 2, 2]], rules)
    assert found["per_category"] == {"none": {"IoU": None, "iIoU": None}, "a": {"IoU": 3 / 6, "iIoU": 3 / 6}}
    assert (found["category_mIoU"], found["mIoU"]) == (3 / 6, (3 / 6 + 2 / 5) / 2)


@pytest.mark.parametrize("side", [1, 7, 25])
def test_every_pixel_is_counted_once_in_its_cell(side: int) -> None:
    """Pixels one by one, and in blocks, which are counted by the piece."""
    rng = np.random.default_rng(3)
    for classes, columns in ((1, None), (3, None), (19, 21), (150, None), (255, None), (200, 256)):
        known = [*range(min(classes, 255)), IGNORED]
        truth, prediction = (
            rng.choice(ids, (40, 20)).astype(np.uint8).repeat(side, 0).repeat(side, 1) for ids in (known, 256)
        )
        prediction[5:7, 3] = 0
        found = confusion(torch.from_numpy(prediction), torch.from_numpy(truth), classes, columns)
        across = columns or classes + 1
        reference = np.zeros((classes, across), dtype=np.int64)
        inside = truth < classes
        np.add.at(reference, (truth[inside], np.minimum(prediction[inside], across - 1)), 1)
        assert found.dtype == torch.int64
        assert np.array_equal(found.numpy(), reference)


def test_pieces_of_objects_count_as_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    columns = torch.from_numpy(columns_of(SPLIT, CITY).astype(np.uint8))
    found = {}
    for least in (0.5, 8, 10**9):  # all, where they are long, none
        monkeypatch.setattr(segmentation_iou, "_LONG", least)
        rng = np.random.default_rng(9)
        for k in range(30):
            pair = masks.Pair(*(part.repeat(9, 1) for part in masks.pair(rng)))
            prediction = columns[torch.from_numpy(pair.prediction).long()]
            found[least, k] = count(prediction, masks.mask(pair), CITY)
    assert sum(len(found[8, k].objects) for k in range(30)) > 50
    for k in range(30):
        for least in (0.5, 10**9):
            assert all(np.array_equal(a, b) for a, b in zip(found[8, k], found[least, k], strict=True))


def test_masks_of_two_sizes_are_an_error() -> None:
    with pytest.raises(ValueError, match="a truth of"):
        confusion(torch.zeros(2, 6, dtype=torch.uint8), torch.zeros(3, 4, dtype=torch.uint8), 2)


@pytest.mark.parametrize("far", [0, 2**21, 2**31 - 100])
def test_objects_may_have_any_numbers(far: int) -> None:
    rules = Rules(("a", "b"), counted=(True, True))
    ids = torch.tensor([[0, 0, 1, 1, IGNORED]], dtype=torch.uint8)
    instances = torch.tensor([[3, 5, 9, 9, 11]], dtype=torch.int32) + far
    found = count(torch.tensor([[0, 1, 1, 0, 0]], dtype=torch.uint8), Mask(ids, instances), rules)
    assert found.objects.tolist() == [[0, 1, 1, 1], [0, 1, 0, 1], [1, 2, 1, 2]]


def test_objects_of_classes_that_count_none_are_left_out() -> None:
    rules = Rules(("a", "b"), counted=(False, True))
    truth = Mask(torch.tensor([[0, 1]], dtype=torch.uint8), torch.tensor([[1, 2]], dtype=torch.int32))
    assert count(truth.ids, truth, rules).objects.tolist() == [[1, 1, 1, 1]]
    assert count(truth.ids, truth, Rules(("a", "b"))).objects.shape == (0, 4)
    assert count(truth.ids, Mask(truth.ids), rules).objects.shape == (0, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no other device on this machine")
def test_another_device_counts_the_same() -> None:
    rng = np.random.default_rng(6)
    columns = torch.from_numpy(columns_of(SPLIT, CITY).astype(np.uint8))
    for pair in [masks.pair(rng) for _ in range(20)] + masks.adversaries():
        prediction, truth = columns[torch.from_numpy(pair.prediction).long()], masks.mask(pair)
        here = count(prediction, truth, CITY)
        there = count(prediction.cuda(), Mask(*(part.cuda() for part in truth if part is not None)), CITY)
        assert all(np.array_equal(a, b) for a, b in zip(here, there, strict=True))


def test_counts_come_back_from_text_as_they_were() -> None:
    rng = np.random.default_rng(2)
    columns = torch.from_numpy(columns_of(SPLIT, CITY).astype(np.uint8))
    for pair in [masks.pair(rng) for _ in range(20)] + masks.adversaries():
        counts = count(columns[torch.from_numpy(pair.prediction).long()], masks.mask(pair), CITY)
        back = from_plain(json.loads(json.dumps(plain(counts))), CITY)
        assert back is not None
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(counts, back, strict=True))


LINE = {"cells": [0, 5], "pixels": [3, 4], "objects": [[0, 3, 2, 2]]}


@pytest.mark.parametrize(
    "change",
    [
        {"cells": [0]},
        {"cells": [0, 0]},
        {"cells": [0, 12]},
        {"cells": [0, -1]},
        {"cells": [0, 1.5]},
        {"cells": [0, "1"]},
        {"cells": None},
        {"cells": [[0, 1]]},
        {"pixels": [3, 2**41]},
        {"pixels": [3, 2**99]},
        {"pixels": [True, False]},
        {"objects": [[0, 3, 2]]},
        {"objects": [[1, 3, 2, 2]]},
        {"objects": [[9, 3, 2, 2]]},
        {"objects": [[0, 3, 4, 2]]},
        {"objects": [[0, 0, 0, 0]]},
        {"objects": [0, 3, 2, 2]},
        {"objects": [[0, 3, 2, 2], [0]]},
        {"objects": "none"},
        {"objects": {}},
    ],
)
def test_a_line_that_holds_no_counts_is_none(change: dict[str, Any]) -> None:
    rules = Rules(("a", "b", "c"), counted=(True, False, False))
    assert from_plain(LINE, rules) is not None
    assert from_plain({**LINE, **change}, rules) is None


def test_without_files_of_objects_none_are_told_apart() -> None:
    split = masks.Cityscapes([], [], [])
    split.instances = None
    assert rules_of(split).counted == ()
    assert scores(nothing(rules_of(split)), rules_of(split))["iIoU"] is None


def test_the_constants_are_the_official_ones() -> None:
    assert CITY.classes == tuple(masks.CLASSES)
    told = {name: size for name, size in zip(CITY.classes, CITY.sizes, strict=True) if not math.isnan(size)}
    assert told == {name: official.args.avgClassSize[name] for name in told}
    assert [name for name, counted in zip(CITY.classes, CITY.counted, strict=True) if counted] == [*told]
    assert (CITY.void, rules_of(SPLIT).void) == ((CITY.groups.index("vehicle"), NO_GROUP), (NO_GROUP,))
    columns = columns_of(SPLIT, CITY)
    assert [columns[i] for i in (0, 7, 29, 30, 33, 34, 255)] == [20, 0, 19, 19, 18, -1, -1]
