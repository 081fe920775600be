"""Names and texts from outside: no file is written elsewhere, no control character reaches a terminal [X09, X13]."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_checkpoint import checkpoint

from densenets import files
from densenets.cli import main
from densenets.errors import InputError
from densenets.run.folder import Outcome


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "../../x",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "\0",
        "\x1b[31m",
        "é" * 200,
        "\udcff",
        "a\nb",
        ".hidden",
        "~",
    ],
)
def test_a_name_made_of_any_text_stays_in_its_folder(tmp_path, text: str) -> None:
    name = files.file_name(text)
    assert name.isprintable()
    assert len(name.encode()) <= 120
    path = files.inside(tmp_path, f"{name}.png")
    path.touch()
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_taken_gets_the_first_number_that_is_free() -> None:
    assert files.free_name("a", {"b"}) == "a"
    assert files.free_name("a", {"a"}) == "a-2"
    assert files.free_name("a", {"a", "a-2", "a-4"}) == "a-3"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/b", "a/../b", "x\0"])
def test_a_name_that_leads_out_is_refused(tmp_path, name: str) -> None:
    with pytest.raises(InputError, match="X09"):
        files.inside(tmp_path, name)


def test_predict_writes_into_its_folder_only(tmp_path, monkeypatch, capsys) -> None:
    """Names of pictures as hostile as a file system permits; a link in the way is replaced, not followed."""
    torch.save(checkpoint(), tmp_path / "x.ckpt")
    (tmp_path / "in").mkdir()
    pixels = Image.fromarray(np.full((64, 64, 3), 90, np.uint8))
    names = [
        "...png",
        "..\\..\\x.png",
        "\x1b[31mred.png",
        "a\nb.png",
        "n" * 251 + ".png",
        "ok.png",
        os.fsdecode(b"\xff.png"),
    ]
    for name in names:
        with (tmp_path / "in" / name).open("wb") as file:
            pixels.save(file, "PNG")
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").write_text("keep")
    (tmp_path / "out" / "ok.png").symlink_to(tmp_path / "precious")
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "--checkpoint", "x.ckpt", "--images", "in", "--out", "out", "--accelerator", "cpu"]) == 0
    printed = capsys.readouterr()
    assert all(line.isprintable() for line in (printed.out + printed.err).splitlines())
    assert (tmp_path / "precious").read_text() == "keep"
    assert len(list((tmp_path / "out").iterdir())) == len(names) + 1
    assert {path for path in tmp_path.rglob("*") if "out" not in path.parts} == before
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())["images"]) == len(names)


def test_a_result_s_files_are_printed_without_control_characters() -> None:
    assert str(Outcome({}, "text", [Path("\x1b[2Ja\nb")])).splitlines()[-1].isprintable()


def test_hostile_class_names_reach_no_terminal_raw(shapes, tmp_path, monkeypatch, capsys) -> None:
    """Through the table on stdout, the log and the errors of train-det and eval-det."""
    data = shapes(train=range(4), val=range(4, 6))
    for split in ("train", "val"):
        file = data / "annotations" / f"instances_{split}.json"
        document = json.loads(file.read_text())
        for item, name in zip(document["categories"], ("\x1b[31mred", "a\nb\rc", "\u202eright\x07"), strict=True):
            item["name"] = name
        file.write_text(json.dumps(document))
    monkeypatch.chdir(tmp_path)
    small = ["--backbone", "v3-small", "--width", "0.5", "--size", "96", "--batch-size", "4", "--epochs", "1"]
    words = [*small, "--workers", "0", "--accelerator", "cpu", "--data", str(data), "--out", "run"]
    assert main(["train-det", *words]) == 0
    assert main(["eval-det", "--checkpoint", "run", "--data", str(data), "--workers", "0"]) == 0
    printed = capsys.readouterr()
    assert "\\x1b[31mred" in printed.out
    for raw in ("\x1b[31mred", "a\nb\rc", "\u202e", "\x07"):
        assert raw not in printed.out + printed.err
    assert io.StringIO(printed.out).read()
