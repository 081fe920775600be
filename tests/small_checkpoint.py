"""A checkpoint as the loaders take it, whole or with something else in its description."""

from typing import Any

from densenets.build import ModelDescription, build_from
from densenets.config import SSDOptions


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
