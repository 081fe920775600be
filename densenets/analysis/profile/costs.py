"""What a model costs wherever it runs: nothing here depends on how fast the machine is."""

import torch
from torch import nn

from densenets.analysis.profile.counting import Counts, count
from densenets.analysis.profile.memory import file_bytes, peak_bytes
from densenets.build import ModelDescription


def costs(
    model: nn.Module,
    description: ModelDescription,
    *,
    device: torch.device | None = None,
    threads: int = 1,
    counts: Counts | None = None,
) -> dict[str, float]:
    """ "parameters", "madds" and "activation_bytes" of one image of the canvas (see `counting`), "file_bytes" of the
    weights as safetensors, "peak_bytes" as `memory.peak_bytes` (left out where the system does not tell).

    model: in evaluation mode; all of its parameters count, run or not. description: its canvas is the image's size; a
    segmenter is measured at another one by `dataclasses.replace`. counts: where they are known already.
    """
    counted = counts or count(model, description.canvas)
    found: dict[str, float] = {
        "parameters": counted.parameters,
        "madds": counted.madds,
        "file_bytes": file_bytes(model),
        "activation_bytes": counted.activation_bytes,
    }
    peak = peak_bytes(description, device or torch.device("cpu"), threads)
    return found if peak is None else {**found, "peak_bytes": peak}
