"""No file from outside runs code, unfolds beyond its size, or has anything written elsewhere [X01..X13]."""

import ast
import io
import json
import os
import pickle
import re
import struct
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from densenets import files
from densenets.build import FIELDS, ModelDescription, build_from, load_torchvision
from densenets.cli import main
from densenets.command_line import parse
from densenets.config import SSDOptions, TrainDetection
from densenets.errors import InputError
from densenets.run.folder import Outcome

ROOT = Path(__file__).parent.parent


class Canary:
    """Unpickling it with Python's own means writes the file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.file}",)


def description() -> dict[str, Any]:
    from dataclasses import asdict

    return ModelDescription(
        "v3-small", "ssdlite", ["car"], [1], (64, 64), 0.1, "torch", "imagenet", False, True, None, asdict(SSDOptions())
    ).plain()


def checkpoint(**changes: Any) -> dict[str, Any]:
    plain = {**description(), **changes}
    net = build_from(ModelDescription(**{**description(), "canvas": (64, 64)}))
    state = {f"model.{name}": value for name, value in net.state_dict().items()}
    return {"densenets": plain, "state_dict": state, "global_step": 1, "epoch": 1, "pytorch-lightning_version": "2.6"}


# X01, X03: code in pickles

PAYLOADS: dict[str, Callable[[Path, Path], Any]] = {
    "zip": lambda path, file: torch.save({**checkpoint(), "x": Canary(file)}, path),
    "legacy": lambda path, file: torch.save({"x": Canary(file)}, path, _use_new_zipfile_serialization=False),
    "pickle": lambda path, file: path.write_bytes(pickle.dumps({"x": Canary(file)})),
    "instantiator": lambda path, file: torch.save(
        {**checkpoint(), "hyper_parameters": {"_instantiator": "os.system", "_class_path": "x", "x": Canary(file)}},
        path,
    ),
}  # fmt: skip
WAYS: dict[str, Callable[[str, str], list[str]]] = {
    "predict": lambda path, data: ["predict", "--checkpoint", path, "--images", f"{data}/val"],
    "eval": lambda path, data: ["eval-det", "--checkpoint", path, "--data", data],
    "eval --predictions": lambda path, data: ["eval-det", "--predictions", path, "--data", data],
    "resume": lambda path, data: ["train-det", "--resume", path, "--data", data],
    "weights": lambda path, data: ["train-det", "--weights", path, "--data", data, "--backbone", "v3-small"],
    "config": lambda path, data: ["train-det", "--config", path, "--data", data],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_load_path_runs_what_a_pickle_holds(shapes, tmp_path, monkeypatch, capsys, payload: str, way: str) -> None:
    data = str(shapes(train=range(4), val=range(4, 6)))
    monkeypatch.chdir(tmp_path)
    canary, folder = tmp_path / "canary", tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    path = folder / ("last.pth" if way == "weights" else "last.ckpt")
    PAYLOADS[payload](path, canary)
    assert main(WAYS[way](str(path), data)) == 2
    assert not canary.exists()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("payload", PAYLOADS)
def test_torchvision_s_weights_run_nothing(tmp_path, payload: str) -> None:
    PAYLOADS[payload](tmp_path / "w.pth", tmp_path / "canary")
    with pytest.raises(InputError):
        load_torchvision(tmp_path / "w.pth")
    assert not (tmp_path / "canary").exists()


def test_the_payloads_are_live(tmp_path) -> None:
    """Otherwise the tests above show nothing."""
    for name, payload in PAYLOADS.items():
        payload(tmp_path / name, tmp_path / "canary")
        torch.load(tmp_path / name, weights_only=False) if name != "pickle" else pickle.loads(
            (tmp_path / name).read_bytes()
        )
        assert (tmp_path / "canary").exists(), name
        (tmp_path / "canary").unlink()


def test_nothing_in_the_package_unpickles_or_evaluates() -> None:
    found = []
    for file in [*(ROOT / "densenets").rglob("*.py"), *(ROOT / "tools").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and (fault := _unsafe(ast.unparse(node.func), node)):
                found.append(f"{file.name}:{node.lineno}: {fault}")
    assert not found


def _unsafe(name: str, node: ast.Call) -> str | None:
    words = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if words.get("weights_only", "True") != "True":
        return "weights_only is not True"
    if name == "torch.load" and "weights_only" not in words:
        return "torch.load without weights_only"
    if name == "yaml.load" or name.startswith(("yaml.unsafe", "yaml.full")):
        return f"{name}: safe_load only"
    loads = re.fullmatch(
        r"(pickle|cloudpickle|dill|joblib|marshal|shelve)\.\w+|eval|exec|os\.system|torch\.jit\.load", name
    )
    return name if loads or (name.endswith("np.load") and words.get("allow_pickle") == "True") else None


def test_torch_s_floor_has_the_repaired_unpickler() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    floor = next(re.match(r"torch>=(\d+)\.(\d+)", line) for line in wanted if line.startswith("torch>="))
    assert floor
    assert (int(floor[1]), int(floor[2])) >= (2, 10)


# X03: descriptions of models

ODD_FIELDS = {
    "backbone": ["os.system", 3, ["v2"]],
    "head": ["x", None],
    "classes": [[], "ab", [1], ["a", "a"], None],
    "category_ids": [[], [1, 2], ["1"], [True], [2**60]],
    "canvas": [[64], [64, 10**9], [0, 64], "64", [64.0, 64]],
    "width": [0, -1, float("nan"), 1e9, "1", True],
    "padding": ["x", None],
    "normalize": [["imagenet"], "x"],
    "reduced_tail": [1, None],
    "scale_last": ["yes"],
    "weights": [3],
    "options": [{}, None, {"scales": 3}, {"anchors": "x"}, {"candidates": 10**15}, {"nms_iou": 2}, {"strange": 1}],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ODD_FIELDS.items() for value in values])
def test_a_description_that_cannot_be_is_refused(tmp_path, capsys, name: str, value: Any) -> None:
    content = checkpoint()
    content["densenets"][name] = {**content["densenets"]["options"], **value} if name == "options" and value else value
    torch.save(content, tmp_path / "x.ckpt")
    assert main(["predict", "--checkpoint", str(tmp_path / "x.ckpt"), "--images", str(Path(__file__).parent)]) == 2
    from densenets.run.model import load

    with pytest.raises(InputError, match=r"x\.ckpt: "):
        load(str(tmp_path / "x.ckpt"))


def test_every_field_of_a_description_is_judged() -> None:
    assert [*FIELDS] == list(ModelDescription.__dataclass_fields__)


def test_a_sound_checkpoint_loads(tmp_path) -> None:
    from densenets.run.model import load

    torch.save(checkpoint(), tmp_path / "x.ckpt")
    assert load(str(tmp_path / "x.ckpt"))[1].classes == ["car"]


# X04: YAML


def laughs(levels: int = 30) -> str:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


BAD_YAML = {
    "laughs": (laughs(), "100000 values"),
    "deep": ("size: " + "[" * 5000 + "]" * 5000, "50 levels"),
    "circle": ("a: &a [*a]", "alias of itself"),
    "nowhere": ("a: *a", "alias|valid YAML"),
    "python": ("lr: !!python/object/apply:os.system [touch canary]", "tag"),
    "own tag": ("lr: !x 1", "tag"),
    "binary": ("lr: !!binary YQ==", "tag"),
    "large": ("# " + "x" * 2**20, "1 MB"),
    "class": ("ssd: os.path", "--ssd"),
    "class path": ("ssd: {class_path: this, init_args: {}}", "--ssd.class-path"),
    "file": ("ssd: other.yaml", "--ssd"),
    "config": ("config: other.yaml", "--config"),
    "number": ("1: 2", "--1"),
    "list": ("- 1", "no settings"),
    "empty": ("", "no settings"),
    "bytes": ("\udcff", "valid YAML"),
    "two": ("---\nlr: 1\n---\nlr: 2\n", "valid YAML"),
}


@pytest.mark.parametrize("how", ["config", "resume"])
@pytest.mark.parametrize("name", BAD_YAML)
def test_yaml_is_plain_and_bounded(tmp_path, monkeypatch, name: str, how: str) -> None:
    text, words = BAD_YAML[name]
    monkeypatch.chdir(tmp_path)
    Path("other.yaml").write_text("loss: focal")
    Path("run").mkdir()
    Path("run/config.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=words) as caught:
        parse(TrainDetection, ["--resume=run"] if how == "resume" else ["--config", "run/config.yaml"], "t")
    assert str(caught.value).startswith("run/config.yaml: ")
    assert str(caught.value).isprintable()
    assert not Path("canary").exists()


def test_no_yaml_imports_a_module(tmp_path, monkeypatch) -> None:
    """jsonargparse takes a text for a group of settings as the name of a class, and imports it."""
    (tmp_path / "imported_by_yaml.py").write_text("import pathlib; pathlib.Path('canary').touch()")
    (tmp_path / "c.yaml").write_text("ssd: imported_by_yaml.Thing")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError):
        parse(TrainDetection, ["--config", "c.yaml"], "t")
    assert not Path("canary").exists()
    assert "imported_by_yaml" not in sys.modules


# X05, X08: archives


def zipped(path: Path, kind: int = zipfile.ZIP_STORED, **parts: bytes) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in parts.items():
            archive.writestr(f"x/{name.replace('_', '/')}", content)
    return path


def test_a_packed_archive_is_refused(tmp_path) -> None:
    path = zipped(tmp_path / "x.pth", zipfile.ZIP_DEFLATED, data_0=bytes(10**7))
    assert path.stat().st_size < 10**5
    with pytest.raises(InputError, match=r"is packed.*\[X08\]"):
        files.check_archive(path)


def test_a_part_that_claims_more_than_the_file_is_refused(tmp_path) -> None:
    path = zipped(tmp_path / "x.pth", data_0=bytes(100))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 20 : at + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"\[X08\]"):
        files.check_archive(path)


def test_an_archive_with_a_comment_or_a_tail_is_refused(tmp_path) -> None:
    path = zipped(tmp_path / "x.pth", data_0=bytes(100))
    files.check_archive(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"two ends"
    with pytest.raises(InputError, match="does not end"):
        files.check_archive(path)


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path) -> None:
    """Declared in the pickle, with right checksums; nothing of that size is taken."""
    torch.save(checkpoint() | {"state_dict": {"a": torch.arange(10.0)}}, tmp_path / "ok.ckpt")
    with zipfile.ZipFile(tmp_path / "ok.ckpt") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in parts if name.endswith("data.pkl"))
    grown = parts[pickled].replace(b"K\x0a", b"J\xff\xff\xff\x7f")
    assert grown.count(b"\xff\xff\xff\x7f") >= 2  # of the storage and of the tensor
    with zipfile.ZipFile(tmp_path / "x.ckpt", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, grown if name == pickled else content)
    from densenets.run.model import load

    with pytest.raises(InputError, match=r"x\.ckpt"):
        load(str(tmp_path / "x.ckpt"))


def test_shapes_are_compared_before_a_model_takes_memory(tmp_path, monkeypatch) -> None:
    import densenets.run.model as model

    content = checkpoint(classes=[str(i) for i in range(9999)], category_ids=list(range(9999)), width=10.0)
    torch.save(content, tmp_path / "x.ckpt")
    monkeypatch.setattr(model, "build_from", lambda *_: pytest.fail("the model was built"))
    with pytest.raises(InputError, match=r"the weights do not fit.*\[X08\]"):
        model.load(str(tmp_path / "x.ckpt"))


def test_weights_that_are_not_finite_are_refused(tmp_path) -> None:
    from densenets.run.model import load

    content = checkpoint()
    next(value for name, value in content["state_dict"].items() if name.endswith("weight"))[0] = float("nan")
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match="not finite"):
        load(str(tmp_path / "x.ckpt"))


def safetensors(header: bytes, size: int | None = None, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if size is None else size) + header + body


ENTRY = '{"a":{"dtype":"F32","shape":[%s],"data_offsets":[%d,%d]}}'
BAD_SAFETENSORS = {
    "header 2^60": safetensors(b"{}", 2**60),
    "offsets beyond": safetensors((ENTRY % ("4", 0, 16)).encode(), body=bytes(8)),
    "offsets crossed": safetensors((ENTRY % ("4", 16, 0)).encode(), body=bytes(16)),
    "overflow": safetensors((ENTRY % (f"{2**62}, {2**62}", 0, 16)).encode(), body=bytes(16)),
    "tail": safetensors((ENTRY % ("4", 0, 16)).encode(), body=bytes(32)),
    "no JSON": safetensors(b"{nonsense"),
    "short": b"\1\2",
    "empty": b"",
}


@pytest.mark.parametrize("name", BAD_SAFETENSORS)
def test_bad_safetensors_are_one_line(shapes, tmp_path, monkeypatch, capsys, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("w.safetensors").write_bytes(BAD_SAFETENSORS[name])
    data = str(shapes(train=range(2), val=range(2, 4)))
    assert main(["train-det", "--weights", "w.safetensors", "--data", data]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("densenets: error: ")]
    assert len(errors) == 1
    assert "w.safetensors" in errors[0]


# X09: names of outputs


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


# X13: what reaches the terminal


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
