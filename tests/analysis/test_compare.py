"""A whole comparison of two small detectors, trained in this process: what it finds, and what of that holds when it is
started again, elsewhere too."""

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import pytest
from comparisons import CELLS, GRID, Done, compare_here

from densenets.analysis.comparison import Comparison


def test_every_cell_is_trained_once_and_judged_on_the_split(done: Done) -> None:
    assert done.ran == CELLS
    for name in CELLS:
        results = json.loads((done.out / "cells" / name / "judged/results.json").read_text())
        assert results["data"]["split"] == "test"
        assert results["counts"]["images"] == 4


def test_at_one_seed_every_net_sees_the_same_batches(done: Done) -> None:
    first, second = done.batches
    assert len(first) == 2
    assert first == second


def test_the_protocol_is_written(done: Done) -> None:
    content = json.loads((done.out / "comparison.json").read_text())
    assert [cell["name"] for cell in content["cells"]] == CELLS
    alike = content["alike"]
    assert alike["epochs"] == 1
    assert alike["split"] == "test"
    assert alike["cell_threads"] == 1
    assert alike["torch"] == version("torch")
    assert len(alike["train data"]) == 32
    assert content["machine"]["cores"] == os.cpu_count()


def test_what_was_found(done: Done) -> None:
    found = Comparison.from_plain(json.loads((done.out / "results.json").read_text()))
    assert found == Comparison.from_plain(done.outcome.results)
    assert (found.task, found.ranked_by, found.images, found.split) == ("detection", "AP", 4, "test")
    assert found.classes == ["red", "green", "blue"]
    assert (found.split_use, found.uneven_classes) == ("", [])
    assert (found.boxes_from, found.colours) == (0.3, [])
    assert found.pictures
    assert all(sorted(picture.empty) == sorted(picture.predictions) for picture in found.pictures)  # after one epoch
    assert sorted(model.rank or 0 for model in found.models) == [1, 2]
    for model in found.models:
        results = json.loads((done.out / "cells" / model.cells[0].name / "judged/results.json").read_text())
        for name in ("AP", "AP50", "AP75"):
            assert model.scores[name].value == pytest.approx(results[name], abs=1e-9)
        assert model.canvas == (64, 64)
        assert model.costs["parameters"] > 1e5
        assert model.costs["madds"] > 1e5
        assert model.latency["p50"] > 0
        assert len(model.cells[0].curves) == 1
        assert model.cells[0].commands[0][:4] == ["env", "OMP_NUM_THREADS=1", "densenets", "train-det"]
        assert (model.stands_in, model.differs, model.padding, model.normalize) == (False, {}, "torch", "imagenet")
        assert {*model.per_class} == {*found.classes}
        assert "background" in model.error_types
    (between,) = found.differences
    assert between.tie == (between.difference.low <= 0 <= between.difference.high)  # type: ignore[operator]
    assert all(bool(model.ties) == between.tie for model in found.models)
    assert found.seconds_compare
    assert found.machine is not None
    assert found.machine["threads"] == 1


def test_the_same_pictures_for_all(done: Done) -> None:
    pictures = done.outcome.results["pictures"]
    assert len(pictures) == 2
    for picture in pictures:
        files = [picture["truth"], *picture["predictions"].values()]
        assert len(set(files)) == 3
        assert all((done.out / file).read_bytes()[:2] == b"\xff\xd8" for file in files)


def test_the_table_is_aligned_and_the_files_are_named(done: Done) -> None:
    lines = str(done.outcome).splitlines()
    assert "4 images of" in lines[0]
    head, first, second = lines[2:5]
    models = sorted(done.outcome.results["models"], key=lambda model: model["rank"])
    ranked = [f"{model['costs']['parameters'] / 1e6:.2f}" for model in models]
    shown = ((head, "M params"), (first, ranked[0]), (second, ranked[1]))
    assert len({line.index(text) + len(text) for line, text in shown}) == 1
    assert [row.split()[0] for row in (first, second)] == ["1", "2"]
    for name in ("report.html", "results.csv", "results.json", "comparison.json"):
        assert str(done.out / name) in lines
        assert (done.out / name).is_file()


def test_again_it_repeats_nothing(done: Done, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("samples_of", "error_types", "costs", "latencies", "draw_cell"):
        monkeypatch.setattr(f"densenets.analysis.compare.finish.{name}", repeated)
    outcome, ran = compare_here(monkeypatch, copy, done.data, **GRID)
    assert ran == []
    assert strip(outcome.results) == strip(done.outcome.results)


def repeated(*_: object, **__: object) -> NoReturn:
    raise AssertionError("this was found already")


def strip(results: dict) -> dict:
    """Without what names the folder."""
    told = json.loads(json.dumps(results))
    for model in told["models"]:
        for cell in model["cells"]:
            cell["commands"] = None
    return {name: value for name, value in told.items() if name not in ("produced_by", "commands")}


def test_more_draws_are_a_matter_of_the_end_alone(done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    outcome, ran = compare_here(monkeypatch, copy, done.data, **GRID, draws=30)
    assert ran == []
    assert outcome.results["draws"] == 30


def test_another_machine_measures_and_weighs_all_anew(done: Done, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, weighed = [], []

    def costs(net, description, *, threads):  # type: ignore[no-untyped-def]
        weighed.append(description.backbone)
        return {"peak_bytes": 7.0}

    def latencies(models, images, rounds, threads, *, device):  # type: ignore[no-untyped-def]
        asked.append(sorted(models))
        return {name: {"p50": 1.0} for name in models}

    monkeypatch.setattr("densenets.analysis.compare.finish.latencies", latencies)
    monkeypatch.setattr("densenets.analysis.compare.finish.costs", costs)
    monkeypatch.setattr("densenets.analysis.compare.finish.machine", lambda *_: {"processor": "another", "threads": 1})
    outcome, _ = compare_here(monkeypatch, copy, done.data, **GRID)
    assert asked == [sorted(model["name"] for model in outcome.results["models"])]
    assert [model["latency"] for model in outcome.results["models"]] == [{"p50": 1.0}] * 2
    assert outcome.results["machine"]["processor"] == "another"
    assert sorted(weighed) == ["v2", "v3-small"]
    assert [model["costs"] for model in outcome.results["models"]] == [{"peak_bytes": 7.0}] * 2


def test_doubtful_latencies_are_told_and_measured_anew(done: Done, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [{"p50": 1.0, "drift": 0.5, "cores": 1.0}, {"p50": 2.0, "drift": 0.0, "cores": 1.0}]
    monkeypatch.setattr("densenets.analysis.compare.finish.machine", lambda *_: {"processor": "another", "threads": 1})
    given = iter(found)
    monkeypatch.setattr(
        "densenets.analysis.compare.finish.latencies", lambda models, *_, **__: dict.fromkeys(models, next(given))
    )
    for expected in found:
        outcome, _ = compare_here(monkeypatch, copy, done.data, **GRID, trusting=False)
        assert [model["latency"] for model in outcome.results["models"]] == [expected] * 2
        page = (copy / "report.html").read_text()
        assert ("Some latencies are doubtful" in page) == (expected is found[0])


def test_how_a_latency_was_measured_is_told(done: Done) -> None:
    machine = done.outcome.results["machine"]
    assert (machine["rounds"], machine["rounds_before_them"]) == (2, 10)
    assert len(machine["pictures_in_turns"]) == 4
    for model in done.outcome.results["models"]:
        assert model["latency"].keys() == {"p50", "p90", "pre", "network", "post", "drift", "cores"}


def test_cells_that_had_two_devices_are_told(done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    file = copy / "cells" / CELLS[0] / "results.json"
    content = json.loads(file.read_text())
    content["produced_by"]["device"] = "some GPU"
    file.write_text(json.dumps(content))
    found = Comparison.from_plain(compare_here(monkeypatch, copy, done.data, **GRID)[0].results)
    assert [model.differs for model in found.models] == [{"device": "some GPU"}, {"device": "cpu"}]
    assert not found.seconds_compare
