"""What the processes of a training tell each other."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gathered(numbers: Sequence[float] | Tensor, device: torch.device) -> Tensor:
    """(processes, len(numbers)) float64, the same on all of them; each has to call this."""
    own = torch.as_tensor(numbers, dtype=torch.float64, device=device)
    if not distributed():
        return own.unsqueeze(0)
    rows = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(rows, own)
    return torch.stack(rows)


def from_first(tensors: Sequence[Tensor]) -> None:
    """Let every process have the first one's values, in place."""
    if distributed():
        for tensor in tensors:
            dist.broadcast(tensor, src=0)
