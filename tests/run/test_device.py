"""Which device a model runs on."""

import pytest
import torch

from densenets.config import Predict
from densenets.errors import InputError
from densenets.run.device import device_of
from densenets.run.prediction import predict


@pytest.mark.parametrize(
    ("accelerator", "there", "device"),
    [
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("gpu", True, "cuda"),
    ],
)
def test_a_device_is_what_was_asked_for(accelerator: str, there: bool, device: str, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert device_of(accelerator).type == device


def test_a_gpu_that_is_not_there_is_no_processor(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "picture.png").write_bytes(b"")
    given = {"checkpoint": "nowhere", "images": [str(tmp_path / "picture.png")], "out": str(tmp_path / "out")}
    with pytest.raises(InputError, match="--accelerator: gpu: torch finds no CUDA GPU on this machine"):
        predict(Predict(**given, accelerator="gpu"))
    assert not (tmp_path / "out").exists()
