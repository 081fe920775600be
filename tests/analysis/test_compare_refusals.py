"""What may not follow a finished comparison, and what is refused before the first cell trains."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from comparisons import CELLS, GRID, Done, Here, compare_here
from shapes import write_split

from densenets.errors import InputError
from densenets.run.folder import only_one


def test_another_protocol_is_refused_and_named(done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    before = (copy / "comparison.json").read_bytes()
    with pytest.raises(InputError) as fault:
        compare_here(monkeypatch, copy, done.data, "--lr=0.5", **{**GRID, "split": "val"}, cell_threads=2)
    assert str(fault.value).splitlines() == [
        f"--lr: 0.5, but {copy} was begun with 0.02; name another --out",
        f"--split: val, but {copy} was begun with test; name another --out, with --checkpoints {copy}/cells/* to judge "
        "these trainings there",
        f"--cell-threads: 2, but {copy} was begun with 1; name another --out",
    ]
    assert (copy / "comparison.json").read_bytes() == before


def test_a_flag_has_one_line_however_many_cells_it_is_for(
    done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path
) -> None:
    words = ["--epochs=2", "--ssd.loss=focal", "--val-split=train"]
    with pytest.raises(InputError) as fault:
        compare_here(monkeypatch, copy, done.data, *words, **GRID)
    assert str(fault.value).splitlines() == [
        f"--val-split: train, but {copy} was begun with val; name another --out",
        f"--epochs: 2, but {copy} was begun with 1; name another --out",
        f"--ssd.loss: focal, but {copy} was begun with softmax; name another --out",
    ]


def test_other_data_and_another_version_are_told_as_such(
    done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path
) -> None:
    content = json.loads((copy / "comparison.json").read_text())
    content["alike"] |= {"torch": "1.0", "train data": "0", "judged data": "0"}
    (copy / "comparison.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as fault:
        compare_here(monkeypatch, copy, done.data, **GRID)
    lines = str(fault.value).splitlines()
    begun = f"{copy} was begun with"
    assert lines[0] == f"--data: train data and judged data are not those that {begun}; name another --out"
    assert re.fullmatch(rf"torch: [\d.]+, but {begun} 1\.0; name another --out", lines[1])
    assert len(lines) == 2


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 2}', '{"format": 1, "task": "detection", "alike": {}, "cells": [], "commands": []}'],
)
def test_what_is_no_protocol_is_refused(done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path, content: str) -> None:
    (copy / "comparison.json").write_text(content)
    with pytest.raises(InputError, match=r"comparison\.json: "):
        compare_here(monkeypatch, copy, done.data, **GRID)


@pytest.mark.parametrize("name", ["report.html", "results.csv", "cells/v2/state.json", "config.yaml", "plots/a.png"])
def test_a_folder_with_files_of_others_is_refused(
    done: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """Of a run, of somebody, or of a comparison whose protocol is gone."""
    file = tmp_path / "own" / name
    file.parent.mkdir(parents=True)
    file.write_text("precious")
    with pytest.raises(InputError, match=rf"own: holds {name.split('/')[0]}, but no comparison\.json.*name another"):
        compare_here(monkeypatch, tmp_path / "own", done.data, **GRID)
    assert [path.read_text() for path in (tmp_path / "own").rglob("*") if path.is_file()] == ["precious"]


def test_pictures_that_no_cell_could_be_judged_on_are_told_before_the_first_trains(
    done: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = shutil.copytree(done.data.partition("=")[2], tmp_path / "data")
    for split in ("val", "test"):
        file = next((data / split).glob("*.*"))
        file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InputError) as fault:
        compare_here(monkeypatch, tmp_path / "out", f"--data={data}", **GRID)
    assert fault.value.ran == []  # type: ignore[attr-defined]
    assert [re.sub(r".*/data/(\w+)/.*(\[\w+\])", r"\1 \2", line) for line in str(fault.value).splitlines()] == [
        "val [D01]", "test [D01]"
    ]  # fmt: skip
    assert not (tmp_path / "out/comparison.json").exists()


def test_the_name_of_a_cell_cannot_lead_out_of_the_folder(
    done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path
) -> None:
    content = json.loads((copy / "comparison.json").read_text())
    content["cells"][0]["name"] = "../../elsewhere"
    (copy / "comparison.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="a cell cannot be one of this version: its name"):
        compare_here(monkeypatch, copy, done.data, **GRID)


@pytest.mark.parametrize("lost", ["task", "cells", "commands", "judged data"])
def test_a_protocol_that_lacks_a_part_is_refused(
    done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path, lost: str
) -> None:
    content = json.loads((copy / "comparison.json").read_text())
    content.pop(lost, None)
    content["alike"].pop(lost, None)
    (copy / "comparison.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"comparison\.json: not the protocol of a comparison"):
        compare_here(monkeypatch, copy, done.data, **GRID)


def refused(monkeypatch: pytest.MonkeyPatch, out: Path, *words: str, **changes: object) -> str:
    with pytest.raises(InputError) as fault:
        compare_here(monkeypatch, out, *words, **changes)
    assert fault.value.ran == []  # type: ignore[attr-defined]
    assert not out.exists()
    return str(fault.value)


def test_what_a_cell_would_fail_for_is_told_before_the_first_trains(
    done: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    grid = {"backbones": ["v3-small"], "heads": ["ssdlite"]}
    assert "--sizes: 16: expected 32 px or more" in refused(monkeypatch, out, done.data, **grid, sizes=["64", "16"])
    assert "v3-small--1-ssdlite-64: width" in refused(monkeypatch, out, done.data, **grid, widths=[0.35, -1.0])
    assert "nowhere" in refused(monkeypatch, out, "--data=nowhere", **grid)
    told = refused(monkeypatch, out, done.data, **{**grid, "pretrained": ["v2=nowhere.pth"], "widths": [1.0]})
    assert told == "--pretrained: v2=nowhere.pth: no such file"
    assert "--devices" in refused(monkeypatch, out, done.data, "--devices=-7", **grid)
    assert "no such run folder" in refused(monkeypatch, out, checkpoints=["nowhere"])
    assert "split" in refused(monkeypatch, out, done.data, **grid, split="nowhere")


def test_models_of_other_classes_or_another_task_are_refused(
    done: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, out = str(done.out / "cells" / CELLS[0]), tmp_path / "out"
    (tmp_path / "shapes/annotations").mkdir(parents=True)
    for split in ("train", "val"):
        write_split(tmp_path / "shapes", split, range(4))
        file = tmp_path / f"shapes/annotations/instances_{split}.json"
        file.write_text(file.read_text().replace('"red"', '"purple"'))
    told = refused(
        monkeypatch, out, f"--data={tmp_path / 'shapes'}", backbones=["v2"], heads=["ssdlite"], checkpoints=[run]
    )
    assert told == f"--checkpoints: {run}: knows red, green, blue; {tmp_path / 'shapes'} has purple, green, blue"
    told = refused(monkeypatch, out, f"--data={tmp_path / 'shapes'}", checkpoints=[run])  # alone, as they are
    assert told == f"--checkpoints: {run}: knows red, green, blue; {tmp_path / 'shapes'} has purple, green, blue"
    told = refused(
        monkeypatch, out, f"--data={tmp_path / 'shapes'}", backbones=["v2"], heads=["lraspp"], checkpoints=[run]
    )
    assert "--checkpoints: " in told
    assert "is of detection, the others of segmentation" in told


def test_what_the_engine_refuses_leaves_the_protocol_as_it_was(
    done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path, tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise InputError("--cpus: too many")

    monkeypatch.setattr(Here, "run", refuse)
    assert refused(monkeypatch, tmp_path / "new", done.data, **GRID) == "--cpus: too many"
    before = (copy / "comparison.json").read_bytes()
    with pytest.raises(InputError, match="too many"):
        compare_here(monkeypatch, copy, done.data, **{**GRID, "seeds": [7]})
    assert (copy / "comparison.json").read_bytes() == before


def test_weights_that_do_not_fit_are_told_once_and_with_their_flag(
    done: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "v1.pth"
    torch.save({"features.0.0.weight": torch.zeros(3)}, file)
    grid = {"backbones": ["v2"], "heads": ["ssdlite"], "sizes": ["64", "96"], "pretrained": [f"v1={file}"]}
    (line,) = refused(monkeypatch, tmp_path / "out", done.data, **grid).splitlines()
    assert line.startswith(f"--pretrained: v1={file}: ")


def test_a_gpu_that_is_not_there_is_told_first(done: Done, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match=r"--accelerator: gpu: .*; --rounds 0 measures no latency"):
        compare_here(monkeypatch, copy, done.data, "--accelerator=gpu", **GRID)


def test_a_folder_is_one_comparison_at_a_time(done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
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
            compare_here(monkeypatch, copy, done.data, **GRID)
    finally:
        (copy / "tried").write_text("")
        os.waitpid(child, 0)
