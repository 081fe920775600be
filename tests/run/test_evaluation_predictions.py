"""Judging a file of predictions: the numbers of its checkpoint, and nothing believed that lies beside it."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evaluations import numbers, read

from densenets.cli import main
from densenets.config import EvalDetection
from densenets.errors import InputError
from densenets.metrics.coco_map import NUMBERS
from densenets.run import evaluate_detection

# A file of predictions


def test_a_file_gives_the_numbers_of_its_checkpoint_and_the_same_results(
    shapes: Any, judged: Any, tmp_path: Path
) -> None:
    """[V12] A difference of 0.0, in every number of results.json; from the folder as well."""
    data = shapes(val=range(9))
    first = judged(data)
    for place in ("out/predictions.json", "out"):
        out = str(tmp_path / "again" / place.replace("/", "-"))
        evaluate_detection(EvalDetection(predictions=str(tmp_path / place), out=out))
        assert numbers(read(Path(out))) == numbers(first) == numbers(read(tmp_path / "out"))
        assert (Path(out) / "predictions.json").read_bytes() == (tmp_path / "out/predictions.json").read_bytes()


def test_images_without_detections_are_known_from_those_never_judged(shapes: Any, judged: Any, tmp_path: Path) -> None:
    """[V06] results.json of our own lists the former; a file alone cannot tell them."""
    data = shapes(val=range(6))
    results = judged(data, score_threshold=0.9)  # which an untrained net rarely reaches
    assert results["without_detections"]
    file = tmp_path / "out/predictions.json"
    assert numbers(evaluate_detection(EvalDetection(predictions=str(file))).results) == numbers(results)
    bare = tmp_path / "bare.json"
    bare.write_bytes(file.read_bytes())
    with pytest.raises(InputError) as caught:
        evaluate_detection(EvalDetection(predictions=str(bare), data=str(data)))
    assert len(str(caught.value).splitlines()) == len(results["without_detections"])
    assert "bare.json: image 100: no prediction" in str(caught.value)
    taken = evaluate_detection(EvalDetection(predictions=str(bare), data=str(data), partial=True)).results
    assert [taken[name] for name in NUMBERS] == [results[name] for name in NUMBERS]
    assert taken["partial"] is True
    assert taken["counts"]["without_predictions"] == len(results["without_detections"])


def test_faults_of_a_file_are_told_together_and_end_with_2(shapes: Any, tmp_path: Path, capsys: Any) -> None:
    """[V03] [V04] [V05] [V08] through the command."""
    good = {"image_id": 100, "category_id": 4, "bbox": [1, 1, 9, 9], "score": 0.5}
    bad: list[dict] = [{**good, "image_id": 5}, {**good, "image_id": "100"}, {**good, "category_id": 1}]
    bad += [{**good, "bbox": [1e999, 0, 1, 1]}, {**good, "bbox": [1, 1, 9]}, {**good, "score": "0.5"}]
    file = tmp_path / "p.json"
    file.write_text(json.dumps([good, *bad]).replace("Infinity", "1e999"))
    assert main(["eval-det", "--predictions", str(file), "--data", str(shapes(val=range(1)))]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert [line[-5:] for line in lines] == ["[V04]", "[V04]", "[V05]", "[V03]", "[V08]", "[V08]"]
    assert all(line.startswith(f"densenets: error: {file}: results[{i}] ") for i, line in enumerate(lines, start=1))
    file.write_text(json.dumps([{**good, "score": float("nan")}]))
    assert main(["eval-det", "--predictions", str(file), "--data", str(tmp_path / "shapes")]) == 2
    assert "NaN is no number [V03]" in capsys.readouterr().err


def test_boxes_written_as_corners_are_suspected(shapes: Any, tmp_path: Path, capsys: Any, caplog: Any) -> None:
    """[V07]"""
    data = shapes(val=range(3))
    truth = json.loads((data / "annotations/instances_val.json").read_text())["annotations"]
    rows = [(a["image_id"], a["category_id"], a["bbox"]) for a in truth]
    found = [
        {"image_id": i, "category_id": k, "bbox": [x, y, x + w, y + h], "score": 0.5} for i, k, (x, y, w, h) in rows
    ]
    (tmp_path / "p.json").write_text(json.dumps(found))
    assert main(["eval-det", "--predictions", str(tmp_path / "p.json"), "--data", str(data)]) == 0
    assert "look like x0 y0 x1 y1" in caplog.text
    assert capsys.readouterr().out.startswith("AP     ")


# What lies beside: written by anybody, of another evaluation, or of another split


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("data", value) for value in (5, {"data": 5}, {"data": ["x"]}, {"annotations": 3, "images": 4})],
        *[("model", value) for value in (5, {"classes": [1, 2]}, {"classes": "abc"}, {"classes": [["a"]]})],
        *[("without_detections", value) for value in (5, [[1]], [{}], ["104"])],
    ],
)
def test_results_beside_that_are_none_do_not_count(
    shapes: Any, judged: Any, tmp_path: Path, name: str, value: object
) -> None:
    data = shapes(val=range(3))
    wanted = judged(data)
    (tmp_path / "out/results.json").write_text(json.dumps({**wanted, name: value}))
    settings = EvalDetection(predictions=str(tmp_path / "out"), data=str(data), partial=True)
    assert [evaluate_detection(settings).results[each] for each in NUMBERS] == [wanted[each] for each in NUMBERS]


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("[" * 100_000), os.mkfifo])
def test_nor_does_what_cannot_be_read(shapes: Any, judged: Any, tmp_path: Path, spoil: Any) -> None:
    data = shapes(val=range(3))
    wanted = judged(data)
    (tmp_path / "out/results.json").unlink()
    spoil(tmp_path / "out/results.json")
    settings = EvalDetection(predictions=str(tmp_path / "out"), data=str(data), partial=True)
    assert evaluate_detection(settings).results["AP"] == wanted["AP"]


def test_results_of_another_file_tell_nothing_of_this_one(shapes: Any, judged: Any, tmp_path: Path) -> None:
    """Its images without a line were never judged, whatever the other evaluation found in them."""
    data = shapes(val=range(3))
    results = judged(data)
    every = results["without_detections"] + sorted({r["image_id"] for r in found(tmp_path / "out")})
    (tmp_path / "out/results.json").write_text(json.dumps({**results, "without_detections": every}))
    (tmp_path / "out/other.json").write_text("[]")
    with pytest.raises(InputError, match=r"image 100: no prediction.* \[V06\]"):
        evaluate_detection(EvalDetection(predictions=str(tmp_path / "out/other.json"), data=str(data)))


def found(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "predictions.json").read_text())


@pytest.mark.parametrize("named", [True, False])
def test_predictions_are_not_judged_by_another_split(shapes: Any, judged: Any, tmp_path: Path, named: bool) -> None:
    """The images of two splits may have the same ids, as Roboflow's have: the numbers would be wrong without a word."""
    data = shapes(val=range(3), test=range(3))
    wanted = judged(data, split="test")
    settings = EvalDetection(predictions=str(tmp_path / "out"), data=str(data) if named else None)
    with pytest.raises(InputError, match=r"--split: val: .* is of the split test; --split test judges it \[V04\]"):
        evaluate_detection(settings)
    assert evaluate_detection(replace(settings, split="test")).results["AP"] == wanted["AP"]


def test_a_broken_picture_costs_no_results_of_predictions(
    shapes: Any, judged: Any, tmp_path: Path, caplog: Any
) -> None:
    """They need none; only the sheet lacks it."""
    data = shapes(val=range(3))
    wanted = judged(data)
    (data / "val/1.png").write_bytes(b"broken")
    out = tmp_path / "again"
    evaluate_detection(EvalDetection(predictions=str(tmp_path / "out"), data=str(data), out=str(out)))
    assert numbers(read(out)) == numbers(wanted)
    assert (out / "validation.png").is_file()
    assert "missing in the sheet of pictures" in caplog.text
    assert "1.png" in caplog.text
