"""The device that a model runs on in this process."""

import torch

from densenets.errors import InputError, printable


def device_of(accelerator: str) -> torch.device:
    """accelerator: "cpu", "gpu", or "auto": a GPU where there is one. Raises InputError for a GPU that is not there."""
    found = torch.cuda.is_available()
    if accelerator == "gpu" and not found:
        raise InputError(f"--accelerator: {printable(accelerator)}: torch finds no CUDA GPU on this machine")
    return torch.device("cuda" if accelerator != "cpu" and found else "cpu")
