"""Judging by several processes: each collects its share, the first one judges all of them, every one gets the numbers.

A share says which images it is of, and which of them could not be taken; both are checked here.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist

from densenets.errors import DensenetsError, DivergedError, Problems
from densenets.metrics.parts import PartWriter, part_file, part_files

Share = TypeVar("Share")
Fault = tuple[int, str]  # image id, line


def several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    return dist.get_rank() if several() else 0


def on_the_first(share: Share) -> list[Share]:
    """The shares of all processes, by rank; none in the others."""
    if not several():
        return [share]
    shares: list[Any] | None = [None] * dist.get_world_size() if rank() == 0 else None
    dist.gather_object(share, shares, dst=0)
    return shares or []


def told_to_all(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` gives in the first process, which alone does it; its error too, whose words the first one tells."""
    if not several():
        return work()
    told: list[Any] = [None, None]
    fault: Exception | None = None
    if rank() == 0:
        try:
            told = [work(), None]
        except Exception as error:
            fault, told = error, [None, type(error) if isinstance(error, DensenetsError) else RuntimeError]
    dist.broadcast_object_list(told, src=0)
    if fault is not None:
        raise fault
    if told[1] is not None:
        raise told[1]("")
    return dict(told[0])


def own_part(folder: Path, evaluation: dict[str, Any], go_on: bool) -> PartWriter:
    """The part this process writes. Without `go_on` those of an earlier pass that had more processes go too; each of
    these empties its own."""
    if not go_on and rank() == 0:
        own = {part_file(folder, other) for other in range(dist.get_world_size() if several() else 1)}
        for path in set(part_files(folder)) - own:
            path.unlink(missing_ok=True)
    return PartWriter(part_file(folder, rank()), evaluation, go_on)


def refuse_faults(faults: list[Fault]) -> None:
    """DivergedError with a line for each image that the model gave no numbers for, whoever met it [V03]."""
    problems = Problems()
    for _, line in sorted(faults):
        problems.add(line)
    problems.refuse(DivergedError)


def refuse_doubles(before: Sequence[int], shares: Sequence[Sequence[int]]) -> None:
    """Each image is judged by one process, once: scored twice it would change every number [V14]."""
    problems = Problems()
    first: dict[int, str] = {}
    names = ["an earlier process", *(f"process {number}" for number in range(len(shares)))]
    for name, part in zip(names, [before, *shares], strict=True):
        for image in part:
            if image in first:
                problems.add(f"image {image}: judged by {first[image]} and again by {name} [V14]")
            first.setdefault(image, name)
    problems.refuse()
