"""Cars and buses: a side profile pulled across the width, with windows, wheels and lamps laid on its faces.

Local axes: s forward from the middle, y up from the ground, w to the vehicle's right, in metres.
"""

import functools
import itertools
import math
from typing import NamedTuple

import cv2
import numpy as np

from densenets.data.streets.canvas import Canvas, Shape, disc
from densenets.data.streets.light import RGB, mix, rgb

PAINTS = (
    (rgb(196, 30, 34), 1.5), (rgb(34, 72, 150), 1.5), (rgb(228, 228, 226), 2.0), (rgb(52, 54, 58), 1.6),
    (rgb(164, 168, 172), 1.8), (rgb(90, 96, 102), 1.2), (rgb(226, 186, 44), 0.7), (rgb(40, 104, 74), 0.7),
    (rgb(206, 108, 36), 0.5), (rgb(96, 158, 196), 0.8), (rgb(120, 34, 46), 0.6), (rgb(188, 174, 146), 0.6),
)  # fmt: skip
LIVERIES = (
    (rgb(190, 28, 34), rgb(224, 214, 200)),
    (rgb(238, 186, 34), rgb(48, 52, 58)),
    (rgb(44, 94, 170), rgb(234, 236, 238)),
    (rgb(232, 234, 232), rgb(38, 132, 84)),
    (rgb(60, 140, 92), rgb(240, 236, 220)),
    (rgb(228, 122, 34), rgb(246, 240, 228)),
)

# (length, width, profile): points (s / length, y) from the rear bottom over the roof to the front bottom; `belt` is the
# index of the rear window's foot, followed by the roof's rear, the roof's front and the windscreen's foot.
SHAPES = {
    "hatchback": (4.0, 1.76, 2, ((-0.5, 0.32), (-0.5, 0.64), (-0.48, 0.95), (-0.39, 1.46), (0.06, 1.50), (0.27, 0.98),
                                 (0.46, 0.84), (0.5, 0.60), (0.495, 0.28))),
    "saloon": (4.6, 1.82, 3, ((-0.5, 0.32), (-0.5, 0.66), (-0.48, 0.93), (-0.34, 0.99), (-0.19, 1.42), (0.07, 1.45),
                              (0.25, 0.97), (0.46, 0.80), (0.5, 0.58), (0.495, 0.28))),
    "estate": (4.6, 1.82, 2, ((-0.5, 0.32), (-0.5, 0.66), (-0.485, 0.98), (-0.43, 1.46), (0.07, 1.49), (0.25, 0.97),
                              (0.46, 0.80), (0.5, 0.58), (0.495, 0.28))),
    "suv": (4.5, 1.92, 2, ((-0.5, 0.42), (-0.5, 0.78), (-0.485, 1.10), (-0.42, 1.70), (0.05, 1.73), (0.22, 1.12),
                           (0.46, 1.00), (0.5, 0.74), (0.495, 0.38))),
    "van": (4.8, 1.92, 2, ((-0.5, 0.34), (-0.5, 0.80), (-0.495, 1.10), (-0.47, 1.90), (0.20, 1.93), (0.37, 1.14),
                           (0.47, 0.98), (0.5, 0.66), (0.495, 0.32))),
}  # fmt: skip

TYRE, RIM, DARK, RED, LAMP = rgb(28, 28, 30), rgb(152, 154, 158), rgb(34, 35, 38), rgb(176, 22, 24), rgb(236, 238, 232)


class Patch(NamedTuple):
    """A (k, 3) polygon of a face; `solid` ones are the vehicle's silhouette; glow: radius in m of a lit lamp, or 0."""

    points: np.ndarray
    colour: RGB
    solid: bool = False
    glow: float = 0.0
    glossy: bool = False  # glass: it mirrors the sky and takes no shade


class Face(NamedTuple):
    normal: np.ndarray  # (3,), local
    patches: list[Patch]


class Vehicle(NamedTuple):
    length: float
    width: float
    height: float
    faces: list[Face]


def _part(quad: np.ndarray, u0: float, u1: float, v0: float, v1: float) -> np.ndarray:
    """The rectangle u0..u1 by v0..v1 of a quad whose corners are (0,0) (1,0) (1,1) (0,1)."""
    shares = [[(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v] for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1))]
    return np.array(shares) @ quad


@functools.cache
def _wheel_parts(spokes: int) -> tuple[tuple[np.ndarray, RGB, bool], ...]:
    """Arch, tyre, rim, the holes between the spokes and the hub of a wheel of radius 1 at the origin."""
    circle = np.insert(disc(18), 2, 0.0, axis=1)
    holes = []
    for k in range(spokes):
        a = 2 * math.pi * (k + 0.3) / spokes
        tip = [(math.cos(a + d) * 0.58, math.sin(a + d) * 0.58, 0) for d in (-0.3, 0.3)]
        holes.append((np.array([*tip, (math.cos(a) * 0.24, math.sin(a) * 0.24, 0)]), DARK, False))
    arch, tyre, rim, hub = (
        (circle * 1.17, DARK * 0.7, False),
        (circle, TYRE, True),
        (circle * 0.66, RIM, False),
        (circle * 0.2, DARK, False),
    )
    return (arch, tyre, rim, *holes, hub)


def _wheel(s: float, radius: float, w: float, spokes: int) -> list[Patch]:
    middle = np.array([s, radius, w])
    return [Patch(outline * radius + middle, colour, solid) for outline, colour, solid in _wheel_parts(spokes)]


def _tyres(s: float, radius: float, half: float) -> list[Face]:
    """The treads as one sees them from behind or in front, below the bumper."""
    faces = []
    for way in (-1.0, 1.0):
        at = way * (s + radius * 0.8)
        for w in (-half * 0.98, half * 0.74):
            tread = np.array([[at, 0.0, w], [at, 0.0, w + half * 0.24], [at, radius, w + half * 0.24], [at, radius, w]])
            faces.append(Face(np.array([way, 0.0, 0.0]), [Patch(tread, TYRE * 0.8, True)]))
    return faces


def draw_car(rng: np.random.Generator) -> Vehicle:
    names = tuple(SHAPES)
    length, width, belt, profile = SHAPES[names[int(rng.integers(len(names)))]]
    length, width, tall = length * rng.uniform(0.93, 1.07), width * rng.uniform(0.97, 1.03), rng.uniform(0.96, 1.05)
    sy = np.array(profile) * [length, tall]
    weights = np.cumsum([weight for _, weight in PAINTS])
    paint = PAINTS[int(np.searchsorted(weights, rng.random() * weights[-1]))][0] * rng.uniform(0.88, 1.1)
    half = np.full(len(sy), width / 2)
    half[belt : belt + 4] *= [0.97, 0.77, 0.77, 0.95]
    half[-3:] *= [0.97, 0.95, 0.93]
    taxi = rng.random() < 0.05
    if taxi:
        paint = rgb(240, 192, 40)
    faces = [_strip(sy, half, i, i + 1, paint) for i in range(len(sy) - 1)]
    _dress_rear(faces[:belt], paint, rng)
    for i in (belt, belt + 2):
        quad = faces[i].patches[0].points
        faces[i].patches.append(Patch(_part(quad, 0.06, 0.94, 0.08, 0.93), _glass(), glossy=True))
    _dress_front(faces[belt + 3 :], paint, rng)
    radius, spokes = 0.215 * float(sy[belt, 1]) + 0.115, int(rng.integers(4, 8))
    faces.extend(_tyres(length * 0.315, radius, width / 2))
    for side in (-1.0, 1.0):
        faces.extend(_car_side(sy, half * side, belt, paint, radius, spokes))
    return Vehicle(length, width, float(sy[:, 1].max()), faces)


def _glass() -> RGB:
    return rgb(38, 46, 54)


def _strip(sy: np.ndarray, half: np.ndarray, i: int, j: int, paint: RGB) -> Face:
    """The surface between two points of the profile, across the width: corners left i, right i, right j, left j."""
    (s0, y0), (s1, y1) = sy[i], sy[j]
    quad = np.array([[s0, y0, -half[i]], [s0, y0, half[i]], [s1, y1, half[j]], [s1, y1, -half[j]]])
    normal = np.array([y0 - y1, s1 - s0, 0.0])
    return Face(normal / np.linalg.norm(normal), [Patch(quad, paint, True)])


def _dress_rear(faces: list[Face], paint: RGB, rng: np.random.Generator) -> None:
    bumper, panel = faces[0].patches, faces[1].patches
    quad, wide = panel[0].points, rng.uniform(0.12, 0.22)
    bumper.append(Patch(_part(bumper[0].points, 0.0, 1.0, 0.55, 1.0), mix(paint, rgb(255, 255, 255), 0.12)))
    bumper.append(Patch(_part(bumper[0].points, 0.0, 1.0, 0.0, 0.4), DARK * 1.25))
    bumper.extend(Patch(_part(bumper[0].points, u, u + 0.09, 0.42, 0.54), RED * 0.8) for u in (0.06, 0.85))
    bumper.append(Patch(_part(bumper[0].points, 0.36, 0.64, 0.62, 0.98), rgb(226, 224, 206)))
    panel.append(Patch(_part(quad, 0.0, 1.0, 0.0, 0.28), paint * 0.84))
    panel.append(Patch(_part(quad, 0.0, 1.0, 0.78, 1.0), mix(paint, rgb(255, 255, 255), 0.10)))
    panel.append(Patch(_part(quad, 0.30, 0.70, 0.40, 0.47), paint * 0.6))
    panel.append(Patch(_part(quad, 0.0, 1.0, -0.05, 0.03), paint * 0.6))
    for u in (0.03, 0.97 - wide):
        panel.append(Patch(_part(quad, u, u + wide, 0.30, 0.95), RED, glow=0.34))
        panel.append(Patch(_part(quad, u + 0.02, u + wide - 0.02, 0.36, 0.52), rgb(232, 190, 170)))


def _dress_front(faces: list[Face], paint: RGB, rng: np.random.Generator) -> None:
    nose, bumper = faces[-2].patches, faces[-1].patches
    quad, wide, low = nose[0].points, rng.uniform(0.18, 0.26), rng.uniform(0.25, 0.4)
    for u in (0.03, 0.97 - wide):
        nose.append(Patch(_part(quad, u, u + wide, low - 0.1, 0.92), DARK))
        nose.append(Patch(_part(quad, u + 0.015, u + wide - 0.015, low, 0.84), LAMP, glow=0.5))
    nose.append(Patch(_part(quad, wide + 0.07, 0.93 - wide, 0.32, 0.90), DARK))
    bumper.append(Patch(_part(bumper[0].points, 0.14, 0.86, 0.38, 0.80), DARK * 1.1))
    bumper.append(Patch(_part(bumper[0].points, 0.36, 0.64, 0.10, 0.42), rgb(226, 224, 206)))
    bumper.append(Patch(_part(bumper[0].points, 0.0, 1.0, 0.86, 1.0), DARK))


def _car_side(sy: np.ndarray, half: np.ndarray, belt: int, paint: RGB, radius: float, spokes: int) -> list[Face]:
    length, side = sy[-2, 0] - sy[0, 0], math.copysign(1.0, half[0])
    edge = np.insert(sy, 2, half, axis=1)
    house = edge[[belt, belt + 3, belt + 2, belt + 1]]  # rear foot, front foot, roof front, roof rear
    cabin = [Patch(house, paint, True)]
    for u0, u1 in ((0.07, 0.46), (0.50, 0.93)):
        cabin.append(Patch(_part(house, u0, u1, 0.07, 0.86), _glass(), glossy=True))
    body = np.concatenate([edge[: belt + 1], edge[belt + 3 :]])
    w, low, shoulder = half[0], float(sy[0, 1]), float(sy[belt, 1])
    rect = lambda s0, s1, y0, y1: np.array([[s0, y0, w], [s1, y0, w], [s1, y1, w], [s0, y1, w]])  # noqa: E731
    lower = [Patch(body, paint, True)]
    lower.append(Patch(rect(-0.49 * length, 0.48 * length, low + 0.02, low + 0.24), paint * 0.78))
    lower.append(
        Patch(
            rect(-0.47 * length, 0.40 * length, shoulder - 0.20, shoulder - 0.13), mix(paint, rgb(255, 255, 255), 0.2)
        )
    )
    for s in (-0.155, 0.045, 0.225):
        lower.append(Patch(rect(s * length, s * length + 0.025, low + 0.08, shoulder), paint * 0.55))
    for s in (-0.14, 0.06):
        lower.append(Patch(rect(s * length, s * length + 0.17, shoulder - 0.12, shoulder - 0.08), paint * 0.5))
    lower.append(Patch(rect(0.455 * length, 0.487 * length, shoulder - 0.42, shoulder - 0.25), LAMP))
    lower.append(Patch(rect(-0.498 * length, -0.465 * length, shoulder - 0.33, shoulder - 0.10), RED))
    for s in (-0.315, 0.315):
        lower.extend(_wheel(s * length, radius, w, spokes))
    tilt = np.array([0.0, 0.35, side]) / math.hypot(0.35, 1)
    return [Face(np.array([0.0, 0.0, side]), lower), Face(tilt, cabin)]


def draw_bus(rng: np.random.Generator) -> Vehicle:
    length, width = rng.uniform(8.5, 12.0), 2.5
    decks = 2 if rng.random() < 0.2 else 1
    tall = rng.uniform(2.95, 3.2) if decks == 1 else rng.uniform(4.1, 4.3)
    paint, trim = LIVERIES[int(rng.integers(len(LIVERIES)))]
    paint = paint * rng.uniform(0.9, 1.08)
    a, h = length / 2, width / 2
    sy = np.array(
        [[-a, 0.36], [-a, tall - 0.12], [-a + 0.12, tall], [a - 0.3, tall], [a - 0.1, tall - 0.2], [a, 1.1], [a, 0.34]]
    )
    half = np.full(len(sy), h)
    faces = [_strip(sy, half, i, i + 1, paint) for i in range(len(sy) - 1)]
    _bus_rear(faces[0].patches, trim, decks)
    _bus_front(faces[4].patches, faces[5].patches, trim, decks)
    faces.extend(_tyres(a * 0.53, 0.48, h))
    for side in (-1.0, 1.0):
        faces.append(_bus_side(sy, h * side, paint, trim, decks, tall, rng))
    return Vehicle(length, width, tall, faces)


def _bus_rear(patches: list[Patch], trim: RGB, decks: int) -> None:
    quad = patches[0].points
    patches.append(Patch(_part(quad, 0.0, 1.0, 0.0, 0.12), DARK))
    patches.append(Patch(_part(quad, 0.0, 1.0, 0.36, 0.44), trim))
    rows = ((0.55, 0.84),) if decks == 1 else ((0.34, 0.52), (0.66, 0.86))
    for v0, v1 in rows:
        patches.append(Patch(_part(quad, 0.12, 0.88, v0, v1), _glass(), glossy=True))
    patches.append(Patch(_part(quad, 0.3, 0.7, 0.88, 0.96), rgb(38, 34, 28)))
    patches.append(Patch(_part(quad, 0.42, 0.58, 0.895, 0.945), rgb(250, 170, 50)))
    patches.extend(Patch(_part(quad, 0.26, 0.74, v, v + 0.018), DARK) for v in (0.17, 0.21, 0.25))
    for u in (0.04, 0.84):
        patches.append(Patch(_part(quad, u, u + 0.12, 0.15, 0.32), RED, glow=0.4))


def _bus_front(upper: list[Patch], lower: list[Patch], trim: RGB, decks: int) -> None:
    quad = upper[0].points
    board = (0.05, 0.2) if decks == 1 else (0.02, 0.10)
    panes = ((0.24, 0.98),) if decks == 1 else ((0.12, 0.40), (0.56, 0.99))
    for v0, v1 in panes:
        upper.append(Patch(_part(quad, 0.05, 0.95, v0, v1), _glass(), glossy=True))
        upper.append(Patch(_part(quad, 0.495, 0.505, v0, v1), DARK))
    upper.append(Patch(_part(quad, 0.15, 0.85, *board), rgb(26, 24, 22)))
    inner = (board[0] * 0.7 + board[1] * 0.3, board[0] * 0.3 + board[1] * 0.7)
    upper.append(Patch(_part(quad, 0.22, 0.30, *inner), rgb(255, 178, 52)))
    upper.append(Patch(_part(quad, 0.36, 0.76, *inner), rgb(255, 178, 52)))
    quad = lower[0].points
    lower.append(Patch(_part(quad, 0.0, 1.0, 0.72, 1.0), DARK))
    lower.append(Patch(_part(quad, 0.0, 1.0, 0.0, 0.10), trim))
    lower.append(Patch(_part(quad, 0.38, 0.62, 0.5, 0.66), rgb(226, 224, 206)))
    for u in (0.05, 0.79):
        lower.append(Patch(_part(quad, u, u + 0.16, 0.34, 0.62), LAMP, glow=0.55))


def _bus_side(
    sy: np.ndarray, w: float, paint: RGB, trim: RGB, decks: int, tall: float, rng: np.random.Generator
) -> Face:
    a, side = float(sy[-1, 0]), math.copysign(1.0, w)
    rect = lambda s0, s1, y0, y1: np.array([[s0, y0, w], [s1, y0, w], [s1, y1, w], [s0, y1, w]])  # noqa: E731
    patches = [Patch(np.insert(sy, 2, w, axis=1), paint, True)]
    patches.append(Patch(rect(-a, a, 0.36, 0.52), DARK))
    patches.append(Patch(rect(-a, a, 0.98, 1.16), trim))
    for y0, y1 in ((1.38, 2.38),) if decks == 1 else ((1.32, 2.12), (2.75, 3.6)):
        edges = np.linspace(-a + 0.3, a - 0.45, max(4, round(2 * a / 1.45)) + 1)
        patches.append(Patch(rect(edges[0] - 0.06, edges[-1] + 0.06, y0 - 0.06, y1 + 0.06), DARK))
        for s0, s1 in itertools.pairwise(edges):
            patches.append(Patch(rect(s0 + 0.05, s1 - 0.05, y0, y1), _glass() * 1.15, glossy=True))
    if side > 0:
        for s in (a - 1.75, -0.6):
            patches.append(Patch(rect(s, s + 1.15, 0.42, 2.32), DARK))
            for k in (0.06, 0.60):
                patches.append(Patch(rect(s + k, s + k + 0.49, 0.55, 2.24), _glass() * 1.2, glossy=True))
    patches.append(Patch(rect(-a + 0.2, a - 0.2, tall - 0.3, tall - 0.22), trim))
    for s in (-0.55 * a, 0.52 * a):
        patches.extend(_wheel(s, 0.48, w, 0))
    return Face(np.array([0.0, 0.0, side]), patches)


def ground_outline(vehicle: Vehicle, x: float, z: float, yaw: float) -> np.ndarray:
    """(4, 2) X, Z of the vehicle's rectangle on the ground; yaw 0 drives away from the camera."""
    a, h = vehicle.length / 2, vehicle.width / 2
    corners = np.array([[-a, 0, -h], [-a, 0, h], [a, 0, h], [a, 0, -h]])
    return _to_world(corners, x, z, yaw)[:, [0, 2]]


def _to_world(points: np.ndarray, x: float, z: float, yaw: float) -> np.ndarray:
    """(n, 3) local s, y, w to world X, Y, Z."""
    c, s = math.cos(yaw), math.sin(yaw)
    along, across = points[:, 0], points[:, 2]
    return np.stack([x + along * s + across * c, points[:, 1], z + along * c - across * s], -1)


def paint_vehicle(canvas: Canvas, vehicle: Vehicle, x: float, z: float, yaw: float, region: int) -> None:
    depth, faces = canvas.camera.depth(x, z), _visible(canvas, vehicle, x, z, yaw)
    patches = [patch for face in faces for patch in face.patches]
    colours = np.concatenate([_colours(canvas, face, yaw, depth) for face in faces])
    seen = canvas.camera.project(_to_world(np.concatenate([patch.points for patch in patches]), x, z, yaw))
    outlines = np.split(seen, np.cumsum([len(patch.points) for patch in patches])[:-1])
    belly = _belly(canvas, vehicle, x, z, yaw)
    shapes = [
        Shape(outline, colour, region if patch.solid else None)
        for patch, outline, colour in zip(patches, outlines, colours, strict=True)
    ]
    canvas.draw([Shape(belly, rgb(20, 20, 22), region), *shapes])
    for patch, outline in zip(patches, outlines, strict=True):
        if patch.glow and canvas.light.lamps:
            canvas.glow(outline.mean(0), patch.glow * canvas.camera.focal / max(depth, 2), patch.colour)


def _belly(canvas: Canvas, vehicle: Vehicle, x: float, z: float, yaw: float) -> np.ndarray:
    """The dark underside: what shows between the wheels."""
    a, h = vehicle.length * 0.46, vehicle.width * 0.42
    corners = np.array([[s, y, w] for s in (-a, a) for y in (0.2, 0.45) for w in (-h, h)])
    return cv2.convexHull(canvas.camera.project(_to_world(corners, x, z, yaw)).astype(np.float32))[:, 0]


def _colours(canvas: Canvas, face: Face, yaw: float, depth: float) -> np.ndarray:
    """(patches, 3): painted ones shaded by the face's direction, glass by what it mirrors, lit lamps as they are."""
    light = canvas.light
    right, up, away = _to_world(face.normal[None], 0, 0, yaw)[0].tolist()
    colours = light.tone((right, up, away), depth)(np.array([patch.colour for patch in face.patches]))
    for k, patch in enumerate(face.patches):
        if patch.glossy:
            colours[k] = light.haze(mix(patch.colour, light.zenith, 0.18 + 0.5 * max(0.0, up) ** 1.5), depth)
        elif patch.glow and light.lamps:
            colours[k] = light.haze(patch.colour * 1.2, depth)
    return colours


def _visible(canvas: Canvas, vehicle: Vehicle, x: float, z: float, yaw: float) -> list[Face]:
    """The faces turned to the camera, farthest first."""
    c, s = math.cos(yaw), math.sin(yaw)
    right, ahead = canvas.camera.x - x, -z
    eye = np.array([right * s + ahead * c, canvas.camera.height, right * c - ahead * s])  # local s, y, w
    middles = np.array([(face.patches[0].points[0] + face.patches[0].points[2]) / 2 for face in vehicle.faces])
    turned = ((eye - middles) * np.array([face.normal for face in vehicle.faces])).sum(1) > 0
    order = np.argsort(-((eye - middles) ** 2).sum(1), kind="stable").tolist()
    return [vehicle.faces[k] for k in order if turned[k]]
