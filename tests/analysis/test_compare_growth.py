"""What may follow a finished comparison: more cells, checkpoints that stand in for trainings, cells that fail alone."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from comparisons import CELLS, GRID, Done, Here, compare_here
from shapes import write_split

from densenets.analysis.compare.ground import read_stand_ins
from densenets.analysis.comparison import Comparison
from densenets.errors import WorkerError


def test_cells_may_come_to_a_finished_comparison(done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    """A seed more of one net: the cells of before stay, the model is the mean of its seeds."""
    outcome, ran = compare_here(monkeypatch, copy, done.data, **{**GRID, "backbones": ["v3-small"], "seeds": [7]})
    assert ran == ["v3-small-0.35-ssdlite-64-seed7"]
    models = {model["name"]: model for model in outcome.results["models"]}
    assert len(models) == 2
    several = models["v3-small-0.35-ssdlite-64"]
    assert [cell["seed"] for cell in several["cells"]] == [0, 7]
    numbers = [cell["scores"]["AP50"] for cell in several["cells"]]
    assert several["scores"]["AP50"]["value"] == pytest.approx(sum(numbers) / 2)
    assert several["spread"]["AP50"] == pytest.approx((min(numbers), max(numbers)))


def test_the_threads_of_a_cell_stay_when_other_jobs_are_asked_for(
    done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path
) -> None:
    """Though their default follows from the jobs."""
    assert compare_here(monkeypatch, copy, done.data, **GRID, jobs=64, cell_threads=None)[1] == []


def test_cells_of_an_earlier_command_are_shown_and_not_run(
    done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path, tmp_path: Path
) -> None:
    """A stranger's words in comparison.json are run by nobody, and data that moved are read where they lie now."""
    seed = {**GRID, "backbones": ["v3-small"], "seeds": [7]}
    new = "v3-small-0.35-ssdlite-64-seed7"
    with pytest.raises(WorkerError):
        compare_here(monkeypatch, copy, done.data, **seed, failing=[new])
    content = json.loads((copy / "comparison.json").read_text())
    first, second = content["commands"]
    assert first[:6] == ["densenets", "compare", "--backbones", "v3-small", "v2", "--heads"]
    assert second[:5] == ["densenets", "compare", "--backbones", "v3-small", "--heads"]
    next(cell for cell in content["cells"] if cell["name"] == new)["words"] += ["--epochs=2"]
    (copy / "comparison.json").write_text(json.dumps(content))
    outcome, ran = compare_here(monkeypatch, copy, done.data, **GRID)
    assert ran == []
    cell = outcome.results["models"][0]["cells"][1]
    assert (cell["name"], cell["state"]) == (new, "failed")
    moved = shutil.copytree(done.data.removeprefix("--data="), tmp_path / "moved")
    outcome, ran = compare_here(monkeypatch, copy, f"--data={moved}", **seed)
    assert ran == [new]
    words = outcome.results["models"][0]["cells"][1]["commands"][0]
    assert f"--data={moved}" in words
    assert "--epochs=2" not in words
    assert len(outcome.results["models"][0]["cells"][1]["curves"]) == 1


def test_a_failing_cell_does_not_end_the_rest(done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    """Then it is tried again, alone."""
    new = "v3-small-0.5-ssdlite-64-seed0"
    wider = {**GRID, "widths": [0.35, 0.5], "backbones": ["v3-small"]}
    with pytest.raises(WorkerError) as fault:
        compare_here(monkeypatch, copy, done.data, **wider, failing=[new])
    assert fault.value.exit_code == 1
    assert f"{new}: no data [D36]; see {copy}/cells/{new}/log.txt" in str(fault.value)
    results = fault.value.outcome.results  # type: ignore[attr-defined]
    failed = next(model for model in results["models"] if model["name"] == "v3-small-0.5-ssdlite-64")
    assert failed["rank"] is None
    assert (failed["cells"][0]["state"], failed["cells"][0]["fault"]) == ("failed", "no data [D36]")
    assert "Failed" in (copy / "report.html").read_text()
    _, ran = compare_here(monkeypatch, copy, done.data, **wider)
    assert ran == [new]


def test_checkpoints_stand_in_for_trainings(done: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The data are found by the first of them; the numbers are those of the runs' own judging."""
    runs = [str(done.out / "cells" / name) for name in CELLS]
    outcome, ran = compare_here(monkeypatch, tmp_path / "out", checkpoints=runs, split="test")
    assert ran == CELLS
    before = {model["cells"][0]["name"]: model for model in done.outcome.results["models"]}
    for model in outcome.results["models"]:
        assert model["scores"] == before[model["name"]]["scores"]
        assert model["cells"][0]["scores"] == before[model["name"]]["cells"][0]["scores"]
        assert len(model["cells"][0]["curves"]) == 1
    assert not list((tmp_path / "out").rglob("*.ckpt"))
    moved = Path(shutil.copytree(done.out / "cells" / CELLS[0], tmp_path / "moved"))
    assert (
        compare_here(monkeypatch, tmp_path / "out", checkpoints=[str(moved)], split="test")[1] == []
    )  # it is there already


def test_checkpoints_of_one_training_but_for_the_seed_are_one_model(
    done: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(done.out / "cells" / CELLS[0], other)
    saved = torch.load(other / "checkpoints/best.ckpt", weights_only=True)
    saved["origin"]["seed"] = 5
    torch.save(saved, other / "checkpoints/best.ckpt")
    (other / "checkpoints/best.ckpt.sha256").unlink()
    runs = [str(done.out / "cells" / CELLS[0]), str(other)]
    outcome, _ = compare_here(monkeypatch, tmp_path / "out", done.data, checkpoints=runs, split="test")
    (model,) = outcome.results["models"]
    assert [cell["seed"] for cell in model["cells"]] == [0, 5]
    assert outcome.results["split_use"] == ""


@pytest.mark.parametrize(("split", "use"), [("val", "chosen"), ("train", "trained")])
def test_what_the_split_was_to_a_stand_in_is_known_by_its_data(
    done: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, split: str, use: str
) -> None:
    runs = [str(done.out / "cells" / CELLS[0])]
    outcome, _ = compare_here(monkeypatch, tmp_path / "out", done.data, checkpoints=runs, split=split)
    assert outcome.results["split_use"] == use
    elsewhere = tmp_path / "elsewhere"  # another set with a split of that name
    (elsewhere / "annotations").mkdir(parents=True)
    write_split(elsewhere, split, range(30, 34))
    outcome, _ = compare_here(monkeypatch, tmp_path / "two", f"--data={elsewhere}", checkpoints=runs, split=split)
    assert outcome.results["split_use"] == ""


def test_a_stand_in_that_is_the_very_checkpoint_of_a_cell_is_told(
    done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = shutil.copytree(done.out / "cells" / CELLS[0], tmp_path / "other")
    outcome, _ = compare_here(monkeypatch, copy, done.data, **GRID, checkpoints=[str(other)])
    assert [model["same_as"] for model in outcome.results["models"]] == [[], [], [CELLS[0]]]
    assert f"other: is the very checkpoint of {CELLS[0]}, not another training" in caplog.text
    page = re.sub(r"<[^>]*>", "", (copy / "report.html").read_text())
    assert f"not trained here: the very checkpoint of {CELLS[0]}" in page


def test_a_file_in_no_run_folder_takes_nothing_from_what_lies_around_it(done: Done, tmp_path: Path) -> None:
    saved = torch.load(done.out / "cells" / CELLS[0] / "checkpoints/best.ckpt", weights_only=True)
    del saved["origin"]
    (tmp_path / "results.json").write_text('{"seed": 7, "epochs": 9}')
    for folder in ("checkpoints", "loose"):
        (tmp_path / folder).mkdir()
        torch.save(saved, tmp_path / folder / "net.ckpt")
    inside, loose = read_stand_ins([str(tmp_path / name / "net.ckpt") for name in ("checkpoints", "loose")])
    assert (inside.seed, inside.epochs) == (7, 9)
    assert (loose.seed, loose.epochs) == (None, None)


def test_what_a_stand_in_does_not_share_is_told_and_where_it_is_lost_it_alone_fails(
    done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Path(shutil.copytree(done.out / "cells" / CELLS[0], tmp_path / "other"))
    saved = torch.load(other / "checkpoints/best.ckpt", weights_only=True)
    saved["origin"]["lr"] = 0.77
    torch.save(saved, other / "checkpoints/best.ckpt")
    (other / "checkpoints/best.ckpt.sha256").unlink()
    outcome, ran = compare_here(monkeypatch, copy, done.data, **GRID, checkpoints=[str(other)])
    assert ran == ["other"]
    found = Comparison.from_plain(outcome.results)
    assert [(model.stands_in, model.differs) for model in found.models] == [
        (False, {}), (False, {}), (True, {"lr": 0.77})
    ]  # fmt: skip
    assert found.protocol["lr"] == 0.02
    assert not found.seconds_compare
    shutil.rmtree(other)
    with pytest.raises(WorkerError, match=r"^other: .*/other: no such run folder or checkpoint$") as fault:
        compare_here(monkeypatch, copy, done.data, **GRID)
    assert "where it lies now" in caplog.text
    models = fault.value.outcome.results["models"]  # type: ignore[attr-defined]
    assert [model["cells"][0]["state"] for model in models] == ["done", "done", "failed"]


def test_a_cell_whose_predictions_are_gone_is_judged_again(
    done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path
) -> None:
    file = copy / "cells" / CELLS[0] / "judged/predictions.json"
    before = file.read_bytes()
    file.unlink()
    outcome, ran = compare_here(monkeypatch, copy, done.data, **GRID)
    assert ran == CELLS[:1]
    assert file.read_bytes() == before
    assert [model["rank"] for model in outcome.results["models"]].count(None) == 0


def test_a_cell_whose_files_are_damaged_fails_alone(done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    shutil.rmtree(copy / "pictures")
    (copy / "cells" / CELLS[0] / "judged/predictions.json").write_text("[{")
    with pytest.raises(WorkerError) as fault:
        compare_here(monkeypatch, copy, done.data, **GRID)
    assert fault.value.ran == []  # type: ignore[attr-defined]
    assert str(fault.value).startswith(f"{CELLS[0]}: {copy}/cells/{CELLS[0]}/judged/predictions.json: ")
    assert str(fault.value).splitlines()[0].endswith(f"; delete {copy}/cells/{CELLS[0]} to have it done anew")
    results = fault.value.outcome.results  # type: ignore[attr-defined]
    lost, whole = results["models"]
    assert (lost["rank"], lost["cells"][0]["state"], whole["rank"]) == (None, "failed", 1)
    assert "predictions.json" in lost["cells"][0]["fault"]
    pictures = results["pictures"]
    assert all((copy / file).is_file() for picture in pictures for file in picture["predictions"].values())
    assert all(list(picture["predictions"]) == [whole["name"]] for picture in pictures)


def test_a_cell_that_was_asked_to_stop_is_told_so(done: Done, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / "cells" / CELLS[0] / "state.json").write_text('{"state": "waiting", "code": 143}')
    (copy / "cells" / CELLS[1] / "state.json").write_text('{"state": "waiting"}')
    monkeypatch.setattr(Here, "run", lambda *_: None)
    with pytest.raises(WorkerError) as fault:
        compare_here(monkeypatch, copy, done.data, **GRID)
    told = str(fault.value).splitlines()
    assert told[0].startswith(f"{CELLS[0]}: was asked to stop (143); see ")
    assert told[1].startswith(f"{CELLS[1]}: not begun; see ")
