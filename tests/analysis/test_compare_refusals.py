"""What may not follow a finished comparison, and what is refused before the first cell trains."""

import json
import os
from pathlib import Path

import pytest
from comparisons import CELLS, GRID, Done, compare_here
from shapes import write_split

from densenets.errors import InputError
from densenets.run.folder import only_one


def test_another_protocol_is_refused_and_named(done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    before = (copy / "comparison.json").read_bytes()
    with pytest.raises(InputError) as fault:
        compare_here(monkeypatch, copy, done.data, "--lr=0.5", **{**GRID, "split": "val"}, cell_threads=2)
    told = str(fault.value)
    assert len(told.splitlines()) == 4
    assert "with another lr (0.02, now 0.5); name another --out" in told
    assert "with another split (test, now val)" in told
    assert "with another cell_threads (1, now 2)" in told
    assert "with another judged data" in told
    assert (copy / "comparison.json").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 2}', '{"format": 1, "task": "detection", "alike": {}, "cells": [], "commands": []}'],
)
def test_what_is_no_protocol_is_refused(done: Done, monkeypatch: pytest.MonkeyPatch, copy: Path, content: str) -> None:
    (copy / "comparison.json").write_text(content)
    with pytest.raises(InputError, match=r"comparison\.json: "):
        compare_here(monkeypatch, copy, done.data, **GRID)


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
    assert "v2-pretrained-ssdlite-64: nowhere.pth" in told
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
    assert "knows other classes" in told
    told = refused(
        monkeypatch, out, f"--data={tmp_path / 'shapes'}", backbones=["v2"], heads=["lraspp"], checkpoints=[run]
    )
    assert "--checkpoints: " in told
    assert "is of detection, the others of segmentation" in told


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
