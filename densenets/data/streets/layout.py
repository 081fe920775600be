"""What stands where: things are drawn by lot, tried at places of their kind, and kept where they can be seen."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from densenets.data.streets import people, signs, vehicles
from densenets.data.streets.camera import Camera
from densenets.data.streets.canvas import Canvas
from densenets.data.streets.street import Street

SIGN, LIGHT, PERSON, RIDER, CAR, BUS, BICYCLE = 20, 19, 24, 25, 26, 28, 33  # Cityscapes labelIds


@dataclass(frozen=True)
class Thing:
    """labels: one for each region it draws, in the order in which `paint` takes their numbers; group: a crowd.

    outline: (n, 2) X, Z on the ground; depth: of its nearest part; span: x0 y0 x1 y1 px of the whole.
    """

    labels: tuple[int, ...]
    paint: Callable[[Canvas, list[int]], None]
    outline: np.ndarray
    height: float
    depth: float
    span: tuple[float, float, float, float]
    group: bool = False

    @cached_property
    def ground(self) -> tuple[float, float, float, float]:
        """The rectangle around the outline, 0.1 m wider on each side."""
        (x0, z0), (x1, z1) = self.outline.min(0).tolist(), self.outline.max(0).tolist()
        return x0 - 0.1, z0 - 0.1, x1 + 0.1, z1 + 0.1


# A lot draws what a thing looks like; what it returns then tries one place after another.
Try = Callable[[np.random.Generator, Street, Camera], Thing | None]
Lot = Callable[[np.random.Generator], Try]


@dataclass
class Plan:
    """The things kept so far; size: (height, width) of the picture."""

    street: Street
    camera: Camera
    size: tuple[int, int]
    things: list[Thing] = field(default_factory=list)

    def keep(self, thing: Thing | None, smallest: float) -> bool:
        """Keep it if it is in the picture, large enough, on free ground and neither hidden nor hiding another.

        smallest: side of a square as large as it, once the picture is stretched to 192 x 192.
        """
        if thing is None or thing.depth < 2.2:
            return False
        inside = self._inside(thing.span)
        whole = _area(thing.span)
        height, width = self.size
        side = 192 * math.sqrt(_area(inside) / (width * height))
        if _area(inside) < 0.55 * whole or side < smallest or side > 145:
            return False
        for other in self.things:
            if _area(_overlap(thing.ground, other.ground)) > 0:
                return False
            near, far = (thing, other) if thing.depth < other.depth else (other, thing)
            if _area(_overlap(near.span, far.span)) > 0.55 * _area(far.span):
                return False
        self.things.append(thing)
        return True

    def _inside(self, span: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        return _overlap(span, (0, 0, self.size[1], self.size[0]))


def _area(span: tuple[float, float, float, float]) -> float:
    return max(0.0, span[2] - span[0]) * max(0.0, span[3] - span[1])


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, float, float, float]:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def draw_plan(rng: np.random.Generator, street: Street, camera: Camera, size: tuple[int, int]) -> Plan:
    """5 % of the streets stay empty; the others are to get 3 to 9 things, each kind with its own odds."""
    plan = Plan(street, camera, size)
    if rng.random() < 0.05:
        return plan
    wanted = int(rng.integers(3, 10))
    bounds = np.cumsum([weight for weight, _, _ in LOTS])
    for _ in range(wanted):
        _, lot, tries = LOTS[int(np.searchsorted(bounds, rng.random() * bounds[-1]))]
        attempt, smallest = lot(rng), 14.0 if rng.random() < 0.28 else 29.0
        for _ in range(tries):
            if plan.keep(attempt(rng, street, camera), smallest):
                break
    return plan


def _upright(
    camera: Camera, x: float, z: float, half: float, low: float, high: float
) -> tuple[float, float, float, float]:
    """The span of a flat figure."""
    scale, (px, py) = camera.scale(x, z), camera.foot(x, z).tolist()
    return px - half * scale, py - high * scale, px + half * scale, py - low * scale


def _square(x: float, z: float, half: float) -> np.ndarray:
    return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half + [x, z]


def _vehicle(vehicle: vehicles.Vehicle, label: int, x: float, z: float, yaw: float, camera: Camera) -> Thing | None:
    outline = vehicles.ground_outline(vehicle, x, z, yaw)
    depth = min(camera.depth(px, pz) for px, pz in outline)
    if depth < 2.2:
        return None
    corners = np.array([[px, y, pz] for px, pz in outline for y in (0.0, vehicle.height)])
    pixels = camera.project(corners)
    span = (*pixels.min(0).tolist(), *pixels.max(0).tolist())
    paint = lambda canvas, regions: vehicles.paint_vehicle(canvas, vehicle, x, z, yaw, regions[0])  # noqa: E731
    return Thing((label,), paint, outline, vehicle.height, depth, span)


def _lane(rng: np.random.Generator, street: Street, z: float, wide: float) -> tuple[float, float, float]:
    """(x, z, yaw) of something that drives, stands at the kerb, or crosses."""
    draw, jitter = rng.random(), rng.normal(0, 0.05)
    if street.crossing and draw < 0.3:
        z = rng.uniform(street.crossing[0] + 1.5, street.crossing[1] - 1)
        yaw = math.pi / 2 * (1 if rng.random() < 0.5 else -1) + rng.normal(0, 0.15 if rng.random() < 0.7 else 0.5)
        return rng.uniform(-6, 6), z, yaw
    if draw < 0.52:
        return street.half * rng.uniform(0.42, 0.55), z, jitter
    if draw < 0.76:
        return -street.half * rng.uniform(0.42, 0.55), z, math.pi + jitter
    side = 1 if rng.random() < 0.5 else -1
    away = 0.0 if rng.random() < (0.8 if side > 0 else 0.3) else math.pi
    return side * (street.half - wide / 2 - rng.uniform(0.1, 0.3)), z, away + jitter


def _car(rng: np.random.Generator) -> Try:
    vehicle = vehicles.draw_car(rng)
    near, far = (5.0, 10) if rng.random() < 0.6 else (8, 22)
    return lambda rng, street, camera: _vehicle(vehicle, CAR, *_lane(rng, street, rng.uniform(near, far), 1.8), camera)


def _bus(rng: np.random.Generator) -> Try:
    vehicle = vehicles.draw_bus(rng)
    return lambda rng, street, camera: _vehicle(vehicle, BUS, *_lane(rng, street, rng.uniform(11, 21), 2.5), camera)


def _walk(rng: np.random.Generator, street: Street, far: float) -> tuple[float, float]:
    """A place for somebody on foot: on a pavement, on the zebra, or crossing anywhere."""
    draw = rng.random()
    if street.zebra and draw < 0.4:
        return rng.uniform(-street.half, street.half), street.zebra + rng.uniform(0.3, 2.4)
    if draw < 0.16:
        return rng.uniform(-street.half, street.half), rng.uniform(6, far)
    side = -1 if rng.random() < 0.5 else 1
    return side * rng.uniform(street.half + 0.35, street.wall(side) - 0.3), rng.uniform(4, far)


def _person(rng: np.random.Generator) -> Try:
    person = people.draw_person(rng)

    def attempt(rng: np.random.Generator, street: Street, camera: Camera) -> Thing:
        x, z = _walk(rng, street, 12)
        paint = lambda canvas, regions: people.paint_person(canvas, person, x, z, regions[0])  # noqa: E731
        span = _upright(camera, x, z, 0.32, 0.0, person.height)
        return Thing((PERSON,), paint, _square(x, z, 0.24), person.height, camera.depth(x, z), span)

    return attempt


def _crowd(rng: np.random.Generator) -> Try:
    """A group, so far away and so close together that its members are not told apart: one region."""
    members = [
        (people.draw_person(rng), *rng.uniform((-1.5, 0.0), (1.5, 1.4))) for _ in range(int(rng.integers(6, 12)))
    ]
    members.sort(key=lambda member: -member[2])

    def attempt(rng: np.random.Generator, street: Street, camera: Camera) -> Thing:
        x, z = _walk(rng, street, 12)[0], rng.uniform(10, 16)

        def paint(canvas: Canvas, regions: list[int]) -> None:
            for person, dx, dz in members:
                people.paint_person(canvas, person, x + dx, z + dz, regions[0], rounded=False)

        outline = np.array([[x - 1.7, z - 0.2], [x + 1.7, z - 0.2], [x + 1.7, z + 1.6], [x - 1.7, z + 1.6]])
        span = _upright(camera, x, z, 1.75, 0.0, 1.8)
        return Thing((PERSON,), paint, outline, 1.2, camera.depth(x, z), span, group=True)

    return attempt


def _bicycle(rng: np.random.Generator) -> Try:
    """With a rider on the road (60 %), or standing on a pavement."""
    bike, person, ridden = people.draw_bicycle(rng), people.draw_person(rng), rng.random() < 0.6
    half, tall, labels = 0.9 * abs(bike.turn), 1.85 if ridden else 1.08, (BICYCLE, RIDER) if ridden else (BICYCLE,)

    def attempt(rng: np.random.Generator, street: Street, camera: Camera) -> Thing:
        if ridden:
            x, z = rng.uniform(-street.half, street.half) * 0.9, rng.uniform(4.5, 9.5)
        else:
            side = -1 if rng.random() < 0.5 else 1
            x, z = side * rng.uniform(street.half + 0.6, street.wall(side) - 0.4), rng.uniform(4, 9)

        def paint(canvas: Canvas, regions: list[int]) -> None:
            people.paint_bicycle(canvas, bike, x, z, regions[0])
            if ridden:
                people.paint_rider(canvas, bike, person, x, z, regions[1])

        outline = np.array([[x - half, z - 0.2], [x + half, z - 0.2], [x + half, z + 0.2], [x - half, z + 0.2]])
        return Thing(labels, paint, outline, tall * 0.8, camera.depth(x, z), _upright(camera, x, z, half, 0.0, tall))

    return attempt


def _kerb(rng: np.random.Generator, street: Street, z: float) -> tuple[float, float, int]:
    side = -1 if rng.random() < 0.4 else 1
    return side * (street.half + rng.uniform(0.35, 0.8)), z, side


def _sign(rng: np.random.Generator) -> Try:
    sign = signs.draw_sign(rng)

    def attempt(rng: np.random.Generator, street: Street, camera: Camera) -> Thing:
        x, z, _ = _kerb(rng, street, rng.uniform(4, 11))
        paint = lambda canvas, regions: signs.paint_sign(canvas, sign, x, z, regions)  # noqa: E731
        span = _upright(camera, x, z, *signs.sign_extent(sign))
        return Thing((SIGN,) * len(sign.kinds), paint, _square(x, z, 0.12), 2.5, camera.depth(x, z), span)

    return attempt


def _light(rng: np.random.Generator) -> Try:
    signal = signs.draw_signal(rng)

    def attempt(rng: np.random.Generator, street: Street, camera: Camera) -> Thing:
        z = street.zebra - rng.uniform(0.5, 2.5) if street.zebra and rng.random() < 0.7 else rng.uniform(5, 13)
        x, z, side = _kerb(rng, street, z)
        paint = lambda canvas, regions: signs.paint_signal(canvas, signal, x, z, side, regions[0])  # noqa: E731
        span = _upright(camera, x - side * signal.reach, z, *signs.signal_extent(signal))
        return Thing((LIGHT,), paint, _square(x, z, 0.15), 3.0, camera.depth(x, z), span)

    return attempt


LOTS: tuple[tuple[float, Lot, int], ...] = (
    (0.26, _car, 12),
    (0.11, _bus, 12),
    (0.20, _person, 14),
    (0.14, _bicycle, 12),
    (0.14, _sign, 14),
    (0.13, _light, 14),
    (0.03, _crowd, 10),
)
