"""Colours that stay apart, for all kinds of sight."""

import functools

import numpy as np

Colour = tuple[int, int, int]

DARK: Colour = (24, 24, 28)
LIGHT: Colour = (255, 255, 255)
GREY: Colour = (110, 110, 118)

_FIRST: list[Colour] = [  # Okabe and Ito's set for all kinds of sight, without black; the best on photographs first
    (255, 112, 31),
    (86, 180, 233),
    (240, 228, 66),
    (0, 178, 130),
    (224, 110, 190),
    (30, 110, 220),
    (230, 159, 0),
]
_DEUTERANOPIA = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
_PROTANOPIA = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
_RGB_TO_LMS = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_LMS_TO_OKLAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def _oklab(linear: np.ndarray) -> np.ndarray:
    """(n, 3) linear RGB -> (n, 3) OKLab, where equal distances look equally different."""
    return np.cbrt(linear.clip(0, 1) @ np.array(_RGB_TO_LMS).T) @ np.array(_LMS_TO_OKLAB).T


def seen(colours: np.ndarray) -> np.ndarray:
    """(n, 3) 0..255 -> (3, n, 3) OKLab as seen with full, deuteranope and protanope sight (Machado et al., 2009)."""
    linear = (colours / 255.0) ** 2.2
    views = [np.eye(3), np.array(_DEUTERANOPIA), np.array(_PROTANOPIA)]
    return np.stack([_oklab(linear @ view.T) for view in views])


@functools.cache
def palette(count: int) -> list[Colour]:
    """Each colour after the first few is the one farthest from all before it; so it does not depend on `count`."""
    steps = np.linspace(0, 255, 12)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3).round()
    lab = _oklab((grid / 255.0) ** 2.2)
    vivid = (lab[:, 0] > 0.5) & (lab[:, 0] < 0.93) & (np.hypot(lab[:, 1], lab[:, 2]) > 0.09)
    grid = grid[vivid]
    chosen, all_seen = list(_FIRST), seen(grid)
    gap = np.full(len(grid), np.inf)
    for k in range(count):
        if k >= len(chosen):
            r, g, b = grid[int(gap.argmax())].astype(int).tolist()
            chosen.append((r, g, b))
        apart = np.linalg.norm(all_seen - seen(np.array([chosen[k]])), axis=-1)  # (3, n)
        gap = np.minimum(gap, apart[0] + 0.5 * apart[1:].min(axis=0))
    return chosen[:count]


def ink(fill: Colour) -> Colour:
    """Dark or light, whichever reads better on `fill`."""
    return DARK if np.dot((np.array(fill) / 255.0) ** 2.2, (0.2126, 0.7152, 0.0722)) > 0.2 else LIGHT
