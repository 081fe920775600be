"""Damaged checkpoints and files of weights through every function that loads one: a model, or one line."""

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from cases import check_lines
from mutations import damage_bytes, damage_document
from safetensors.torch import save
from torch import Tensor

from densenets.backbones import build_backbone
from densenets.backbones.weights import load_weights
from densenets.build import ModelDescription, build_from, load_torchvision
from densenets.config import SSDOptions
from densenets.errors import InputError
from densenets.run.model import load

MEMORY = 3 * 2**30  # far less than a declared size of many GB, far more than the few MB of these files
WIDTH = 0.1


def small_checkpoint() -> dict[str, Any]:
    """A detector of few weights as a training saves it."""
    from dataclasses import asdict

    description = ModelDescription(
        "v3-small", "ssdlite", ["car", "person"], [1, 3], (64, 64), WIDTH, "torch", "imagenet", False, True, None,
        asdict(SSDOptions()),
    )  # fmt: skip
    state = {f"model.{name}": value for name, value in build_from(description).state_dict().items()}
    return {"densenets": description.plain(), "state_dict": state, "epoch": 1, "global_step": 2, "averaged": None}


def packed(content: Any, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def prepare(folder: Path) -> Callable[[random.Random], str]:
    torch.set_num_threads(1)
    net = build_backbone("v3-small", width=WIDTH)
    checkpoint, state = small_checkpoint(), dict(net.state_dict())
    plain = {"densenets": checkpoint["densenets"], "averaged": None, "epoch": 1}
    whole = {".ckpt": [packed(checkpoint)], ".pth": [packed(state), packed(state, legacy=True)]}
    whole[".safetensors"] = [save({name: value.contiguous() for name, value in state.items()})]
    readers: dict[str, list[Callable[[Path], object]]] = {
        ".ckpt": [lambda path: load(str(path))],
        ".pth": [lambda path: load_weights(net, path), lambda path: load_weights(net, path), load_torchvision],
        ".safetensors": [lambda path: load_weights(net, path)],
    }

    def try_one(rng: random.Random) -> str:
        suffix = rng.choice([*readers])
        path = folder / f"x{suffix}"
        if suffix == ".ckpt" and rng.random() < 0.5:
            document = damage_document(plain, rng, times=2)
            data = packed({**document, "state_dict": _other(checkpoint["state_dict"], rng)})
        else:
            data = _damaged(rng.choice(whole[suffix]), rng)
        path.write_bytes(data)
        try:
            rng.choice(readers[suffix])(path)
        except InputError as fault:
            check_lines(str(fault), str(path))
            return f"{suffix} refused"
        return f"{suffix} loaded"

    return try_one


def _other(state: dict[str, Tensor], rng: random.Random) -> dict[str, Any]:
    """Weights of which one may be missing, of another shape or kind, or not finite."""
    changed: dict[Any, Any] = dict(state)
    name = rng.choice(list(state))
    strange: list[Any] = [
        None, 3, torch.zeros(()), torch.zeros(1).expand(10**9), torch.empty(4, device="meta"), torch.eye(3).to_sparse(),
        state[name].double(), state[name] * float("nan"), state[name].half() if state[name].ndim else 1,
        state[name].unsqueeze(0), torch.quantize_per_tensor(torch.rand(3), 0.1, 0, torch.qint8), {"a": state[name]},
    ]  # fmt: skip
    match rng.randrange(5):
        case 0:
            del changed[name]
        case 1:
            changed[rng.choice(("strange", 7, None, name + "\n"))] = state[name]
        case 2 | 3:
            changed[name] = rng.choice(strange)
    return changed


def _damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes anywhere, or of one part of a zip whose checksums are then right again."""
    if not data.startswith(b"PK") or rng.random() < 0.3:
        return damage_bytes(data, rng, times=6)
    if rng.random() < 0.2:  # the directory and the end of the archive
        return data[:-400] + damage_bytes(data[-400:], rng)
    target = rng.choice(("data.pkl", "data.pkl", "data.pkl", "byteorder", "version", ".storage_alignment", "data/0"))
    file = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if rng.random() < 0.05 else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(file, "w", kind) as after:
        for entry in before.infolist():
            part = before.read(entry)
            after.writestr(entry.filename, damage_bytes(part, rng) if entry.filename.endswith(target) else part)
    return file.getvalue()
