"""One process of several that judge the same fixed logits: segments.py RANK WORLD MEETING-FILE OUT SIZE..."""

import json
import math
import random
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from densenets.contract import IGNORED, ImageInfo, Mask
from densenets.metrics.segmentation_iou import Rules
from densenets.metrics.segmentation_judge import SegmentationJudge

SHAPE = (11, 13)  # of a file; the logits have fewer px
RULES = Rules(
    ("a", "b", "c", "d"), ("ab", "cd"), (0, 0, 1, 1), (True, True, True, False), (71.3, math.nan, 0.7, math.nan)
)


def image(number: int) -> tuple[Tensor, ImageInfo, Mask]:
    """Logits of one image that are right more often than not, and its truth."""
    draw = torch.Generator().manual_seed(number)
    ids = torch.randint(0, 4, SHAPE, generator=draw).sort(dim=0).values
    ids[torch.rand(SHAPE, generator=draw) < 0.1] = IGNORED
    instances = torch.where(ids < 3, 10 * (ids + 1) + torch.randint(0, 3, SHAPE, generator=draw), 0)
    near = torch.nn.functional.one_hot(ids.clamp(max=3), 4).permute(2, 0, 1).float()
    small = torch.nn.functional.adaptive_avg_pool2d(near, (6, 7)) + 0.3 * torch.randn(4, 6, 7, generator=draw)
    info = ImageInfo(number, f"{number}.png", *SHAPE, (7 / SHAPE[1], 6 / SHAPE[0]))
    return small, info, Mask(ids.to(torch.uint8), instances.to(torch.int32))


def judged(size: int, rank: int, world: int, folder: Path | None = None) -> dict[str, Any]:
    """The scores; each rank takes its share in an order of its own."""
    numbers = [*range(1, size + 1)]
    judge = SegmentationJudge(RULES, numbers, folder)
    judge.reset()
    mine = numbers[rank::world]
    random.Random(1000 * world + rank).shuffle(mine)
    for number in mine:
        logits, info, target = image(number)
        judge.add(logits[None], [info], [target])
    return judge.result()


if __name__ == "__main__":
    own, count = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[3]}", rank=own, world_size=count)
    results = {size: judged(int(size), own, count, Path(sys.argv[4]).parent) for size in sys.argv[5:]}
    Path(f"{sys.argv[4]}.{own}").write_text(json.dumps(results))
    dist.destroy_process_group()
