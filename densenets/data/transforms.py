"""Augmentation: a picture and its boxes from file px to the canvas, in one resize.

Geometry comes first and colour last, on the small canvas: it is the same picture, for less work. (One difference: the
ground around a zoomed-out picture is coloured along with it.)
"""

import os
import random
import warnings
from typing import Any, NamedTuple

import numpy as np

from densenets.data import RECIPES
from densenets.errors import InputError, printable

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # or the import asks the package index for its own version

import albumentations as A
import cv2

cv2.setNumThreads(0)  # the data loader's workers are the parallelism; threads of cv2 and fork do not mix

# The SSD paper's data augmentation with the parameters of its code, as torchvision's reference presets have them.
MIN_IOUS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)  # 1: the whole picture
TRIALS = 40
SIDES = (0.3, 1.0)  # of the window, relative to the picture
ASPECTS = (0.5, 2.0)
ZOOM_OUT = (1.0, 4.0)
FILL = (123, 117, 104)  # ImageNet's mean, RGB

EXACT_IN_FLOAT32 = 2**24  # rows travel as floats; whole numbers below this survive even in the shortest
SMALLEST = 1.0  # px of the canvas: a box with a shorter side is dropped


class View(NamedTuple):
    """The piece of the picture that is shown and the part of the canvas it fills: x0 y0 x1 y1, whole px.

    The two rectangles say the mapping exactly, so boxes move as pixels do.
    """

    source: np.ndarray
    target: np.ndarray


class SampleView(A.DualTransform):
    """Zoom out, cut out and bring to the canvas (height, width); pixels move once.

    zoom_out: the probability of showing the picture small on a plain ground. crop: SSD's minimum-IoU window.
    keep_ratio: what is shown reaches as far beyond its window, to the right or below, as the canvas is longer than it,
    and is plain ground where the picture ends; else the window is stretched.
    Columns of bboxes: x0 y0 x1 y1 relative to the picture, 1 for a crowd region, and what else travels along. A crowd
    has no say in the choice of a window and stays as long as any of it is seen; other boxes stay when their centre is.
    """

    class InitSchema(A.DualTransform.InitSchema):
        height: int
        width: int
        zoom_out: float
        crop: bool
        keep_ratio: bool

    def __init__(
        self,
        height: int,
        width: int,
        zoom_out: float = 0.0,
        crop: bool = False,
        keep_ratio: bool = False,
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        self.height, self.width, self.zoom_out, self.crop, self.keep_ratio = height, width, zoom_out, crop, keep_ratio

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        size, canvas = np.array(params["shape"][1::-1]), np.array([self.width, self.height])
        boxes = data["bboxes"]
        frame = self._frame(size)
        if not self.crop:
            return {"view": _first(place(frame[None], size, canvas, self.keep_ratio))}
        steering = boxes[boxes[:, 4] == 0, :4] * np.tile(size, 2)
        return {"view": min_iou_view(self.random_generator, steering, frame, size, canvas, self.keep_ratio)}

    def _frame(self, size: np.ndarray) -> np.ndarray:
        """What the window is cut from, in px of the picture: the picture, or the larger ground around it."""
        if not self.zoom_out or self.random_generator.random() >= self.zoom_out:
            return np.concatenate([np.zeros_like(size), size])
        ground = (size * self.random_generator.uniform(*ZOOM_OUT)).astype(np.int64)
        corner = -((ground - size) * self.random_generator.random(2)).astype(np.int64)
        return np.concatenate([corner, corner + ground])

    def apply(self, img: np.ndarray, view: View, **params: Any) -> np.ndarray:
        (left, top, right, bottom), (x0, y0, x1, y1) = view.source.tolist(), view.target.tolist()
        piece = resize(img[top:bottom, left:right], y1 - y0, x1 - x0)
        if (y1 - y0, x1 - x0) == (self.height, self.width):
            return piece
        ground = np.full((self.height, self.width, 3), FILL, dtype=np.uint8)
        ground[y0:y1, x0:x1] = piece
        return ground

    def apply_to_bboxes(self, bboxes: np.ndarray, view: View, shape: tuple[int, ...], **params: Any) -> np.ndarray:
        canvas = np.array([self.width, self.height])
        boxes = to_canvas(view, bboxes[:, :4] * np.tile(shape[1::-1], 2))
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        seen = ((centres > 0) & (centres < canvas)).all(axis=1) | (bboxes[:, 4] == 1)
        boxes = boxes.clip(0, np.tile(canvas, 2))
        keep = seen & (boxes[:, 2:] - boxes[:, :2] >= SMALLEST).all(axis=1)
        return np.concatenate([boxes / np.tile(canvas, 2), bboxes[:, 4:]], axis=1)[keep]


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Averages areas when both sides shrink, interpolates linearly otherwise."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def min_iou_view(
    rng: np.random.Generator,
    boxes: np.ndarray,
    frame: np.ndarray,
    size: np.ndarray,
    canvas: np.ndarray,
    keep_ratio: bool = False,
) -> View:
    """SSD's window: some box with its centre inside overlaps it by the minimum drawn (IoU of the box and the window).

    boxes: (M, 4) px of the picture; frame: (4,) px of the picture, what windows are cut from; size, canvas: width and
    height. A minimum that no window of all trials meets is drawn again; without boxes the whole frame is shown.
    """
    while len(boxes) and (minimum := MIN_IOUS[rng.integers(len(MIN_IOUS))]) < 1:
        views = place(trial_windows(rng, frame), size, canvas, keep_ratio)
        met = best_overlaps(shown(views, canvas), boxes) >= minimum
        if met.any():
            return _first(View(views.source[met], views.target[met]))
    return _first(place(frame[None], size, canvas, keep_ratio))


def trial_windows(rng: np.random.Generator, frame: np.ndarray) -> np.ndarray:
    """(T, 4) windows of whole px inside the frame, of the sides and aspects that SSD allows; T <= TRIALS."""
    draws = rng.random((TRIALS, 4))
    room = frame[2:] - frame[:2]
    sides = (room * (SIDES[0] + (SIDES[1] - SIDES[0]) * draws[:, :2])).astype(np.int64)
    corners = frame[:2] + ((room - sides) * draws[:, 2:]).astype(np.int64)
    aspects = sides[:, 0] / np.maximum(sides[:, 1], 1)
    fits = (sides > 0).all(axis=1) & (aspects >= ASPECTS[0]) & (aspects <= ASPECTS[1])
    return np.concatenate([corners, corners + sides], axis=1)[fits]


def place(windows: np.ndarray, size: np.ndarray, canvas: np.ndarray, keep_ratio: bool = False) -> View:
    """Views of (T, 4) windows onto the canvas: source and target (T, 4), rounded to whole px of the canvas.

    A window may reach beyond the picture but not miss it: one that does comes back with an empty source.
    """
    low, high = windows[:, :2], windows[:, 2:]
    scale = canvas / (high - low)
    if keep_ratio:
        scale = scale.min(axis=1, keepdims=True)
        high = low + np.rint(canvas / scale).astype(np.int64)
    start, end = np.clip(low, 0, size), np.clip(high, 0, size)
    to = np.minimum(np.rint((start - low) * scale).astype(np.int64), canvas - 1)
    until = np.clip(np.rint((end - low) * scale).astype(np.int64), to + 1, canvas)
    return View(np.concatenate([start, end], axis=1), np.concatenate([to, until], axis=1))


def shown(views: View, canvas: np.ndarray) -> np.ndarray:
    """(T, 4) the canvas in px of the picture: the windows as rounding left them; NaN where the picture is missed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pixel = (views.source[:, 2:] - views.source[:, :2]) / (views.target[:, 2:] - views.target[:, :2])
        corner = np.where(pixel > 0, views.source[:, :2] - views.target[:, :2] * pixel, np.nan)
    return np.concatenate([corner, corner + canvas * pixel], axis=1)


def best_overlaps(windows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(T,) the largest IoU of each of (T, 4) windows with those of the (M, 4) boxes whose centre is inside, or -1."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    low, high = windows[:, None, :2], windows[:, None, 2:]
    inside = ((centres > low) & (centres < high)).all(axis=2)  # (T, M)
    sides = (np.minimum(high, boxes[:, 2:]) - np.maximum(low, boxes[:, :2])).clip(min=0)
    common = sides.prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    union = (windows[:, 2:] - windows[:, :2]).prod(axis=1)[:, None] + areas - common
    return np.where(inside, common / union, -1.0).max(axis=1, initial=-1.0)


def to_canvas(view: View, boxes: np.ndarray) -> np.ndarray:
    """(M, 4) boxes of the picture's px in px of the canvas, not yet cut at its edges."""
    scale = (view.target[2:] - view.target[:2]) / (view.source[2:] - view.source[:2])
    return (boxes - np.tile(view.source[:2], 2)) * np.tile(scale, 2) + np.tile(view.target[:2], 2)


def _first(views: View) -> View:
    return View(views.source[0], views.target[0])


def photometric(shuffle: bool = True) -> list[Any]:
    """SSD's colour distortion with torchvision's ranges, each part for half of the pictures.

    shuffle: of the order of the channels too.
    """
    same = {"brightness": (1.0, 1.0), "contrast": (1.0, 1.0), "saturation": (1.0, 1.0), "hue": (0.0, 0.0), "p": 0.5}
    parts = [
        A.ColorJitter(**{**same, "contrast": (0.5, 1.5)}),
        A.ColorJitter(**{**same, "saturation": (0.5, 1.5)}),
        A.ColorJitter(**{**same, "hue": (-0.05, 0.05)}),
    ]
    brightness = A.ColorJitter(**{**same, "brightness": (0.875, 1.125)})
    return [brightness, A.RandomOrder(parts, n=len(parts)), *([A.ChannelShuffle(p=0.5)] if shuffle else [])]


def colour_distortion() -> A.Compose:
    """`photometric` for a picture alone, in which red stays red: it is by colour that sky and grass are known."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a misspelt argument is only a warning there
        return A.Compose(photometric(shuffle=False))


def recipe_steps(recipe: str, height: int, width: int, keep_ratio: bool = False) -> list[Any]:
    """The transforms of a recipe, in order."""
    if recipe not in RECIPES:
        raise InputError(f"unknown augmentation {printable(recipe)!r}; choose from {', '.join(RECIPES)}")
    view = SampleView(height, width, 0.5 if recipe == "ssd" else 0.0, recipe in ("ssd", "ssdlite"), keep_ratio)
    flip = [] if recipe == "none" else [A.HorizontalFlip(p=0.5)]
    # Where a picture does not fill the canvas it stands at the left, in training too: it is flipped before.
    seen = [*flip, view] if keep_ratio else [view, *flip]
    return [*seen, *(photometric() if recipe == "ssd" else [])]


class BoxAugmentation:
    """A recipe for pictures with boxes; what it does is a function of the seed alone.

    Labels never travel through the pipeline: it would give them back as floats. Rows do.
    """

    def __init__(self, recipe: str, canvas: tuple[int, int], keep_ratio: bool = False) -> None:
        self.canvas = canvas
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a misspelt argument is only a warning there
            box_params = A.BboxParams(format="albumentations", check_each_transform=False)
            steps = recipe_steps(recipe, *canvas, keep_ratio)
            self.compose = A.Compose(steps, bbox_params=box_params, is_check_shapes=False)

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray, seed: int, crowd: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(canvas (H, W, 3) uint8, (M', 4) float64 canvas px, (M',) rows of the boxes that are left).

        image: (h, w, 3) uint8 RGB; boxes: (M, 4) x0 y0 x1 y1 px, cut at the image's edges here; crowd: (M,) bool.
        """
        # One stream for all steps: set_random_seed would start each with the same numbers, so that a picture that is
        # zoomed out would always be flipped too.
        self.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        result = self.compose(image=image, bboxes=self._table(image.shape, boxes, crowd))
        table = np.asarray(result["bboxes"]).reshape(-1, 6) if len(result["bboxes"]) else np.empty((0, 6))
        return result["image"], self._to_px(table[:, :4]), table[:, 5].astype(np.int64)

    @staticmethod
    def _table(shape: tuple[int, ...], boxes: np.ndarray, crowd: np.ndarray | None) -> np.ndarray:
        """(M', 6): x0 y0 x1 y1 relative to the picture, crowd, row; boxes without a visible side are left out."""
        size = np.tile(shape[1::-1], 2)
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).clip(0, size)
        assert len(boxes) < EXACT_IN_FLOAT32
        rows = np.flatnonzero((boxes[:, 2:] - boxes[:, :2] > 1e-3).all(axis=1))
        marks = np.zeros(len(boxes)) if crowd is None else crowd.astype(np.float64)
        return np.concatenate([boxes[rows] / size, marks[rows, None], rows[:, None]], axis=1)

    def _to_px(self, boxes: np.ndarray) -> np.ndarray:
        size = np.tile(self.canvas[::-1], 2)
        return (boxes * size).clip(0, size)


def build_augmentation(recipe: str, canvas: tuple[int, int], keep_ratio: bool = False) -> BoxAugmentation:
    """One of RECIPES onto the canvas (H, W), stretched or with the ratio kept; only "none" shows each whole picture."""
    return BoxAugmentation(recipe, canvas, keep_ratio)
