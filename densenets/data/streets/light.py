"""The hour and the weather: how bright a surface is, what the sky looks like, how far one sees."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

RGB = np.ndarray  # (3,) float, 0..255
Normal = tuple[float, float, float]


def rgb(r: float, g: float, b: float) -> RGB:
    return np.array([r, g, b], float)


class Tone(NamedTuple):
    """colour * gain + veil, for one colour or (n, 3) of them."""

    gain: np.ndarray
    veil: np.ndarray

    def __call__(self, colour: np.ndarray) -> np.ndarray:
        return colour * self.gain + self.veil


def mix(a: RGB, b: RGB, share: float) -> RGB:
    return a + (b - a) * share


@dataclass(frozen=True)
class Light:
    """sun: unit vector towards it; sunlight and ambient: factors on a colour; haze at `visibility` metres is 63 %."""

    name: str
    sun: Normal
    sunlight: np.ndarray
    ambient: np.ndarray
    zenith: RGB
    skyline: RGB
    cloud: RGB
    cover: float  # share of the sky under cloud
    visibility: float
    shadow: float  # darkness of what is cut off from the sun
    lamps: bool  # windows, street lamps and headlights are lit

    def tone(self, normal: Normal, depth: float) -> Tone:
        """How a matt surface with that unit normal looks at that depth, haze included."""
        facing = max(0.0, self.sun[0] * normal[0] + self.sun[1] * normal[1] + self.sun[2] * normal[2])
        clear = math.exp(-max(depth, 0.0) / self.visibility)
        gain = self.ambient * (0.82 + 0.22 * normal[1]) + self.sunlight * facing
        return Tone(gain * clear, self.skyline * (1 - clear))

    def haze(self, colour: RGB, depth: float) -> RGB:
        return mix(colour, self.skyline, 1 - math.exp(-max(depth, 0.0) / self.visibility))


def draw_light(rng: np.random.Generator) -> Light:
    """Clear day 45 %, overcast 30 %, dusk 25 %."""
    which = rng.random()
    if which < 0.45:
        return _day(rng)
    return _overcast(rng) if which < 0.75 else _dusk(rng)


def _towards(azimuth: float, elevation: float) -> Normal:
    flat = math.cos(elevation)
    return math.sin(azimuth) * flat, math.sin(elevation), math.cos(azimuth) * flat


def _day(rng: np.random.Generator) -> Light:
    level = rng.uniform(0.95, 1.15)
    return Light(
        "day",
        _towards(rng.uniform(-math.pi, math.pi), math.radians(rng.uniform(32, 64))),
        np.array([1.0, 0.95, 0.85]) * 0.62 * level,
        np.array([0.62, 0.645, 0.70]) * level,
        mix(rgb(58, 112, 190), rgb(98, 152, 214), rng.random()),
        mix(rgb(176, 206, 232), rgb(214, 224, 230), rng.random()),
        rgb(250, 250, 252),
        rng.uniform(0.1, 0.6),
        rng.uniform(90, 260),
        rng.uniform(0.36, 0.48),
        False,
    )


def _overcast(rng: np.random.Generator) -> Light:
    level = rng.uniform(0.78, 1.0)
    grey = rng.uniform(165, 215)
    return Light(
        "overcast",
        _towards(rng.uniform(-math.pi, math.pi), math.radians(75)),
        np.array([1.0, 1.0, 1.0]) * 0.14 * level,
        np.array([0.76, 0.79, 0.82]) * level,
        rgb(grey - 32, grey - 24, grey - 14),
        rgb(grey + 6, grey + 10, grey + 14),
        rgb(grey + 18, grey + 20, grey + 24),
        rng.uniform(0.6, 1.0),
        rng.uniform(45, 120),
        0.0,
        rng.random() < 0.25,
    )


def _dusk(rng: np.random.Generator) -> Light:
    level, pink = rng.uniform(0.68, 0.95), rng.random()
    return Light(
        "dusk",
        _towards(rng.uniform(-1.2, 1.2) + math.pi * (rng.random() < 0.5), math.radians(rng.uniform(9, 20))),
        np.array([1.0, 0.66, 0.40]) * 0.55 * level,
        np.array([0.66, 0.62, 0.70]) * level,
        mix(rgb(54, 66, 122), rgb(86, 84, 138), rng.random()),
        mix(rgb(246, 176, 112), rgb(232, 150, 140), pink),
        mix(rgb(240, 160, 130), rgb(206, 140, 160), pink),
        rng.uniform(0.2, 0.8),
        rng.uniform(70, 180),
        rng.uniform(0.2, 0.4),
        True,
    )
