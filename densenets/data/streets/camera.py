"""The pinhole camera. World: X right, Y up, Z along the street, in metres, with the ground at Y = 0."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

NEAR = 0.6  # m; nothing nearer is drawn
FLIP = np.array([1.0, -1.0])  # up is towards row 0


@dataclass(frozen=True)
class Camera:
    """At (x, height, 0), turned by `yaw` to the right, level; focal length, cx and the horizon's row cy in px."""

    focal: float
    cx: float
    cy: float
    x: float
    height: float
    yaw: float

    @cached_property
    def _frame(self) -> tuple[np.ndarray, np.ndarray]:
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]), np.array([self.x * c, self.height, self.x * s])

    @cached_property
    def _middle(self) -> np.ndarray:
        return np.array([self.cx, self.cy])

    def view(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) world to (n, 3) right, up, depth as the camera sees them."""
        turn, place = self._frame
        return points @ turn - place

    def pixels(self, seen: np.ndarray) -> np.ndarray:
        """(n, 3) of `view`, all in front, to (n, 2) px."""
        scale = self.focal / np.maximum(seen[:, 2:], NEAR / 2)
        return seen[:, :2] * (scale * FLIP) + self._middle

    def project(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) world to (n, 2) px; all must lie in front."""
        return self.pixels(self.view(points))

    def foot(self, x: float, z: float) -> np.ndarray:
        """(2,) px of a ground point."""
        depth = self.depth(x, z)
        scale = self.focal / max(depth, NEAR)
        right = (x - self.x) * math.cos(self.yaw) - z * math.sin(self.yaw)
        return np.array([self.cx + right * scale, self.cy + self.height * scale])

    def outline(self, polygon: np.ndarray) -> np.ndarray:
        """(n, 3) world polygon, cut at the near plane, in px; (0, 2) when nothing of it lies in front."""
        return self.pixels(before(self.view(polygon)))

    def depth(self, x: float, z: float) -> float:
        return z * math.cos(self.yaw) + (x - self.x) * math.sin(self.yaw)

    def scale(self, x: float, z: float) -> float:
        """px per metre at the ground point (x, z)."""
        return self.focal / max(self.depth(x, z), NEAR)

    def ground_to_pixels(self) -> np.ndarray:
        """(3, 3) homography from (X, Z, 1) on the ground to px."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        right, depth = np.array([c, -s, -self.x * c]), np.array([s, c, -self.x * s])
        return np.stack(
            [self.focal * right + self.cx * depth, self.cy * depth + [0, 0, self.focal * self.height], depth]
        )


def before(seen: np.ndarray) -> np.ndarray:
    """The part of a polygon of `view` at depth >= NEAR (Sutherland and Hodgman, one plane), (0, 3) if there is none."""
    inside = seen[:, 2] >= NEAR
    if inside.all():
        return seen
    kept = []
    for i in range(len(seen)):
        a, b = seen[i - 1], seen[i]
        if inside[i] != inside[i - 1]:
            kept.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
        if inside[i]:
            kept.append(b)
    return np.array(kept).reshape(-1, 3)
