"""Predictions from a model to a file and back."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sets import IDS

from densenets.errors import DivergedError, InputError, StorageError
from densenets.metrics import predictions
from densenets.metrics.coco_map import evaluate, evaluate_columns
from densenets.metrics.predictions import (
    Columns,
    columns_of,
    from_model,
    joined,
    read_predictions,
    results_of,
    write_predictions,
)

NAN, INF = math.nan, math.inf


@pytest.fixture
def found(results: list[dict]) -> Columns:
    return columns_of(results)


def to_results(*detections: object) -> list[dict]:
    return results_of(from_model(*detections))  # type: ignore[arg-type]


def same(one: Columns, other: Columns) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


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


# The file


def test_a_round_trip_loses_nothing(tmp_path: Path, truth: dict):
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 300, (200, 2)).astype(np.float32)
    boxes = np.concatenate([corner, corner + rng.uniform(0, 300, (200, 2)).astype(np.float32)], axis=1)
    images = [
        from_model(boxes, rng.integers(0, 4, 200), rng.random(200, dtype=np.float32), image, IDS) for image in (1, 11)
    ]
    written = joined(images)
    write_predictions(tmp_path / "p.json", written)
    read = read_predictions(tmp_path / "p.json")
    assert same(read, written)
    assert evaluate_columns(truth, read) == evaluate_columns(truth, written) == evaluate(truth, results_of(written))
    lines = (tmp_path / "p.json").read_text().splitlines()
    assert len(lines) == 402  # a line for each, and the brackets
    assert json.loads("".join(lines)) == results_of(written)


def test_a_file_of_many_chunks(tmp_path: Path, found: Columns, monkeypatch: pytest.MonkeyPatch):
    whole, count = tmp_path / "whole.json", len(found.image)
    write_predictions(whole, found)
    for chunk in (1, 2, count - 1, count):
        monkeypatch.setattr(predictions, "CHUNK", chunk)
        write_predictions(tmp_path / "p.json", found)
        assert (tmp_path / "p.json").read_bytes() == whole.read_bytes()


def test_whole_numbers_and_other_fields_are_read(tmp_path: Path):
    result = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 1, "area": "?"}
    (tmp_path / "p.json").write_text(json.dumps([result]))
    expected = [{"image_id": 1, "category_id": 2, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 1.0}]
    assert results_of(read_predictions(tmp_path / "p.json")) == expected


def test_an_empty_list_is_a_valid_file(tmp_path: Path):
    write_predictions(tmp_path / "p.json", joined([]))
    assert json.loads((tmp_path / "p.json").read_text()) == []
    assert same(read_predictions(tmp_path / "p.json"), joined([]))


def test_what_is_no_number_is_not_written(tmp_path: Path, found: Columns):
    write_predictions(tmp_path / "p.json", found)
    with pytest.raises(ValueError):
        write_predictions(tmp_path / "p.json", found._replace(score=np.full(len(found.score), NAN)))
    assert same(read_predictions(tmp_path / "p.json"), found)
    assert list(tmp_path.iterdir()) == [tmp_path / "p.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, found: Columns, monkeypatch: pytest.MonkeyPatch):
    write_predictions(tmp_path / "p.json", found)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"p\.json: cannot be written: No space left"):
        write_predictions(tmp_path / "p.json", joined([]))
    assert list(tmp_path.iterdir()) == [tmp_path / "p.json"]
    assert same(read_predictions(tmp_path / "p.json"), found)


def test_a_folder_that_is_missing_or_a_file_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "p.json", tmp_path / "file" / "p.json", tmp_path):
        with pytest.raises(StorageError, match="cannot be written"):
            write_predictions(path, joined([]))
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


def test_ids_and_forms_are_told_together(tmp_path: Path):
    good = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}
    bad = [{**good, "image_id": 2}, {**good, "category_id": 9}, {**good, "score": "1"}]
    (tmp_path / "p.json").write_text(json.dumps([good, *bad]))
    with pytest.raises(InputError) as caught:
        read_predictions(tmp_path / "p.json", {1}, {1})
    lines = str(caught.value).splitlines()
    assert [line.partition(".json: ")[2][:10] for line in lines] == ["results[1]", "results[2]", "results[3]"]
    assert [line[-5:] for line in lines] == ["[V04]", "[V05]", "[V08]"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("score", NAN, "V03"), ("box", INF, "V03"), ("box", -1.0, "D08"), ("image", 2, "V04"), ("category", 1, "V05")],
)
def test_columns_are_checked_as_results_are(truth: dict, found: Columns, name: str, value: float, told: str):
    column = getattr(found, name).copy()
    column[3, ...] = value
    with pytest.raises(InputError, match=rf"^results\[3\] .*\[{told}\]$"):
        evaluate_columns(truth, found._replace(**{name: column}))


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        read_predictions(tmp_path / "none.json")
    (tmp_path / "jpeg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match="no valid JSON"):
        read_predictions(tmp_path / "jpeg")
