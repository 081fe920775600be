"""Traffic signs and traffic lights on their poles."""

import math
from typing import NamedTuple

import numpy as np

from densenets.data.streets.backdrop import POLE
from densenets.data.streets.canvas import Canvas, disc
from densenets.data.streets.light import RGB, rgb
from densenets.data.streets.people import Figure

RED, BLUE, WHITE, YELLOW, BLACK = (
    rgb(204, 26, 34),
    rgb(24, 84, 172),
    rgb(240, 240, 236),
    rgb(246, 194, 30),
    rgb(30, 30, 32),
)
SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float) * 0.86
DIAMOND = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]], float)
WARNING = np.array([[-1, -0.72], [1, -0.72], [0, 1]], float)
YIELD = WARNING * [1, -1]
OCTAGON = disc(8) @ np.array(
    [[math.cos(math.pi / 8), -math.sin(math.pi / 8)], [math.sin(math.pi / 8), math.cos(math.pi / 8)]]
)
SLASH = np.array([[-0.6, 0.44], [-0.44, 0.6], [0.6, -0.44], [0.44, -0.6]])
FIVE = np.array(
    [[-0.46, 0.36], [-0.1, 0.36], [-0.1, 0.2], [-0.3, 0.2], [-0.3, 0.09], [-0.08, 0.09], [-0.08, -0.36], [-0.46, -0.36],
     [-0.46, -0.2], [-0.25, -0.2], [-0.25, -0.06], [-0.46, -0.06]]
)  # fmt: skip
TENT = np.array([[-0.62, -0.56], [0.62, -0.56], [0, 0.62]])
ARROW = np.array([[-0.14, -0.6], [0.14, -0.6], [0.14, 0.1], [0.36, 0.1], [0, 0.62], [-0.36, 0.1], [-0.14, 0.1]])
WALKER = np.array(
    [[-0.3, -0.55], [-0.14, -0.55], [0.02, -0.1], [0.2, -0.55], [0.34, -0.55], [0.14, 0.05], [0.1, 0.35], [-0.1, 0.35]]
)


def _bar(x: float, y: float, w: float, h: float) -> np.ndarray:
    return np.array([[x - w, y - h], [x + w, y - h], [x + w, y + h], [x - w, y + h]])


# name: layers (outline in units of the sign's radius, colour), the first is its shape
KINDS: dict[str, tuple[tuple[np.ndarray, RGB], ...]] = {
    "stop": (
        (OCTAGON, WHITE),
        (OCTAGON * 0.92, RED),
        *((_bar(x, 0, 0.12, 0.24), WHITE) for x in (-0.54, -0.18, 0.18, 0.54)),
    ),
    "limit": (
        (disc(24), RED),
        (disc(24) * 0.74, WHITE),
        (FIVE, BLACK),
        (_bar(0.26, 0, 0.19, 0.34), BLACK),
        (_bar(0.26, 0, 0.07, 0.2), WHITE),
    ),
    "no entry": ((disc(24), RED), (_bar(0, 0, 0.68, 0.17), WHITE)),
    "no parking": ((disc(24), RED), (disc(24) * 0.78, BLUE), (SLASH, RED)),
    "ahead": ((disc(24), WHITE), (disc(24) * 0.93, BLUE), (ARROW, WHITE)),
    "warning": (
        (WARNING, RED),
        (WARNING * 0.70 - [0, 0.03], WHITE),
        (_bar(0, 0.0, 0.07, 0.24), BLACK),
        (_bar(0, -0.38, 0.08, 0.07), BLACK),
    ),
    "yield": ((YIELD, RED), (YIELD * 0.64 + [0, 0.04], WHITE)),
    "priority": ((DIAMOND, WHITE), (DIAMOND * 0.9, BLACK), (DIAMOND * 0.84, WHITE), (DIAMOND * 0.62, YELLOW)),
    "crossing": ((SQUARE, WHITE), (SQUARE * 0.93, BLUE), (TENT, WHITE), (WALKER * 0.8, BLACK)),
    "parking": (
        (SQUARE, WHITE),
        (SQUARE * 0.93, BLUE),
        (_bar(-0.18, 0, 0.11, 0.56), WHITE),
        (_bar(0.1, 0.3, 0.26, 0.26), WHITE),
        (_bar(0.08, 0.3, 0.12, 0.12), BLUE),
    ),
}


class Sign(NamedTuple):
    kinds: tuple[str, ...]  # one above the other, the top one first
    radius: float
    centre: float  # m above the ground, of the top one
    turn: float


def draw_sign(rng: np.random.Generator) -> Sign:
    names = tuple(KINDS)
    count = 2 if rng.random() < 0.12 else 1
    kinds = tuple(names[int(rng.integers(len(names)))] for _ in range(count))
    radius = rng.uniform(0.46, 0.64)
    return Sign(kinds, radius, rng.uniform(2.3, 2.9) + radius * (count - 1), rng.uniform(0.72, 1.0))


def sign_extent(sign: Sign) -> tuple[float, float, float]:
    """Half the width, the lower and the upper edge of the plates, in metres."""
    return sign.radius, sign.centre - sign.radius * (2.1 * len(sign.kinds) - 1), sign.centre + sign.radius


def paint_sign(canvas: Canvas, sign: Sign, x: float, z: float, regions: list[int]) -> None:
    """The pole, then each plate as a region of its own."""
    pole = Figure(canvas, x, z, POLE)
    pole.fill(_bar(0, sign.centre / 2, 0.045, sign.centre / 2), rgb(136, 140, 142))
    pole.done()
    for number, (kind, region) in enumerate(zip(sign.kinds, regions, strict=True)):
        plate, middle = Figure(canvas, x, z, region, sign.turn), [0.0, sign.centre - 2.1 * sign.radius * number]
        for layer, (outline, colour) in enumerate(KINDS[kind]):
            plate.fill(outline * sign.radius + middle, colour, layer == 0)
        plate.done()


LAMPS = (rgb(236, 38, 30), rgb(252, 176, 30), rgb(40, 222, 110))


class Signal(NamedTuple):
    lit: tuple[int, ...]  # 0 red, 1 amber, 2 green
    size: float  # height of the housing in m
    base: float  # m above the ground
    reach: float  # m from the pole towards the road, 0 on the pole itself
    turn: float
    back: bool  # its back plate is lined white


def draw_signal(rng: np.random.Generator) -> Signal:
    lit = ((0,), (0,), (2,), (2,), (1,), (0, 1))[int(rng.integers(6))]
    high = rng.random() < 0.3
    base, reach = (rng.uniform(3.6, 4.3), rng.uniform(1.5, 3.2)) if high else (rng.uniform(2.0, 2.6), 0.0)
    return Signal(lit, rng.uniform(1.3, 1.75), base, reach, rng.uniform(0.8, 1.0), rng.random() < 0.7)


def signal_extent(signal: Signal) -> tuple[float, float, float]:
    """Half the width, the lower and the upper edge of the housing, in metres."""
    return signal.size * 0.26, signal.base, signal.base + signal.size


def paint_signal(canvas: Canvas, signal: Signal, x: float, z: float, side: int, region: int) -> None:
    """side: of the road on which the pole stands; the arm reaches to the other."""
    pole, grey = Figure(canvas, x, z, POLE), rgb(96, 102, 104)
    top = signal.base + signal.size * (0.6 if signal.reach else 0.05)
    pole.fill(_bar(0, top / 2, 0.07, top / 2), grey)
    if signal.reach:
        pole.fill(_bar(-side * signal.reach / 2, top - 0.1, signal.reach / 2 + 0.1, 0.055), grey)
    pole.done()
    box, middle = Figure(canvas, x, z, region), (-side * signal.reach, signal.base + signal.size / 2)
    wide, tall = signal.size * 0.23 * signal.turn, signal.size / 2
    if signal.back:
        box.fill(_bar(*middle, wide * 1.32, tall * 1.07), rgb(230, 230, 226))
        box.fill(_bar(*middle, wide * 1.18, tall * 1.03), rgb(34, 36, 38))
    box.fill(_bar(*middle, wide, tall), rgb(22, 23, 25) if signal.back else rgb(36, 40, 40))
    places = [np.array([middle[0], middle[1] + tall * (0.64 - 0.64 * lamp)]) for lamp in range(3)]
    for lamp, centre in enumerate(places):
        _add_lamp(box, centre, signal, lamp, wide)
    box.done()
    for lamp in signal.lit:
        canvas.glow(box.pixels(places[lamp]), signal.size * 0.3 * box.scale, LAMPS[lamp])


def _add_lamp(box: Figure, centre: np.ndarray, signal: Signal, lamp: int, wide: float) -> None:
    size = np.array([min(signal.size * 0.135, wide * 0.8), signal.size * 0.135])
    if lamp not in signal.lit:
        box.fill(disc(14) * size + centre, LAMPS[lamp] * 0.18 + 12, False)
        return
    box.light_up(disc(14) * size + centre, LAMPS[lamp])
    box.light_up(disc(14) * size * 0.5 + centre, LAMPS[lamp] * 0.55 + 115)
    hood = np.array([[-1, 0.2], [-0.9, 0.9], [0, 1.25], [0.9, 0.9], [1, 0.2], [0.72, 0.75], [0, 1.0], [-0.72, 0.75]])
    box.fill(hood * size + centre, rgb(20, 21, 22), False)
