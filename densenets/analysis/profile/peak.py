"""The process that `memory.peak_bytes` starts: a description on stdin, bytes on stdout."""

import ctypes
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from densenets.analysis.profile.latency import look
from densenets.analysis.profile.nets import fresh
from densenets.build import ModelDescription

RUNS = 3


def measure(given: dict[str, Any]) -> int | None:
    """The job of `memory.peak_bytes`."""
    torch.set_num_threads(given["threads"])
    device = torch.device(given["device"])
    description = ModelDescription(**{**given["description"], "canvas": tuple(given["description"]["canvas"])})
    _wake(device)
    model = fresh(description).to(device)
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (*description.canvas, 3), dtype=np.uint8)
    return _rise(lambda: look(model, description, picture, device), device)


def _wake(device: torch.device) -> None:
    """What the libraries allocate once is no model's."""
    image = torch.rand(1, 8, 64, 64, device=device).contiguous(memory_format=torch.channels_last)
    functional.hardswish(functional.conv2d(image, torch.rand(8, 8, 3, 3, device=device)))
    functional.linear(image, torch.rand(8, 64, device=device))


def _rise(predict: Callable[[], None], device: torch.device) -> int | None:
    if device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        _repeat(predict)
        return torch.cuda.max_memory_allocated() - before
    if sys.platform != "linux":
        return None
    _trim()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    except OSError:
        return None
    before = _resident("VmRSS")
    _repeat(predict)
    return _resident("VmHWM") - before


def _repeat(predict: Callable[[], None]) -> None:
    for _ in range(RUNS):
        predict()


def _trim() -> None:
    """What importing and building freed goes back: memory that is held but empty would hide what a prediction takes."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _resident(key: str) -> int:
    """Bytes of this process. key: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(measure(json.load(sys.stdin)))}\n")
