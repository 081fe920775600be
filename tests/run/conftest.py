"""A small set and a checkpoint, as the commands take them."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluations import settled

from densenets.build import ModelDescription, build_from
from densenets.config import EvalDetection, SSDOptions
from densenets.run import evaluate_detection


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a run leaves it, of a net that finds something in every picture."""
    plain = {"padding": "torch", "normalize": "imagenet", "reduced_tail": False, "scale_last": True, "weights": None}
    size = {"classes": ["red", "green", "blue"], "category_ids": [4, 9, 17], "canvas": (96, 96), "width": 0.5}
    description = ModelDescription(backbone="v3-small", head="ssdlite", **size, **plain, options=asdict(SSDOptions()))
    torch.manual_seed(0)
    model = settled(build_from(description), 96)
    path = tmp_path_factory.mktemp("run") / "best.ckpt"
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state, "densenets": description.plain()}, path)
    return path


@pytest.fixture
def judged(checkpoint: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """results.json of the checkpoint on a folder, in this process."""

    def judge(data: Path, out: str = "out", **changes: Any) -> dict[str, Any]:
        settings = EvalDetection(checkpoint=str(checkpoint), batch_size=4, workers=0, accelerator="cpu")
        return evaluate_detection(replace(settings, data=str(data), out=str(tmp_path / out), **changes)).results

    return judge


@pytest.fixture
def clean(shapes) -> Path:
    return shapes(train=range(6), val=range(6, 10))
