"""No file from outside runs code; descriptions of models and settings are plain, sound and bounded [X01, X03, X04]."""

import ast
import os
import pickle
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_checkpoint import checkpoint

from densenets.build import FIELDS, ModelDescription, load_torchvision
from densenets.cli import main
from densenets.command_line import parse
from densenets.config import TrainDetection
from densenets.errors import InputError

ROOT = Path(__file__).parent.parent


class Canary:
    """Unpickling it with Python's own means writes the file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.file}",)


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
    "start-from": lambda path, data: ["train-det", "--start-from", path, "--data", data],
    "start-from, torchvision's": lambda path, data: ["train-det", "--start-from", path, "--data", data],
    "config": lambda path, data: ["train-det", "--config", path, "--data", data],
}
PTH = ("weights", "start-from, torchvision's")  # read by another loader than checkpoints


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_load_path_runs_what_a_pickle_holds(shapes, tmp_path, monkeypatch, capsys, payload: str, way: str) -> None:
    data = str(shapes(train=range(4), val=range(4, 6)))
    monkeypatch.chdir(tmp_path)
    canary, folder = tmp_path / "canary", tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    path = folder / ("last.pth" if way in PTH else "last.ckpt")
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
