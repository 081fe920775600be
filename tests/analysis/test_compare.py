"""A whole comparison of two small detectors, trained in this process; what may follow it, and what may not."""

import json
import os
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest
import torch
from comparisons import Here, compare_here, record_batches
from shapes import write_split

from densenets.analysis.comparison import Comparison
from densenets.errors import InputError, WorkerError
from densenets.run.folder import Outcome

CELLS = ["v3-small-0.35-ssdlite-64-seed0", "v2-0.35-ssdlite-64-seed0"]
GRID = {"backbones": ["v3-small", "v2"], "heads": ["ssdlite"], "split": "test"}


class Done(NamedTuple):
    """batches: the digests that each cell's training has seen."""

    outcome: Outcome
    out: Path
    data: str
    ran: list[str]
    batches: list[list[str]]


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def done(patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A finished comparison of two nets, judged on a split of their own."""
    place = tmp_path_factory.mktemp("compare")
    (place / "shapes/annotations").mkdir(parents=True)
    for split, numbers in {"train": range(8), "val": range(8, 11), "test": range(11, 15)}.items():
        write_split(place / "shapes", split, numbers)
    data, out = f"--data={place / 'shapes'}", place / "out"
    seen = record_batches(patch)
    outcome, ran = compare_here(patch, out, data, **GRID)
    return Done(outcome, out, data, ran, list(seen.values()))


@pytest.fixture
def copy(done: Done, tmp_path: Path) -> Path:
    """The finished comparison, to be changed."""
    return Path(shutil.copytree(done.out, tmp_path / "out"))


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


def test_again_it_repeats_nothing(done: Done, patch: pytest.MonkeyPatch, copy: Path, monkeypatch) -> None:
    for name in ("samples_of", "error_types", "costs", "latencies", "draw_cell"):
        monkeypatch.setattr(f"densenets.analysis.compare.finish.{name}", repeated)
    outcome, ran = compare_here(patch, copy, done.data, **GRID)
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


def test_more_draws_are_a_matter_of_the_end_alone(done: Done, patch: pytest.MonkeyPatch, copy: Path) -> None:
    outcome, ran = compare_here(patch, copy, done.data, **GRID, draws=30)
    assert ran == []
    assert outcome.results["draws"] == 30


def test_cells_may_come_to_a_finished_comparison(done: Done, patch: pytest.MonkeyPatch, copy: Path) -> None:
    """A seed more of one net: the cells of before stay, the model is the mean of its seeds."""
    outcome, ran = compare_here(patch, copy, done.data, **{**GRID, "backbones": ["v3-small"], "seeds": [7]})
    assert ran == ["v3-small-0.35-ssdlite-64-seed7"]
    models = {model["name"]: model for model in outcome.results["models"]}
    assert len(models) == 2
    several = models["v3-small-0.35-ssdlite-64"]
    assert [cell["seed"] for cell in several["cells"]] == [0, 7]
    numbers = [cell["scores"]["AP50"] for cell in several["cells"]]
    assert several["scores"]["AP50"]["value"] == pytest.approx(sum(numbers) / 2)
    assert several["spread"]["AP50"] == pytest.approx((min(numbers), max(numbers)))


def test_another_protocol_is_refused_and_named(done: Done, patch: pytest.MonkeyPatch, copy: Path) -> None:
    before = (copy / "comparison.json").read_bytes()
    with pytest.raises(InputError) as fault:
        compare_here(patch, copy, done.data, "--lr=0.5", **{**GRID, "split": "val"}, cell_threads=2)
    told = str(fault.value)
    assert len(told.splitlines()) == 4
    assert "with another lr (0.02, now 0.5); name another --out" in told
    assert "with another split (test, now val)" in told
    assert "with another cell_threads (1, now 2)" in told
    assert "with another judged data" in told
    assert (copy / "comparison.json").read_bytes() == before


def test_the_threads_of_a_cell_stay_when_other_jobs_are_asked_for(done: Done, patch, copy: Path) -> None:
    """Though their default follows from the jobs."""
    assert compare_here(patch, copy, done.data, **GRID, jobs=64, cell_threads=None)[1] == []


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 2}', '{"format": 1, "task": "detection", "alike": {}, "cells": [], "commands": []}'],
)
def test_what_is_no_protocol_is_refused(done: Done, patch, copy: Path, content: str) -> None:
    (copy / "comparison.json").write_text(content)
    with pytest.raises(InputError, match=r"comparison\.json: "):
        compare_here(patch, copy, done.data, **GRID)


def test_the_name_of_a_cell_cannot_lead_out_of_the_folder(done: Done, patch, copy: Path) -> None:
    content = json.loads((copy / "comparison.json").read_text())
    content["cells"][0]["name"] = "../../elsewhere"
    (copy / "comparison.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="a cell cannot be one of this version: its name"):
        compare_here(patch, copy, done.data, **GRID)


@pytest.mark.parametrize("lost", ["task", "cells", "commands", "judged data"])
def test_a_protocol_that_lacks_a_part_is_refused(done: Done, patch, copy: Path, lost: str) -> None:
    content = json.loads((copy / "comparison.json").read_text())
    content.pop(lost, None)
    content["alike"].pop(lost, None)
    (copy / "comparison.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"comparison\.json: not the protocol of a comparison"):
        compare_here(patch, copy, done.data, **GRID)


def test_cells_of_an_earlier_command_are_shown_and_not_run(done: Done, patch, copy: Path, tmp_path: Path) -> None:
    """A stranger's words in comparison.json are run by nobody, and data that moved are read where they lie now."""
    seed = {**GRID, "backbones": ["v3-small"], "seeds": [7]}
    new = "v3-small-0.35-ssdlite-64-seed7"
    with pytest.raises(WorkerError):
        compare_here(patch, copy, done.data, **seed, failing=[new])
    content = json.loads((copy / "comparison.json").read_text())
    first, second = content["commands"]
    assert first[:6] == ["densenets", "compare", "--backbones", "v3-small", "v2", "--heads"]
    assert second[:5] == ["densenets", "compare", "--backbones", "v3-small", "--heads"]
    next(cell for cell in content["cells"] if cell["name"] == new)["words"] += ["--epochs=2"]
    (copy / "comparison.json").write_text(json.dumps(content))
    outcome, ran = compare_here(patch, copy, done.data, **GRID)
    assert ran == []
    cell = outcome.results["models"][0]["cells"][1]
    assert (cell["name"], cell["state"]) == (new, "failed")
    moved = shutil.copytree(done.data.removeprefix("--data="), tmp_path / "moved")
    outcome, ran = compare_here(patch, copy, f"--data={moved}", **seed)
    assert ran == [new]
    words = outcome.results["models"][0]["cells"][1]["commands"][0]
    assert f"--data={moved}" in words
    assert "--epochs=2" not in words
    assert len(outcome.results["models"][0]["cells"][1]["curves"]) == 1


def test_a_failing_cell_does_not_end_the_rest(done: Done, patch, copy: Path) -> None:
    """Then it is tried again, alone."""
    new = "v3-small-0.5-ssdlite-64-seed0"
    wider = {**GRID, "widths": [0.35, 0.5], "backbones": ["v3-small"]}
    with pytest.raises(WorkerError) as fault:
        compare_here(patch, copy, done.data, **wider, failing=[new])
    assert fault.value.exit_code == 1
    assert f"{new}: no data [D36]; see {copy}/cells/{new}/log.txt" in str(fault.value)
    results = fault.value.outcome.results  # type: ignore[attr-defined]
    failed = next(model for model in results["models"] if model["name"] == "v3-small-0.5-ssdlite-64")
    assert failed["rank"] is None
    assert (failed["cells"][0]["state"], failed["cells"][0]["fault"]) == ("failed", "no data [D36]")
    assert "Failed" in (copy / "report.html").read_text()
    _, ran = compare_here(patch, copy, done.data, **wider)
    assert ran == [new]


def test_checkpoints_stand_in_for_trainings(done: Done, patch, tmp_path: Path) -> None:
    """The data are found by the first of them; the numbers are those of the runs' own judging."""
    runs = [str(done.out / "cells" / name) for name in CELLS]
    outcome, ran = compare_here(patch, tmp_path / "out", checkpoints=runs, split="test")
    assert ran == CELLS
    before = {model["cells"][0]["name"]: model for model in done.outcome.results["models"]}
    for model in outcome.results["models"]:
        assert model["scores"] == before[model["name"]]["scores"]
        assert model["cells"][0]["scores"] == before[model["name"]]["cells"][0]["scores"]
        assert len(model["cells"][0]["curves"]) == 1
    assert not list((tmp_path / "out").rglob("*.ckpt"))
    moved = Path(shutil.copytree(done.out / "cells" / CELLS[0], tmp_path / "moved"))
    assert compare_here(patch, tmp_path / "out", checkpoints=[str(moved)], split="test")[1] == []  # it is there already


def test_checkpoints_of_one_training_but_for_the_seed_are_one_model(done: Done, patch, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(done.out / "cells" / CELLS[0], other)
    saved = torch.load(other / "checkpoints/best.ckpt", weights_only=True)
    saved["origin"]["seed"] = 5
    torch.save(saved, other / "checkpoints/best.ckpt")
    (other / "checkpoints/best.ckpt.sha256").unlink()
    runs = [str(done.out / "cells" / CELLS[0]), str(other)]
    outcome, _ = compare_here(patch, tmp_path / "out", done.data, checkpoints=runs, split="test")
    (model,) = outcome.results["models"]
    assert [cell["seed"] for cell in model["cells"]] == [0, 5]


def test_what_a_stand_in_does_not_share_is_told_and_where_it_is_lost_it_alone_fails(
    done: Done, patch, copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Path(shutil.copytree(done.out / "cells" / CELLS[0], tmp_path / "other"))
    saved = torch.load(other / "checkpoints/best.ckpt", weights_only=True)
    saved["origin"]["lr"] = 0.77
    torch.save(saved, other / "checkpoints/best.ckpt")
    (other / "checkpoints/best.ckpt.sha256").unlink()
    outcome, ran = compare_here(patch, copy, done.data, **GRID, checkpoints=[str(other)])
    assert ran == ["other"]
    found = Comparison.from_plain(outcome.results)
    assert [(model.stands_in, model.differs) for model in found.models] == [
        (False, {}), (False, {}), (True, {"lr": 0.77})
    ]  # fmt: skip
    assert found.protocol["lr"] == 0.02
    assert not found.seconds_compare
    shutil.rmtree(other)
    with pytest.raises(WorkerError, match=r"^other: .*/other: no such run folder or checkpoint; its folder") as fault:
        compare_here(patch, copy, done.data, **GRID)
    assert "where it lies now" in caplog.text
    models = fault.value.outcome.results["models"]  # type: ignore[attr-defined]
    assert [model["cells"][0]["state"] for model in models] == ["done", "done", "failed"]


def test_a_cell_whose_files_are_gone_fails_alone(done: Done, patch, copy: Path) -> None:
    shutil.rmtree(copy / "pictures")
    (copy / "cells" / CELLS[0] / "judged/predictions.json").unlink()
    with pytest.raises(WorkerError) as fault:
        compare_here(patch, copy, done.data, **GRID)
    assert fault.value.ran == []  # type: ignore[attr-defined]
    assert str(fault.value).startswith(f"{CELLS[0]}: {copy}/cells/{CELLS[0]}/judged/predictions.json: cannot be read")
    results = fault.value.outcome.results  # type: ignore[attr-defined]
    lost, whole = results["models"]
    assert (lost["rank"], lost["cells"][0]["state"], whole["rank"]) == (None, "failed", 1)
    assert "No such file" in lost["cells"][0]["fault"]
    pictures = results["pictures"]
    assert all((copy / file).is_file() for picture in pictures for file in picture["predictions"].values())
    assert all(list(picture["predictions"]) == [whole["name"]] for picture in pictures)


def test_cells_that_had_two_devices_are_told(done: Done, patch, copy: Path) -> None:
    file = copy / "cells" / CELLS[0] / "results.json"
    content = json.loads(file.read_text())
    content["produced_by"]["device"] = "some GPU"
    file.write_text(json.dumps(content))
    found = Comparison.from_plain(compare_here(patch, copy, done.data, **GRID)[0].results)
    assert [model.differs for model in found.models] == [{"device": "some GPU"}, {"device": "cpu"}]
    assert not found.seconds_compare


def test_a_cell_that_was_asked_to_stop_is_told_so(done: Done, patch, copy: Path, monkeypatch) -> None:
    (copy / "cells" / CELLS[0] / "state.json").write_text('{"state": "waiting", "code": 143}')
    (copy / "cells" / CELLS[1] / "state.json").write_text('{"state": "waiting"}')
    monkeypatch.setattr(Here, "run", lambda *_: None)
    with pytest.raises(WorkerError) as fault:
        compare_here(patch, copy, done.data, **GRID)
    told = str(fault.value).splitlines()
    assert told[0].startswith(f"{CELLS[0]}: was asked to stop (143); see ")
    assert told[1].startswith(f"{CELLS[1]}: not begun; see ")


def refused(patch: pytest.MonkeyPatch, out: Path, *words: str, **changes: object) -> str:
    with pytest.raises(InputError) as fault:
        compare_here(patch, out, *words, **changes)
    assert fault.value.ran == []  # type: ignore[attr-defined]
    assert not out.exists()
    return str(fault.value)


def test_what_a_cell_would_fail_for_is_told_before_the_first_trains(done: Done, patch, tmp_path: Path) -> None:
    out = tmp_path / "out"
    grid = {"backbones": ["v3-small"], "heads": ["ssdlite"]}
    assert "--sizes: 16: expected 32 px or more" in refused(patch, out, done.data, **grid, sizes=["64", "16"])
    assert "v3-small--1-ssdlite-64: width" in refused(patch, out, done.data, **grid, widths=[0.35, -1.0])
    assert "nowhere" in refused(patch, out, "--data=nowhere", **grid)
    told = refused(patch, out, done.data, **{**grid, "pretrained": ["v2=nowhere.pth"], "widths": [1.0]})
    assert "v2-pretrained-ssdlite-64: nowhere.pth" in told
    assert "--devices" in refused(patch, out, done.data, "--devices=-7", **grid)
    assert "no such run folder" in refused(patch, out, checkpoints=["nowhere"])
    assert "split" in refused(patch, out, done.data, **grid, split="nowhere")


def test_models_of_other_classes_or_another_task_are_refused(done: Done, patch, tmp_path: Path) -> None:
    run, out = str(done.out / "cells" / CELLS[0]), tmp_path / "out"
    (tmp_path / "shapes/annotations").mkdir(parents=True)
    for split in ("train", "val"):
        write_split(tmp_path / "shapes", split, range(4))
        file = tmp_path / f"shapes/annotations/instances_{split}.json"
        file.write_text(file.read_text().replace('"red"', '"purple"'))
    told = refused(patch, out, f"--data={tmp_path / 'shapes'}", backbones=["v2"], heads=["ssdlite"], checkpoints=[run])
    assert "knows other classes" in told
    told = refused(patch, out, f"--data={tmp_path / 'shapes'}", backbones=["v2"], heads=["lraspp"], checkpoints=[run])
    assert "--checkpoints: " in told
    assert "is of detection, the others of segmentation" in told


def test_another_machine_measures_and_weighs_all_anew(done: Done, patch, copy: Path, monkeypatch) -> None:
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
    outcome, _ = compare_here(patch, copy, done.data, **GRID)
    assert asked == [sorted(model["name"] for model in outcome.results["models"])]
    assert [model["latency"] for model in outcome.results["models"]] == [{"p50": 1.0}] * 2
    assert outcome.results["machine"]["processor"] == "another"
    assert sorted(weighed) == ["v2", "v3-small"]
    assert [model["costs"] for model in outcome.results["models"]] == [{"peak_bytes": 7.0}] * 2


def test_doubtful_latencies_are_told_and_measured_anew(done: Done, patch, copy: Path, monkeypatch) -> None:
    found = [{"p50": 1.0, "drift": 0.5, "cores": 1.0}, {"p50": 2.0, "drift": 0.0, "cores": 1.0}]
    monkeypatch.setattr("densenets.analysis.compare.finish.machine", lambda *_: {"processor": "another", "threads": 1})
    given = iter(found)
    monkeypatch.setattr(
        "densenets.analysis.compare.finish.latencies", lambda models, *_, **__: dict.fromkeys(models, next(given))
    )
    for expected in found:
        outcome, _ = compare_here(patch, copy, done.data, **GRID, trusting=False)
        assert [model["latency"] for model in outcome.results["models"]] == [expected] * 2
        page = (copy / "report.html").read_text()
        assert ("Some latencies are doubtful" in page) == (expected is found[0])


def test_how_a_latency_was_measured_is_told(done: Done) -> None:
    machine = done.outcome.results["machine"]
    assert (machine["rounds"], machine["rounds_before_them"]) == (2, 10)
    assert len(machine["pictures_in_turns"]) == 4
    for model in done.outcome.results["models"]:
        assert model["latency"].keys() == {"p50", "p90", "pre", "network", "post", "drift", "cores"}


def test_a_gpu_that_is_not_there_is_told_first(done: Done, patch, copy: Path, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match=r"--accelerator: gpu: .*; --rounds 0 measures no latency"):
        compare_here(patch, copy, done.data, "--accelerator=gpu", **GRID)


def test_a_folder_is_one_comparison_at_a_time(done: Done, patch, copy: Path) -> None:
    from densenets.run.folder import only_one

    child = os.fork()
    if not child:  # a lock is a process' own
        try:
            with only_one(copy):
                Path(copy / "held").write_text("")
                while not (copy / "tried").exists():
                    pass
        finally:
            os._exit(0)
    while not (copy / "held").exists():
        pass
    try:
        with pytest.raises(InputError, match="another process is"):
            compare_here(patch, copy, done.data, **GRID)
    finally:
        (copy / "tried").write_text("")
        os.waitpid(child, 0)
