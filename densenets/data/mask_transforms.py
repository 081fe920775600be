"""Augmentation for masks: picture and mask to the canvas by the same two rectangles, in one resize each.

The window is cut out first and resized then, so that no pixel is touched which is not shown. Ids are never mixed: a
mask is only ever resized by nearest neighbour.
"""

import random
from collections.abc import Sequence

import cv2
import numpy as np

from densenets.contract import IGNORED
from densenets.data import SEGMENTATION_RECIPES
from densenets.data.transforms import FILL, View, colour_distortion, place, resize
from densenets.errors import InputError, printable

SCALE = (0.5, 2.0)


class MaskAugmentation:
    """A recipe for pictures with masks onto the canvas (H, W); what it does is a function of the seed alone.

    "none": the whole picture stretched to the canvas; "flip": mirrored for every other one. "seg": at a random scale of
    its own size, a random window of the canvas's size of it, mirrored for every other one, with distorted colours;
    where the picture does not fill the window, the rest is ImageNet's mean colour and IGNORED.
    scale: smallest and largest factor of "seg", drawn uniformly.
    """

    def __init__(self, recipe: str, canvas: tuple[int, int], scale: Sequence[float] = SCALE) -> None:
        if recipe not in SEGMENTATION_RECIPES:
            choices = ", ".join(SEGMENTATION_RECIPES)
            raise InputError(f"unknown augmentation {printable(recipe)!r}; choose from {choices}")
        self.recipe, self.canvas, self.scale = recipe, canvas, (scale[0], scale[1])
        self.colours = colour_distortion()

    def __call__(self, image: np.ndarray, ids: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(canvas (H, W, 3) uint8, (H, W) uint8), of an image (h, w, 3) uint8 and its ids (h, w) uint8."""
        rng = np.random.default_rng(seed)
        size = np.array(ids.shape[::-1])
        window = self._window(rng, size) if self.recipe == "seg" else np.concatenate([np.zeros_like(size), size])
        view = place(window[None], size, np.array(self.canvas[::-1]))
        image, ids = show(image, ids, View(view.source[0], view.target[0]), self.canvas)
        if self.recipe != "none" and rng.random() < 0.5:
            image, ids = cv2.flip(image, 1), cv2.flip(ids, 1)
        if self.recipe == "seg":
            self.colours.set_random_state(rng, random.Random(seed))
            image = self.colours(image=image)["image"]
        return image, ids

    def _window(self, rng: np.random.Generator, size: np.ndarray) -> np.ndarray:
        """(4,) what is shown, in px of the picture; it may reach beyond it on the sides where it is larger."""
        canvas = np.array(self.canvas[::-1])
        window = np.maximum(1, np.rint(canvas / rng.uniform(*self.scale))).astype(np.int64)
        room = size - window
        corner = rng.integers(np.minimum(room, 0), np.maximum(room, 0) + 1)
        return np.concatenate([corner, corner + window])


def show(image: np.ndarray, ids: np.ndarray, view: View, canvas: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The canvas (H, W) of a picture and of its ids."""
    (left, top, right, bottom), (x0, y0, x1, y1) = view.source.tolist(), view.target.tolist()
    shape = (y1 - y0, x1 - x0)
    piece = resize(image[top:bottom, left:right], *shape)
    labels = resize_ids(ids[top:bottom, left:right], *shape)
    if shape == canvas:
        return piece, labels
    ground = np.full((*canvas, 3), FILL, dtype=np.uint8)
    nothing = np.full(canvas, IGNORED, dtype=np.uint8)
    ground[y0:y1, x0:x1], nothing[y0:y1, x0:x1] = piece, labels
    return ground, nothing


def resize_ids(ids: np.ndarray, height: int, width: int) -> np.ndarray:
    """The nearest pixel's id, by the centres of pixels, as `resize` places the picture's."""
    if ids.shape == (height, width):
        return ids
    return cv2.resize(ids, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
