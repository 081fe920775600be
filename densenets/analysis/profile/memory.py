"""Bytes on disk, and the memory that a prediction takes in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import torch
from safetensors.torch import save
from torch import nn

from densenets.build import ModelDescription
from densenets.errors import WorkerError, printable

# Three processes with V2 + SSDLite at 320 px gave 32.5 to 32.6 MB by this setting of glibc's, 53 to 62 MB without it.
HANDS_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536"}


def file_bytes(model: nn.Module) -> int:
    """Of the weights as a safetensors file."""
    return len(save({name: value.cpu().contiguous() for name, value in model.state_dict().items()}))


def peak_bytes(description: ModelDescription, device: torch.device, threads: int = 1) -> int | None:
    """What three predictions add at most to what a process with the loaded model holds; None where the system does not
    tell (on processors: anything but Linux).

    A picture of the canvas' size lies in memory already. Measured in a new process, with fresh weights: a job of
    seconds. What is freed goes back to the system at once; glibc as it comes keeps a part, another one each time.
    Of a GPU its own memory is meant. Raises WorkerError where that process dies.
    """
    plain = replace(description, weights=None).plain()
    given = json.dumps({"description": plain, "device": device.type, "threads": threads})
    # -P: a module of the current folder is none of ours
    command = [sys.executable, "-P", "-m", "densenets.analysis.profile.peak"]
    environment = {**os.environ, **HANDS_BACK}
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word from it"])[-1]
        raise WorkerError(f"the process that measures memory died ({done.returncode}): {printable(last)}")
    found: int | None = json.loads(done.stdout.splitlines()[-1])
    return found
