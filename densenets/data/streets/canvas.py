"""What is drawn on: an RGB picture and, pixel for pixel, the number of the region that each drawing belongs to."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from densenets.data.streets.camera import NEAR, Camera, before
from densenets.data.streets.light import RGB, Light

cv2.setNumThreads(0)

SHIFT = 4  # drawings are placed to 1/16 px
FIRST_THING = 100  # regions below are Cityscapes labelIds; from here on one number for each thing, up to 255


class Shape(NamedTuple):
    """A polygon (n, d), or m of them that do not overlap (m, n, d); without a region a detail of what lies under it."""

    points: np.ndarray
    colour: RGB
    region: int | None = None


class Canvas:
    """image: (H, W, 3) uint8; regions: (H, W) uint8."""

    def __init__(self, height: int, width: int, camera: Camera, light: Light) -> None:
        self.image = np.zeros((height, width, 3), np.uint8)
        self.regions = np.zeros((height, width), np.uint8)
        self.camera, self.light = camera, light
        self._glows: list[tuple[int, int, float, RGB, int]] = []

    def draw(self, shapes: Sequence[Shape]) -> None:
        """Shapes in px, one over the other."""
        if shapes:
            self._fill(shapes, np.concatenate([shape.points.reshape(-1, 2) for shape in shapes]))

    def build(self, shapes: Sequence[Shape]) -> None:
        """Shapes of the world, one over the other; cut where they reach behind the near plane."""
        if not shapes:
            return
        seen = self.camera.view(np.concatenate([shape.points.reshape(-1, 3) for shape in shapes]))
        if seen[:, 2].min() < NEAR:
            parts = np.split(seen, _ends(shapes)[:-1])
            shapes = [piece for shape, part in zip(shapes, parts, strict=True) for piece in _cut(shape, part)]
            seen = np.concatenate([np.empty((0, 3)), *(shape.points.reshape(-1, 3) for shape in shapes)])
        if shapes:
            self._fill(shapes, self.camera.pixels(seen))

    def _fill(self, shapes: Sequence[Shape], pixels: np.ndarray) -> None:
        """pixels: the points of all shapes, one behind the other. What lies outside is skipped."""
        ends = _ends(shapes)
        starts = np.concatenate([[0], ends[:-1]])
        low, high = np.minimum.reduceat(pixels, starts), np.maximum.reduceat(pixels, starts)
        limit = np.array([self.image.shape[1], self.image.shape[0]])
        seen: list[bool] = np.all((high > -1) & (low < limit), axis=1).tolist()
        points = fixed(pixels)
        for shape, a, b, visible in zip(shapes, starts.tolist(), ends.tolist(), seen, strict=True):
            if not visible:
                continue
            piece = [points[a:b]] if shape.points.ndim == 2 else list(points[a:b].reshape(*shape.points.shape[:2], 2))
            cv2.fillPoly(self.image, piece, shape.colour.tolist(), cv2.LINE_AA, SHIFT)
            if shape.region is not None:
                cv2.fillPoly(self.regions, piece, shape.region, cv2.LINE_8, SHIFT)

    def line(
        self, points: np.ndarray, colour: RGB, width: float, region: int | None = None, closed: bool = False
    ) -> None:
        """(n, 2) px; at least one pixel wide."""
        thickness, piece = max(1, round(width)), [fixed(points)]
        cv2.polylines(self.image, piece, closed, colour.tolist(), thickness, cv2.LINE_AA, SHIFT)
        if region is not None:
            cv2.polylines(self.regions, piece, closed, region, thickness, cv2.LINE_8, SHIFT)

    def mark(self, polygon: np.ndarray, region: int) -> None:
        """A region with nothing drawn: a wheel's disc belongs to the bicycle although one sees through it."""
        cv2.fillPoly(self.regions, [fixed(polygon)], region, cv2.LINE_8, SHIFT)

    def glow(self, centre: np.ndarray, radius: float, colour: RGB) -> None:
        """A lit lamp at a place that has just been drawn; px."""
        x, y = int(centre[0]), int(centre[1])
        if 0 <= y < self.regions.shape[0] and 0 <= x < self.regions.shape[1]:
            self._glows.append((x, y, radius, colour, int(self.regions[y, x])))

    def add_glows(self) -> None:
        """The halos of the lamps that nothing has been drawn over."""
        seen = [glow for glow in self._glows if self.regions[glow[1], glow[0]] == glow[4]]
        if not seen:
            return
        halo = np.zeros((-(-self.image.shape[0] // 4), -(-self.image.shape[1] // 4), 3), np.uint8)
        for x, y, radius, colour, _ in seen:
            cv2.circle(halo, (x * 4, y * 4), max(8, int(radius * 4)), (colour * 0.6).tolist(), -1, cv2.LINE_AA, SHIFT)
        halo = cv2.GaussianBlur(halo, (0, 0), self.image.shape[0] / 130)
        cv2.add(self.image, cv2.resize(halo, self.image.shape[1::-1]), self.image)

    def relief(self, region: int, span: np.ndarray, strength: float, softness: float) -> None:
        """Round a drawn thing within x0 y0 x1 y1 px: brighter towards the sun, darker away from it; softness in px."""
        rows = slice(max(0, int(span[1]) - 2), max(0, int(span[3]) + 3))
        columns = slice(max(0, int(span[0]) - 2), max(0, int(span[2]) + 3))
        part = self.image[rows, columns]
        if part.shape[0] < 4 or part.shape[1] < 4:
            return
        mask = (self.regions[rows, columns] == region).astype(np.float32)
        reach = max(1, round(softness)) * 2 + 1
        soft = cv2.blur(mask, (reach, reach), borderType=cv2.BORDER_CONSTANT)
        ramp = cv2.Sobel(soft, -1, 1, 0, scale=0.12 * reach * (1 if self.light.sun[0] < 0 else -1) * strength)
        part[:] = cv2.multiply(part, cv2.merge([1 + mask * ramp.clip(-strength, strength)] * 3), dtype=cv2.CV_8U)


def _ends(shapes: Sequence[Shape]) -> np.ndarray:
    """Where each shape's points end when all stand one behind the other."""
    return np.cumsum([shape.points.size // shape.points.shape[-1] for shape in shapes])


def _cut(shape: Shape, seen: np.ndarray) -> list[Shape]:
    """What of a shape lies before the near plane, its points in the camera's frame; of many polygons the whole ones."""
    if shape.points.ndim == 3:
        polygons = seen.reshape(shape.points.shape)
        kept = polygons[polygons[..., 2].min(1) >= NEAR]
    else:
        kept = before(seen)
    return [Shape(kept, shape.colour, shape.region)] if len(kept) else []


def fixed(points: np.ndarray) -> np.ndarray:
    """Px to OpenCV's fixed point; far outside is cut, where OpenCV would overflow."""
    return (np.minimum(np.maximum(points, -30000), 30000) * (1 << SHIFT)).astype(np.int32)


@functools.lru_cache(8)
def grain(height: int, width: int, octaves: int, rise: float, seed: int) -> np.ndarray:
    """(height, width) float32 noise, mean 0, deviation 1; each octave is twice as coarse and `rise` times as strong."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        step = 1 << octave
        coarse = rng.standard_normal((max(2, height // step), max(2, width // step)), np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * rise**octave
    return (total - total.mean()) / total.std()


def cutting(rng: np.random.Generator, height: int, width: int, octaves: int, rise: float, seed: int) -> np.ndarray:
    """A (height, width) piece of `grain` from a place drawn by lot."""
    y, x = int(rng.integers(97)), int(rng.integers(97))
    return grain(height + 96, width + 96, octaves, rise, seed)[y : y + height, x : x + width]


@functools.lru_cache(1)
def lumps() -> np.ndarray:
    """(16, 14, 2) outlines of unit blobs: leaves, stains."""
    rng = np.random.default_rng(7)
    angle = np.arange(14) * (2 * np.pi / 14)
    radius = 1 + 0.22 * rng.standard_normal((16, 14)).clip(-1.5, 1.5)
    return np.stack([np.cos(angle) * radius, np.sin(angle) * radius], -1)


@functools.lru_cache(64)
def disc(corners: int) -> np.ndarray:
    """(corners, 2): the unit circle."""
    angle = np.arange(corners) * (2 * np.pi / corners)
    return np.stack([np.cos(angle), np.sin(angle)], -1)
