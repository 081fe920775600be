"""Boxes as pure tensors: coding, default boxes, overlap, matching, selection. Boxes are (..., 4) x0 y0 x1 y1 in px."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import nms

from densenets.contract import Boxes, Detections

Forced = Literal["none", "one", "all"]
BACKGROUND = -1  # a default box that no object claims
IGNORED = -2  # a default box that is neither right nor wrong: inside an ignore region, or with an overlap between both
CODE_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # for x, y, log w, log h (SSD; TensorFlow's scale factors)
MAX_LOG_SIZE = math.log(1000 / 16)  # a decoded side is at most 62.5 times its default box's
NMS_POOL = 3000  # NMS costs the square of what enters it; those beyond hardly ever reach the final 300
EXTREME_SCALES = (0.2, 0.95)  # of the shorter side, first and last map (papers: SSDLite)
FIRST_MAP_SHAPES = ((0.1, 1.0), (0.2, 2.0), (0.2, 0.5))  # (scale, ratio): TensorFlow's reduced first map


def encode(boxes: Tensor, defaults: Tensor, weights: Sequence[float] = CODE_WEIGHTS) -> Tensor:
    """(A, 4) boxes as weighted offsets from (A, 4) default boxes."""
    x, y, w, h = _centre_size(boxes)
    dx, dy, dw, dh = _centre_size(defaults)
    offsets = ((x - dx) / dw, (y - dy) / dh, torch.log(w / dw), torch.log(h / dh))
    return torch.stack([offset * weight for offset, weight in zip(offsets, weights, strict=True)], dim=-1)


def decode(
    offsets: Tensor, defaults: Tensor, canvas: tuple[int, int], weights: Sequence[float] = CODE_WEIGHTS
) -> Tensor:
    """The inverse of `encode`, cut at the canvas (H, W)."""
    dx, dy, dw, dh = _centre_size(defaults)
    ox, oy, ow, oh = (offset / weight for offset, weight in zip(offsets.unbind(-1), weights, strict=True))
    x, y = ox * dw + dx, oy * dh + dy
    w, h = ow.clamp(max=MAX_LOG_SIZE).exp() * dw, oh.clamp(max=MAX_LOG_SIZE).exp() * dh
    height, width = canvas
    across = (x - w / 2).clamp(0, width), (x + w / 2).clamp(0, width)
    down = (y - h / 2).clamp(0, height), (y + h / 2).clamp(0, height)
    return torch.stack([across[0], down[0], across[1], down[1]], dim=-1)


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x0, y0, x1, y1 = boxes.unbind(-1)
    return (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0


def scales_of(maps: int) -> list[float]:
    """One scale a map, spread evenly, and 1.0 behind the last (SSD paper, eq. 4, with the MobileNet papers' ends)."""
    low, high = EXTREME_SCALES
    return [low + (high - low) * k / max(maps - 1, 1) for k in range(maps)] + [1.0]


def default_shapes(scales: Sequence[float], ratios: Sequence[Sequence[float]], first_map: str) -> list[Tensor]:
    """(P, 2) widths and heights for each map, as parts of the canvas' shorter side.

    A map has ratio 1 at its scale, ratio 1 at the geometric mean with the next map's scale, then each of its `ratios`
    and its inverse. `first_map`: "full", or "reduced" to TensorFlow's 3 shapes (papers: V2 Table 5, V3 Table 6).
    """
    shapes = []
    for scale, following, own in zip(scales, scales[1:], ratios, strict=False):
        pairs = [(scale, 1.0), (math.sqrt(scale * following), 1.0)]
        pairs += [(scale, value) for ratio in own for value in (ratio, 1 / ratio)]
        shapes.append(_width_height(pairs))
    if first_map == "reduced":
        shapes[0] = _width_height(FIRST_MAP_SHAPES)
    return shapes


def _width_height(pairs: Sequence[tuple[float, float]]) -> Tensor:
    return torch.tensor([(scale * math.sqrt(ratio), scale / math.sqrt(ratio)) for scale, ratio in pairs])


def default_boxes(canvas: tuple[int, int], grids: Sequence[tuple[int, int]], shapes: Sequence[Tensor]) -> Tensor:
    """(A, 4) default boxes in canvas px: map by map, row by row, cell by cell, shape by shape.

    Centres lie in the middle of the cells; shapes are square-true on any canvas because both sides are measured in the
    shorter one. Nothing is cut at the canvas.
    """
    height, width = canvas
    boxes = []
    for (rows, columns), shape in zip(grids, shapes, strict=True):
        y = (torch.arange(rows) + 0.5) * (height / rows)
        x = (torch.arange(columns) + 0.5) * (width / columns)
        centres = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flip(-1).reshape(-1, 1, 2)
        half = shape.unsqueeze(0) * (min(canvas) / 2)
        boxes.append(torch.cat([centres - half, centres + half], dim=-1).reshape(-1, 4))
    return torch.cat(boxes)


def anchor_boxes(
    grids: Sequence[tuple[int, int]],
    steps: Sequence[tuple[int, int]],
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float],
) -> Tensor:
    """(A, 4) anchors in canvas px: map by map, row by row, cell by cell, ratio by ratio, size by size.

    grids: (rows, columns) of each map; steps: px from row to row and from column to column; sizes: of each map, the
    square root of an anchor's area in px; ratios: height / width. Corners are whole px from the centre; the first
    centre is the canvas' corner, where that of a map is whose strided convolutions pad both sides (Faster R-CNN's
    anchors as detectron and torchvision place them). Nothing is cut at the canvas.
    """
    root = torch.tensor(list(ratios)).sqrt()[:, None]
    boxes = []
    for (rows, columns), (down, across), own in zip(grids, steps, sizes, strict=True):
        side = torch.tensor(list(own))[None]
        half = torch.stack([side / root, side * root], dim=-1).reshape(1, -1, 2) / 2  # width, height
        centres = torch.cartesian_prod(torch.arange(rows) * down, torch.arange(columns) * across).flip(-1)[:, None]
        boxes.append(torch.cat([centres + (-half).round(), centres + half.round()], dim=-1).reshape(-1, 4))
    return torch.cat(boxes)


def area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...) px^2."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """(M, 4), (A, 4) -> (M, A) px^2."""
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    return (high - low).clamp(min=0).prod(dim=-1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """(M, 4), (A, 4) -> (M, A) in [0, 1]."""
    shared = intersection(a, b)
    return shared / (area(a)[:, None] + area(b)[None, :] - shared)


def match(
    defaults: Tensor,
    boxes: Tensor,
    ignore: Tensor | None,
    threshold: float,
    below: float | None = None,
    forced: Forced = "one",
) -> Tensor:
    """(A,) index of the box that each default box has to find, BACKGROUND or IGNORED (SSD paper, section 2.2).

    A default box takes the box it overlaps most, from IoU `threshold` on. forced: whatever the overlap, "one" default
    box, the best of every box, takes that box; or "all" that overlap a box as the best one does, each the box that it
    overlaps most itself (Faster R-CNN paper, section 3.1.2: anchors of equal maps tie). What is left and lies by half
    or more inside an ignore region is IGNORED, and what overlaps a box by `below` or more.
    """
    found = torch.full((len(defaults),), BACKGROUND, dtype=torch.int64, device=defaults.device)
    if ignore is not None and len(ignore):
        inside = intersection(ignore, defaults) / area(defaults)
        found[inside.amax(dim=0) >= 0.5] = IGNORED
    if len(boxes):
        overlap = iou(boxes, defaults)
        best, which = overlap.max(dim=0)
        if below is not None:
            found = found.masked_fill(best >= below, IGNORED)
        found = torch.where(best >= threshold, which, found)
        if forced == "one":
            found[overlap.argmax(dim=1)] = torch.arange(len(boxes), device=defaults.device)
        elif forced == "all":
            most = overlap.amax(dim=1, keepdim=True)
            found = torch.where(((overlap == most) & (most > 0)).any(dim=0), which, found)
    return found


def match_targets(
    defaults: Tensor,
    targets: Sequence[Boxes],
    threshold: float,
    below: float | None = None,
    forced: Forced = "one",
) -> tuple[Tensor, Tensor]:
    """(N, A) class of each default box, or BACKGROUND or IGNORED; (N, A, 4) the box it has to find (else itself).

    The rest as of `match`.
    """
    labels, boxes = [], []
    for target in targets:
        found = match(defaults, target.boxes, target.ignore, threshold, below, forced)
        claimed = found >= 0
        pick = found[claimed]
        labels.append(found.masked_scatter(claimed, target.labels[pick]))
        boxes.append(defaults.masked_scatter(claimed.unsqueeze(-1), target.boxes[pick]))
    return torch.stack(labels), torch.stack(boxes)


def select_global(scores: Tensor, candidates: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `candidates` best of all (default box, class) pairs: scores, default boxes, classes, each (N, k), falling.

    scores: (N, A, C). Exact in two small steps: a pair among the best k stands on one of the k default boxes whose
    best class is best, so only those are searched.
    """
    classes = scores.shape[-1]
    anchors = scores.amax(dim=-1).topk(min(candidates, scores.shape[1]), dim=1, sorted=False).indices  # (N, k)
    rows = scores.gather(1, anchors.unsqueeze(-1).expand(-1, -1, classes)).flatten(1)  # (N, k * C)
    best, flat = rows.topk(min(candidates, rows.shape[1]), dim=1)
    return best, anchors.gather(1, flat // classes), flat % classes


def select_per_class(scores: Tensor, candidates: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `candidates` best default boxes of every class, of these the NMS_POOL best: as `select_global`, falling."""
    best, anchors = scores.transpose(1, 2).topk(min(candidates, scores.shape[1]), dim=2)  # (N, C, k)
    labels = torch.arange(scores.shape[2], device=scores.device).view(1, -1, 1).expand_as(best)
    pool, order = best.flatten(1).topk(min(NMS_POOL, best[0].numel()), dim=1)
    return pool, anchors.flatten(1).gather(1, order), labels.flatten(1).gather(1, order)


def suppress(
    boxes: Tensor, labels: Tensor, scores: Tensor, threshold: float, iou_limit: float, keep: int, reach: float
) -> Detections:
    """One greedy NMS over all classes of each image; (N, k, 4), (N, k), (N, k) candidates -> the `keep` best.

    Candidates at or below the score `threshold`, or without an area, leave with score 0; a score that is NaN stays NaN,
    to be seen. Classes are kept apart by moving each to a place of its own; no box is beyond `reach` px.
    """
    valid = (scores > threshold) & (area(boxes) > 0)
    step = reach + 1
    apart = boxes + ((labels + 1) * step).unsqueeze(-1)
    # Everything invalid becomes one and the same box far from all others: the first of them removes the rest in one
    # pass, which keeps the shape fixed without paying for the filling.
    apart = torch.where(valid.unsqueeze(-1), apart, apart.new_tensor([-2.0, -2.0, -1.0, -1.0]))
    scores = torch.where(valid | scores.isnan(), scores, torch.zeros_like(scores))
    kept = torch.stack([_kept(b, s, iou_limit) for b, s in zip(apart.unbind(0), scores.unbind(0), strict=True)])
    best, index = (scores * kept).topk(min(keep, scores.shape[1]), dim=1)
    boxes = boxes.gather(1, index.unsqueeze(-1).expand(-1, -1, 4))
    return Detections(boxes, labels.gather(1, index), best)


def fill(found: Detections, count: int) -> Detections:
    """(N, k) detections filled up to (N, count) with score 0: a coarse canvas may have fewer candidates than that."""
    short = count - found.scores.shape[1]
    if short <= 0:
        return found
    return Detections(
        functional.pad(found.boxes, (0, 0, 0, short)),
        functional.pad(found.labels, (0, short)),
        functional.pad(found.scores, (0, short)),
    )


def _kept(boxes: Tensor, scores: Tensor, iou_limit: float) -> Tensor:
    """(k,) 1 where NMS keeps the candidate, 0 elsewhere: a fixed shape, whatever number survives."""
    return torch.zeros_like(scores).index_fill(0, nms(boxes, scores, iou_limit), 1.0)
