"""People, bicycles and riders: flat figures that stand upright on the ground and face the camera.

Local axes: x right, y up from the foot point, in metres. `Figure` turns them into px.
"""

import math
from typing import NamedTuple

import numpy as np

from densenets.data.streets.canvas import Canvas, Shape, disc
from densenets.data.streets.light import RGB, mix, rgb

SKIN = (rgb(236, 196, 168), rgb(214, 166, 132), rgb(170, 118, 84), rgb(122, 82, 58), rgb(88, 58, 42))
HAIR = (rgb(38, 30, 26), rgb(84, 56, 34), rgb(152, 112, 62), rgb(120, 116, 112), rgb(26, 24, 26))
TOPS = (
    rgb(178, 38, 40), rgb(40, 74, 140), rgb(226, 224, 218), rgb(44, 46, 52), rgb(60, 118, 84), rgb(214, 158, 48),
    rgb(120, 70, 120), rgb(96, 150, 190), rgb(150, 110, 80), rgb(220, 120, 130), rgb(110, 112, 118), rgb(234, 104, 36),
)  # fmt: skip
LEGS = (rgb(44, 54, 84), rgb(36, 36, 40), rgb(92, 84, 72), rgb(70, 92, 128), rgb(150, 138, 116), rgb(88, 40, 44))
FRAMES = (rgb(180, 36, 36), rgb(36, 80, 150), rgb(40, 42, 46), rgb(226, 226, 222), rgb(44, 130, 86), rgb(228, 170, 44))


# Twelve directions around a limb that points along +x: the first half around its start, the second around its end.
_ANGLES = np.concatenate([np.linspace(math.pi / 2, 3 * math.pi / 2, 6), np.linspace(-math.pi / 2, math.pi / 2, 6)])
_COS, _SIN, _START = np.cos(_ANGLES), np.sin(_ANGLES), np.arange(12) < 6


class Figure:
    """A flat figure on the ground point (x, z): shapes are gathered in its own metres and drawn together by `done`.

    turn: 1 shows it whole, less squeezes it sideways, negative mirrors it; size: how many metres one of its own is.
    """

    def __init__(self, canvas: Canvas, x: float, z: float, region: int, turn: float = 1.0, size: float = 1.0) -> None:
        self.canvas, self.region, self.turn = canvas, region, turn
        self.depth = max(canvas.camera.depth(x, z), 1.0)
        self.foot, self.scale = canvas.camera.foot(x, z), canvas.camera.focal / self.depth * size
        self.tone = canvas.light.tone((0.25 if canvas.light.sun[0] > 0 else -0.25, 0.25, -0.9), self.depth)
        self._shapes: list[Shape] = []
        self._bones: list[tuple[float, ...]] = []

    def pixels(self, points: np.ndarray) -> np.ndarray:
        return points * np.array([self.scale * self.turn, -self.scale]) + self.foot

    def fill(self, points: np.ndarray | list[tuple[float, float]], colour: RGB, solid: bool = True) -> None:
        """(n, 2) local; a part that is not solid is a detail of what lies under it."""
        self._shapes.append(Shape(np.asarray(points, float), self.tone(colour), self.region if solid else None))

    def light_up(self, points: np.ndarray, colour: RGB) -> None:
        """A detail that shines by itself."""
        self._shapes.append(Shape(points, colour))

    def limb(self, joints: list[tuple[float, float]], radii: list[float], colour: RGB) -> None:
        """A chain of joints, round in cross-section: its thickness stays when the figure is turned."""
        tint = self.tone(colour)
        for k in range(len(joints) - 1):
            self._bones.append((len(self._shapes), *joints[k], *joints[k + 1], radii[k], radii[k + 1]))
            self._shapes.append(Shape(_COS, tint, self.region))  # its outline comes with `done`

    def done(self) -> np.ndarray:
        """Draw; returns x0 y0 x1 y1 px of all that was drawn."""
        outlines = [shape.points for shape in self._shapes]
        if self._bones:
            bones = np.array(self._bones)
            for place, outline in zip(
                bones[:, 0].astype(int).tolist(), _capsules(bones[:, 1:], self.turn), strict=True
            ):
                outlines[place] = outline
        sizes = np.cumsum([len(outline) for outline in outlines])
        pixels = self.pixels(np.concatenate(outlines))
        pieces = np.split(pixels, sizes[:-1])
        self.canvas.draw([shape._replace(points=piece) for shape, piece in zip(self._shapes, pieces, strict=True)])
        self._shapes, self._bones = [], []
        return np.concatenate([pixels.min(0), pixels.max(0)])


def _capsules(bones: np.ndarray, turn: float) -> np.ndarray:
    """(n, 12, 2) outlines around two circles each; bones: (n, 6) x, y of one, x, y of the other, their radii."""
    ax, ay, bx, by, ra, rb = (column[:, None] for column in bones.T)
    long = np.hypot(bx - ax, by - ay) + 1e-9
    c, s, radius = (bx - ax) / long, (by - ay) / long, np.where(_START, ra, rb)
    x = np.where(_START, ax, bx) + radius / max(abs(turn), 0.3) * (_COS * c - _SIN * s)
    y = np.where(_START, ay, by) + radius * (_COS * s + _SIN * c)
    return np.stack([x, y], -1)


class Person(NamedTuple):
    """Looks and pose; height in metres; view: front, back, left or right; stride: -1..1, the phase of a step."""

    height: float
    view: str
    stride: float
    skin: RGB
    hair: RGB
    top: RGB
    legs: RGB
    coat: float  # how far the top reaches down, 0 waist .. 1 knee
    long_hair: bool
    bag: RGB | None
    stout: float


def draw_person(rng: np.random.Generator) -> Person:
    pick = lambda options: options[int(rng.integers(len(options)))]  # noqa: E731
    child = rng.random() < 0.12
    return Person(
        rng.uniform(1.15, 1.4) if child else rng.uniform(1.6, 1.9),
        pick(("front", "back", "left", "right")),
        rng.uniform(-1, 1),
        pick(SKIN), pick(HAIR), pick(TOPS) * rng.uniform(0.85, 1.1), pick(LEGS) * rng.uniform(0.85, 1.15),
        rng.uniform(0.3, 0.95) if rng.random() < 0.35 else 0.0,
        rng.random() < 0.4,
        pick(TOPS) * 0.8 if rng.random() < 0.4 else None,
        rng.uniform(1.0, 1.35),
    )  # fmt: skip


def paint_person(canvas: Canvas, person: Person, x: float, z: float, region: int, rounded: bool = True) -> None:
    """Drawn for 1.75 m and scaled; a side view walks to +x and is mirrored for "left"."""
    figure = Figure(canvas, x, z, region, -1.0 if person.view == "left" else 1.0, person.height / 1.75)
    (_paint_side if person.view in ("left", "right") else _paint_front)(figure, person)
    span = figure.done()
    if rounded:
        canvas.relief(region, span, 0.3, 0.05 * figure.scale)


def _paint_side(figure: Figure, p: Person) -> None:
    swing, shoe, wide = 0.40 * p.stride, rgb(40, 36, 34), p.stout
    far, near = p.legs * 0.78, p.legs
    for leg, colour, sign in ((-swing, far, -1), (swing, near, 1)):
        ankle = (leg, 0.09 + 0.10 * max(0.0, -leg * 1.2))
        figure.limb([(0.0, 0.88), (leg * 0.45 + 0.05, 0.47), ankle], [0.095 * wide, 0.07, 0.05], colour)
        figure.limb([(ankle[0] - 0.03, ankle[1] - 0.05), (ankle[0] + 0.15, ankle[1] - 0.055)], [0.05, 0.04], shoe)
        if sign < 0:
            figure.limb(
                [(0.0, 1.38), (swing * 0.5, 1.12), (swing * 0.95 + 0.06, 0.92)], [0.055, 0.05, 0.04], p.top * 0.75
            )
    torso = [
        (-0.12 * wide, 0.84),
        (-0.13 * wide, 1.15),
        (-0.11, 1.42),
        (0.0, 1.47),
        (0.10, 1.40),
        (0.13 * wide, 1.12),
        (0.12 * wide, 0.84),
    ]
    figure.fill(np.array(torso), p.top)
    if p.coat:
        hem = 0.84 - 0.42 * p.coat
        figure.fill(
            np.array([(-0.13, 0.92), (0.13, 0.92), (0.15 + abs(swing) * 0.3, hem), (-0.15 - abs(swing) * 0.3, hem)]),
            p.top * 0.95,
        )
    if p.bag is not None:
        figure.fill(np.array([(-0.10, 1.05), (-0.10, 1.40), (-0.22, 1.38), (-0.27, 1.20), (-0.25, 1.02)]), p.bag)
    figure.limb([(0.0, 1.46), (0.01, 1.54)], [0.055, 0.05], p.skin * 0.9)
    head = disc(14) * [0.098, 0.122] + [0.02, 1.63]
    figure.fill(head, p.skin)
    hair = [
        (0.09, 1.70),
        (0.05, 1.755),
        (-0.03, 1.765),
        (-0.09, 1.72),
        (-0.10, 1.62),
        (-0.07, 1.545),
        (-0.02, 1.60),
        (0.0, 1.68),
    ]
    if p.long_hair:
        hair[5:6] = [(-0.12, 1.44), (-0.04, 1.42)]
    figure.fill(np.array(hair), p.hair)
    figure.limb([(-0.01, 1.38), (-swing * 0.5 - 0.02, 1.12)], [0.062, 0.05], p.top * 0.88)
    figure.limb([(-swing * 0.5 - 0.02, 1.12), (-swing * 0.95 + 0.06, 0.93)], [0.048, 0.04], p.top * 0.88)
    figure.limb([(-swing * 0.95 + 0.06, 0.92), (-swing + 0.08, 0.86)], [0.045, 0.035], p.skin)


def _paint_front(figure: Figure, p: Person) -> None:
    step, wide, shoe = 0.10 * p.stride, p.stout, rgb(40, 36, 34)
    for side, lift in ((-1, max(0.0, step)), (1, max(0.0, -step))):
        foot = (side * 0.11, 0.07 + lift)
        figure.limb(
            [(side * 0.085, 0.88), (side * 0.10, 0.48 + lift * 0.5), foot],
            [0.095 * wide, 0.072, 0.052],
            p.legs * (1 - lift * 2.5),
        )
        figure.limb([(foot[0], foot[1] - 0.02), (foot[0] + side * 0.03, foot[1] - 0.035)], [0.06, 0.05], shoe)
    for side in (-1, 1):
        reach = 0.88 - side * step * 0.4
        figure.limb(
            [(side * 0.20, 1.39), (side * 0.25 * wide, 1.14), (side * 0.25 * wide, reach)],
            [0.06, 0.052, 0.042],
            p.top * 0.84,
        )
        figure.limb([(side * 0.25 * wide, reach - 0.02), (side * 0.245 * wide, reach - 0.08)], [0.045, 0.035], p.skin)
    a = 0.17 * wide
    torso = [
        (-a, 0.84),
        (-a * 0.95, 1.12),
        (-0.21, 1.38),
        (-0.15, 1.45),
        (0.15, 1.45),
        (0.21, 1.38),
        (a * 0.95, 1.12),
        (a, 0.84),
    ]
    figure.fill(np.array(torso), p.top)
    if p.coat:
        hem = 0.84 - 0.42 * p.coat
        figure.fill(np.array([(-a, 0.94), (a, 0.94), (a * 1.2, hem), (-a * 1.2, hem)]), p.top * 0.95)
    if p.view == "front":
        figure.fill(
            np.array([(-0.012, 0.86), (0.012, 0.86), (0.04, 1.44), (-0.04, 1.44)]),
            mix(p.top, rgb(240, 240, 236), 0.55),
            False,
        )
    elif p.bag is not None:
        figure.fill(
            np.array([(-0.14, 1.02), (0.14, 1.02), (0.15, 1.36), (0.09, 1.42), (-0.09, 1.42), (-0.15, 1.36)]), p.bag
        )
    figure.limb([(0.0, 1.45), (0.0, 1.54)], [0.06, 0.055], p.skin * 0.88)
    if p.long_hair:
        figure.fill(np.array([(-0.12, 1.42), (0.12, 1.42), (0.115, 1.70), (0.0, 1.77), (-0.115, 1.70)]), p.hair * 0.9)
    figure.fill(disc(14) * [0.09, 0.122] + [0, 1.63], p.skin if p.view == "front" else p.hair)
    if p.view == "front":
        figure.fill(
            np.array(
                [
                    (-0.095, 1.66),
                    (-0.06, 1.70),
                    (0.06, 1.70),
                    (0.095, 1.66),
                    (0.08, 1.745),
                    (0.0, 1.768),
                    (-0.08, 1.745),
                ]
            ),
            p.hair,
        )
        figure.fill(np.array([(-0.05, 1.625), (0.05, 1.625), (0.05, 1.645), (-0.05, 1.645)]), p.skin * 0.55, False)


class Bicycle(NamedTuple):
    frame: RGB
    turn: float  # 1 full side view .. 0.3 nearly from behind; negative rides to the left
    basket: bool


def draw_bicycle(rng: np.random.Generator) -> Bicycle:
    turn = rng.uniform(0.5, 1.0) * (1 if rng.random() < 0.5 else -1)
    return Bicycle(FRAMES[int(rng.integers(len(FRAMES)))], turn, rng.random() < 0.3)


REAR, FRONT, WHEEL = (-0.52, 0.34), (0.54, 0.34), 0.34
SADDLE, SEAT, PEDALS, STEM, BARS = (-0.22, 0.95), (-0.19, 0.78), (-0.06, 0.30), (0.34, 0.86), (0.40, 1.04)


def paint_bicycle(canvas: Canvas, bike: Bicycle, x: float, z: float, region: int) -> None:
    """The wheels' discs belong to the bicycle's region although the street shows through between the spokes."""
    figure = Figure(canvas, x, z, region, bike.turn)
    for hub in (REAR, FRONT):
        _paint_wheel(figure, hub)
    dark, thick = rgb(70, 72, 76), 0.05 * figure.scale
    tubes = [(REAR, PEDALS), (PEDALS, SEAT), (SEAT, REAR), (PEDALS, STEM), ((-0.18, 0.74), STEM)]
    for tube in tubes:
        canvas.line(figure.pixels(np.array(tube)), figure.tone(bike.frame), thick, region)
    for tube in ((FRONT, STEM), (STEM, BARS), (SEAT, SADDLE)):
        canvas.line(figure.pixels(np.array(tube)), figure.tone(dark), thick * 0.9, region)
    figure.limb([(-0.34, 0.965), (-0.10, 0.95)], [0.05, 0.028], rgb(30, 28, 28))
    figure.limb([(0.30, 1.05), (0.44, 1.05)], [0.028, 0.028], rgb(30, 28, 28))
    figure.limb([PEDALS, (0.03, 0.22)], [0.045, 0.025], rgb(50, 50, 54))
    if bike.basket:
        figure.fill([(0.42, 0.74), (0.68, 0.74), (0.74, 0.98), (0.40, 0.98)], rgb(150, 116, 76))
    figure.done()


def _paint_wheel(figure: Figure, hub: tuple[float, float]) -> None:
    canvas, pixel, rim = figure.canvas, figure.scale, figure.pixels(disc(22) * WHEEL + hub)
    canvas.mark(rim, figure.region)
    if pixel > 45:
        for end in disc(12)[::2]:
            canvas.line(figure.pixels(np.array([hub, end * WHEEL + hub])), figure.tone(rgb(150, 152, 154)), 1)
    canvas.line(rim, figure.tone(rgb(30, 30, 32)), 0.062 * pixel, figure.region, closed=True)
    if pixel > 30:
        inner = figure.pixels(disc(22) * (WHEEL - 0.05) + hub)
        canvas.line(inner, figure.tone(rgb(164, 166, 168)), 0.02 * pixel, closed=True)


def paint_rider(canvas: Canvas, bike: Bicycle, person: Person, x: float, z: float, region: int) -> None:
    """On the saddle of the bicycle that has just been drawn there."""
    figure, p = Figure(canvas, x, z, region, bike.turn), person
    hip, shoulder, hand = (-0.20, 1.02), (0.10, 1.50), (0.40, 1.08)
    phase, shoe = 0.11 * p.stride, rgb(40, 36, 34)
    for foot, knee, dim in (((-0.06 - phase, 0.43), (0.20, 0.80), 0.75), ((-0.04 + phase, 0.19), (0.20, 0.62), 1.0)):
        figure.limb([hip, knee, foot], [0.10, 0.075, 0.05], p.legs * dim)
        figure.limb([(foot[0] - 0.03, foot[1] - 0.03), (foot[0] + 0.15, foot[1] - 0.04)], [0.045, 0.035], shoe)
    figure.limb([hip, (-0.08, 1.28), shoulder], [0.13, 0.135, 0.12], p.top)
    if p.bag is not None:
        figure.limb([(-0.20, 1.22), (-0.06, 1.48)], [0.10, 0.09], p.bag)
    figure.limb([shoulder, (0.26, 1.24), hand], [0.065, 0.05, 0.04], p.top * 0.86)
    figure.limb([hand, (0.43, 1.07)], [0.04, 0.03], p.skin)
    figure.limb([shoulder, (0.15, 1.62)], [0.055, 0.05], p.skin * 0.9)
    wide = np.array([1 / max(abs(bike.turn), 0.6), 1.0])
    figure.fill(disc(14) * [0.098, 0.122] * wide + [0.18, 1.71], p.skin)
    helmet = np.array([(-0.11, 0.0), (-0.10, 0.08), (-0.05, 0.135), (0.03, 0.145), (0.10, 0.09), (0.13, 0.02)])
    figure.fill(helmet * wide + [0.18, 1.71], p.bag if p.bag is not None else p.hair)
    canvas.relief(region, figure.done(), 0.3, 0.05 * figure.scale)
