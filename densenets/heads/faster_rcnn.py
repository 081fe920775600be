"""Faster R-CNN on light nets: the V1 paper's form on a single map (Table 13), and a form with a feature pyramid."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from densenets import boxes as box
from densenets.backbones.base import Backbone
from densenets.config import RCNNOptions
from densenets.contract import Boxes, ClassLayer, Detections
from densenets.errors import InputError
from densenets.heads.detection import Detection, grids_of
from densenets.heads.fpn import FPN, Separable, plain
from densenets.heads.proposals import RPN, Proposals, Selection, proposal_losses, propose
from densenets.heads.rcnn_loss import place_losses, place_targets, sampled
from densenets.heads.windows import windows
from densenets.layers import ConvNormAct, global_mean, precise

REFERENCE_SIDE = 600  # px of the shorter side at which the V1 paper's anchors have their sizes
SINGLE_MAP_SIZES = (64.0, 128.0, 256.0, 512.0)
TORCHVISION_SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)
LARGEST = 0.8  # of the shorter side: the pyramid's largest anchors; its smallest are a cell of the finest map
CELLS = 3  # of a map: its largest anchors. Of 2.5 to 6, none met clearly more objects of 100 of COCO's pictures
CROP = 14  # cells of a proposal's crop, as the V1 paper's net takes it
WINDOW = 7  # likewise, of the pyramid's
# px: a proposal of this side, or above, is read from the map of stride 32; half of what the FPN paper's eq. 1 says, as
# the canvases here are less than half of its pictures.
FIRST_BOX = 224.0


class TwoStage(Detection):
    """Proposals, then a class and a better box for each of them."""

    options_type = RCNNOptions
    keep_ratio = True
    defaults_are = "anchors"

    options: RCNNOptions
    rpn: RPN
    predictor: "Predictor"

    def __init__(self, num_classes: int, canvas: tuple[int, int], options: RCNNOptions) -> None:
        super().__init__(num_classes, canvas, options)
        self.finds_from = options.rpn_match_iou

    def _place_anchors(self, strides: Sequence[int], sizes: Sequence[Sequence[float]], exact: bool = True) -> None:
        """exact: a cell is as far from the next as the stride says; else torchvision's whole part of side / cells."""
        height, width = self.canvas
        usual, sizes = _as_flag(sizes), self.options.sizes or sizes
        if len(sizes) != len(strides):
            on = f"stride{'s' * (len(strides) > 1)} {' '.join(map(str, strides))}"
            raise InputError(
                f"--rcnn.sizes: lists given: {len(sizes)}, wanted: {len(strides)}, of px of the canvas, for maps of "
                f"{on}; here it is usually {usual}"
            )
        self.sized_by = _as_flag(sizes)
        self.normed = grids = grids_of(self.canvas, strides)
        steps = [(s, s) if exact else (height // g[0], width // g[1]) for s, g in zip(strides, grids, strict=True)]
        self.of_a_cell = len(sizes[0]) * len(self.options.ratios)
        thin = min(side for row in sizes for side in row) * max(max(r, 1 / r) for r in self.options.ratios) ** -0.5
        if thin < 2:
            raise InputError(f"--rcnn.sizes, --rcnn.ratios: an anchor {thin:.2g} px thin; 2 px is the least")
        self.counts = [rows * columns * self.of_a_cell for rows, columns in grids]
        anchors = box.anchor_boxes(grids, steps, sizes, self.options.ratios)
        self.register_buffer("defaults", anchors, persistent=False)

    @abstractmethod
    def maps(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] -> the maps that proposals are sought on."""

    @abstractmethod
    def judge(self, maps: list[Tensor], places: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Class logits (K, 1 + C), background first, and offsets (K, C, 4) of the places (P, 4) in each image."""

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) in [0, 1] -> the first stage's logits (N, A) and offsets (N, A, 4)."""
        return self.seek(self._seen(images))

    def seek(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        logits, offsets = self.rpn(maps)
        return precise(logits), precise(offsets)

    def _seen(self, images: Tensor) -> list[Tensor]:
        self.check_images(images)
        return self.maps(images)

    def _propose(self, logits: Tensor, offsets: Tensor, training: bool) -> Proposals:
        o = self.options
        many = (o.train_map_proposals, o.train_proposals) if training else (o.map_proposals, o.proposals)
        chosen = Selection(many[0], o.rpn_nms_iou, o.rpn_score_threshold, many[1])
        return propose(logits, offsets, self.defaults, self.counts, self.canvas, chosen)

    def losses(self, images: Tensor, targets: list[Boxes]) -> dict[str, Tensor]:
        """`objectness`, `proposal`, `classification`, `box`: means over places drawn by torch's generator.

        Raises ValueError for a label outside 0..C-1: -1 would pass as background.
        """
        options = self.options
        self.check_labels(targets)
        maps = self._seen(images)
        logits, offsets = self.seek(maps)
        overlaps = (options.rpn_match_iou, options.rpn_background_iou)
        anchors, boxes = box.match_targets(self.defaults, targets, *overlaps, forced="all")
        first = proposal_losses(logits, offsets, self.defaults, anchors, boxes, options.rpn_samples, options.box_beta)
        places, labels, wanted = self._drawn(self._propose(logits, offsets, True), targets)
        classes, moves = self.judge(maps, places)
        return first | place_losses(
            precise(classes), precise(moves), torch.cat(places), labels, wanted, options.box_beta
        )

    @torch.no_grad()
    def _drawn(self, proposals: Proposals, targets: list[Boxes]) -> tuple[list[Tensor], Tensor, Tensor]:
        """Places of each image (P, 4); of all: classes or BACKGROUND (K,), boxes to find (K, 4)."""
        picked = []
        for image, target in enumerate(targets):
            places, labels, boxes = place_targets(
                proposals.boxes[image], proposals.valid[image], target, self.options.match_iou
            )
            rows = sampled(labels[None], self.options.samples, 0.25)[0].nonzero()[:, 0]
            picked.append((places[rows], labels[rows], boxes[rows]))
        return [row[0] for row in picked], torch.cat([row[1] for row in picked]), torch.cat([row[2] for row in picked])

    def forward(self, images: Tensor) -> Detections:
        """(N, 3, H, W) in [0, 1] -> the `options.detections` best, see `Detections`.

        An image with an output of either stage that is not finite gets scores of NaN [V03].
        """
        maps = self._seen(images)
        logits, offsets = self.seek(maps)
        found = self._propose(logits, offsets, False)
        count, each = found.valid.shape
        classes, moves = self.judge(maps, found.boxes.unbind(0))
        classes, moves = precise(classes).view(count, each, -1), precise(moves).view(count, each, -1, 4)
        outputs = (logits, offsets, classes, moves)
        sound = torch.stack([output.flatten(1).isfinite().all(dim=1) for output in outputs]).all(dim=0)
        detections = self.decode(classes, moves, found)
        return detections._replace(scores=detections.scores.masked_fill(~sound.unsqueeze(1), math.nan))

    def decode(self, classes: Tensor, moves: Tensor, found: Proposals) -> Detections:
        """(N, P, 1 + C) logits and (N, P, C, 4) offsets of the proposals -> detections, in float32."""
        options = self.options
        scores = classes.softmax(dim=-1)[..., 1:] * found.valid.unsqueeze(-1)
        best, which, labels = box.select_global(scores, options.candidates)
        own = moves.flatten(1, 2).gather(1, (which * self.num_classes + labels).unsqueeze(-1).expand(-1, -1, 4))
        places = found.boxes.gather(1, which.unsqueeze(-1).expand(-1, -1, 4))
        boxes = box.decode(own, places, self.canvas)
        limits = (options.score_threshold, options.nms_iou, options.detections, max(self.canvas))
        return box.fill(box.suppress(boxes, labels, best, *limits), options.detections)

    def class_layers(self) -> list[ClassLayer]:
        last = self.predictor
        return [ClassLayer(last.classes, before=1), ClassLayer(last.offsets, before=last.unused, values=4)]


class Predictor(nn.Module):
    """A class and a box for each class. with_background: as torchvision, which has a box for background too."""

    def __init__(self, channels: int, num_classes: int, with_background: bool = False) -> None:
        super().__init__()
        self.unused = int(with_background)
        self.classes = nn.Linear(channels, num_classes + 1)
        self.offsets = nn.Linear(channels, (num_classes + self.unused) * 4)
        for layer, size in ((self.classes, 0.01), (self.offsets, 0.001)):
            nn.init.normal_(layer.weight, std=size)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        offsets: Tensor = self.offsets(x)
        return self.classes(x), offsets.unflatten(1, (-1, 4))[:, self.unused :]


class FasterRCNN(TwoStage):
    """V1 Table 13: proposals on the map of stride 16; the net's part of stride 32 runs on a crop of each.

    The crop has 14x14 cells, is not pooled, and each cell is one sample, taken in its middle (TensorFlow's
    crop_and_resize takes one each too, evenly from corner to corner).
    Anchors have the paper's sizes on a canvas whose shorter side is 600 px, and shrink with it.
    """

    def __init__(self, backbone: Backbone, num_classes: int, canvas: tuple[int, int], options: RCNNOptions) -> None:
        super().__init__(num_classes, canvas, options)
        self.backbone = backbone.split()
        channels, self.stride = backbone.specs["c4"]
        scale = min(canvas) / REFERENCE_SIDE
        self._place_anchors([self.stride], [[size * scale for size in SINGLE_MAP_SIZES]])
        self.rpn = RPN(_rpn_body(channels), channels, self.of_a_cell, outputs=2)
        self.predictor = Predictor(backbone.tail_channels, num_classes)

    def maps(self, images: Tensor) -> list[Tensor]:
        return [self.backbone(images)["c4"]]

    def judge(self, maps: list[Tensor], places: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        crops = windows(maps[0], places, CROP, self.stride, samples=1)
        pooled = global_mean(self.backbone.tail(crops), self.training)
        found: tuple[Tensor, Tensor] = self.predictor(pooled.flatten(1))
        return found


class FasterRCNNFPN(TwoStage):
    """Proposals on a pyramid, windows of 7x7 cells from it, a box head of fully connected layers; see `RCNNOptions`."""

    def __init__(self, backbone: Backbone, num_classes: int, canvas: tuple[int, int], options: RCNNOptions) -> None:
        super().__init__(num_classes, canvas, options)
        theirs, light = options.fpn == "torchvision", options.fpn == "light"
        self.taps = ("c5_first", "top") if theirs else ("c4", "c5")
        self.backbone = backbone.keep(self.taps)
        specs = [self.backbone.specs[tap] for tap in self.taps]
        pooled = 1 if theirs else 2
        self.strides = [spec.stride for spec in specs]
        strides = self.strides + [self.strides[-1] * 2**k for k in range(1, pooled + 1)]
        sizes = [TORCHVISION_SIZES] * len(strides) if theirs else spread_sizes(strides, min(canvas))
        self._place_anchors(strides, sizes, exact=not theirs)
        channels = [spec.channels for spec in specs]
        momentum = options.bn_momentum
        if light:
            lateral = partial(ConvNormAct, eps=1e-3, momentum=momentum)
            self.fpn = FPN(channels, 128, lateral, partial(Separable, momentum=momentum), pooled)
            self.rpn = RPN(_separable_rpn_body(128), 128, self.of_a_cell)
            self.box_head = _small_box_head(128, momentum)
        else:
            self.fpn = FPN(channels, 256, plain(1), plain(3), pooled)
            self.rpn = RPN(_rpn_body(256), 256, self.of_a_cell)
            self.box_head = _two_layers(256 * WINDOW**2, 1024)
        self.predictor = Predictor(512 if light else 1024, num_classes, with_background=theirs)
        self.normed = self.normed[:2]  # behind the backbone's own maps there are no norms

    def maps(self, images: Tensor) -> list[Tensor]:
        taps = self.backbone(images)
        found: list[Tensor] = self.fpn([taps[tap] for tap in self.taps])
        return found

    def judge(self, maps: list[Tensor], places: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.predictor(self.box_head(self._windows(maps, places)))
        return found

    def _windows(self, maps: list[Tensor], places: Sequence[Tensor]) -> Tensor:
        """(K, width, 7, 7): each from the map that suits its size; its share of the other one is none."""
        if self.strides[0] == self.strides[1]:
            return windows(maps[0], places, WINDOW, self.strides[0], samples=2)
        large = (box.area(torch.cat(list(places))).sqrt() >= FIRST_BOX).to(maps[0].dtype)
        pairs = zip(maps, self.strides, (1 - large, large), strict=False)
        fine, coarse = (windows(x, places, WINDOW, stride, 2, share) for x, stride, share in pairs)
        return fine + coarse


def spread_sizes(strides: Sequence[int], side: int) -> list[list[float]]:
    """Sides of the anchors in px, three a map: one to `CELLS` of its cells, on the coarsest map up to `LARGEST` of the
    canvas. An anchor of hardly one cell lies too far from its neighbours to meet the objects between them.

    side: of the canvas, the shorter one.
    """
    last = max(LARGEST * side, 2.0 * strides[0])
    sizes = []
    for stride in strides:
        low = min(stride, last / 2)
        high = last if stride == strides[-1] else min(CELLS * stride, last)
        sizes.append([low, math.sqrt(low * high), high])
    return sizes


def _as_flag(sizes: Sequence[Sequence[float]]) -> str:
    lists = ", ".join("[" + ", ".join(f"{side:.4g}" for side in row) + "]" for row in sizes)
    return f'--rcnn.sizes "[{lists}]"'


def _rpn_body(width: int) -> nn.Sequential:
    conv = nn.Conv2d(width, width, 3, padding=1)
    nn.init.normal_(conv.weight, std=0.01)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return nn.Sequential(conv, nn.ReLU())


def _separable_rpn_body(width: int) -> nn.Sequential:
    """No BatchNorm: in training each map would be normed by its own statistics, in use all by a mixture of them."""
    depthwise, pointwise = nn.Conv2d(width, width, 3, padding=1, groups=width), nn.Conv2d(width, width, 1)
    for layer in (depthwise, pointwise):
        nn.init.kaiming_uniform_(layer.weight, a=1)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(depthwise, pointwise, nn.ReLU())


def _two_layers(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(inplace=True), nn.Linear(width, width), nn.ReLU(inplace=True)
    )


def _small_box_head(width: int, momentum: float) -> nn.Sequential:
    """A separable convolution to half the channels, one fully connected layer of 512."""
    inner = width // 2
    flat = nn.Linear(inner * WINDOW**2, 512)
    return nn.Sequential(Separable(width, inner, momentum), nn.Flatten(), flat, nn.ReLU(inplace=True))
