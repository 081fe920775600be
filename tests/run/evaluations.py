"""Evaluations of a checkpoint: the command, and what of its results must not differ."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from densenets.metrics.coco_map import NUMBERS

ROOT = Path(__file__).parent.parent.parent
FILES = ["predictions.json", "results.json", "validation.png"]


def settled(model: torch.nn.Module, side: int) -> torch.nn.Module:
    """With statistics of its BatchNorms that fit, so that an untrained net's outputs are of the size of 1."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.5
    with torch.no_grad():
        for _ in range(4):
            model.train().raw(torch.rand(4, 3, side, side))  # type: ignore[operator]
    return model.eval()


def words(checkpoint: Path, data: Path, out: Path, *more: str) -> list[str]:
    plain = ["--checkpoint", checkpoint, "--data", data, "--out", out, "--batch-size", 4, "--workers", 0]
    return [*map(str, plain), "--accelerator", "cpu", *more]


def tool(*flags: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    command = [sys.executable, str(ROOT / "tools/eval_det.py"), *flags]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def numbers(results: dict[str, Any]) -> dict[str, Any]:
    """What must not differ; the rest says when, by whom and with which command."""
    return {name: results[name] for name in (*NUMBERS, "per_class", "counts", "without_detections")}


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())
