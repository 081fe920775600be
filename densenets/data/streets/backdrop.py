"""Sky, ground, road markings and the shadows on the ground."""

import cv2
import numpy as np

from densenets.data.streets.canvas import Canvas, Shape, cutting, fixed, grain, lumps
from densenets.data.streets.light import RGB, Tone, mix, rgb
from densenets.data.streets.street import END, Street

ROAD, SIDEWALK, BUILDING, POLE, VEGETATION, TERRAIN, SKY = 7, 8, 11, 17, 21, 22, 23  # Cityscapes labelIds
UP = (0.0, 1.0, 0.0)
WHITE = rgb(226, 226, 220)


def paint_sky(canvas: Canvas, rng: np.random.Generator) -> None:
    """The whole picture: a gradient down to the horizon with clouds, worked out at half the size."""
    light, (height, width) = canvas.light, canvas.regions.shape
    rows, columns = max(2, int(canvas.camera.cy / 2) + 2), max(2, width // 2)
    down = np.clip((np.arange(rows, dtype=np.float32) + 0.5) / (canvas.camera.cy / 2), 0, 1)[:, None] ** 1.2
    thick = 0.5 if light.name == "overcast" else 0.85
    veil = np.minimum(np.maximum((_clouds(rng, rows, columns) - (1.1 - 2.0 * light.cover)) * 0.8, 0), 1) * thick
    planes = []
    for top, low, cloud in zip(light.zenith.tolist(), light.skyline.tolist(), light.cloud.tolist(), strict=True):
        clear = top + (low - top) * down
        planes.append(cv2.convertScaleAbs(clear + (cloud - clear) * veil))
    sky = cv2.resize(cv2.merge(planes), (width, rows * 2))[:height]
    canvas.image[: len(sky)] = sky
    canvas.image[len(sky) :] = sky[-1, -1]
    canvas.regions[:] = SKY


def _clouds(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) float32: wide shapes, flatter towards the horizon."""
    bank = cutting(rng, 96, 128, 6, 1.6, 3)
    part = bank[: 64 + int(rng.integers(32)), : 64 + int(rng.integers(64))]
    return cv2.resize(part, (columns, rows), interpolation=cv2.INTER_LINEAR)


def paint_far(canvas: Canvas, rng: np.random.Generator) -> None:
    """The end of the street: hazy hills or trees, then a row of far houses."""
    (height, width), horizon = canvas.regions.shape, canvas.camera.cy
    x = np.linspace(-10, width + 10, 26)
    for region, colour, depth, tall in (
        (VEGETATION, rgb(86, 106, 78), 150.0, 0.055),
        (BUILDING, rgb(150, 142, 136), 110.0, 0.085),
    ):
        tops = horizon - height * tall * rng.uniform(0.35, 1.0, len(x))
        if region == BUILDING:
            x, tops = np.repeat(x, 2)[1:], np.repeat(tops, 2)[:-1]
        ridge = np.stack([x, tops], -1)
        outline = np.concatenate([ridge, [[width + 10, horizon + 3], [-10, horizon + 3]]])
        canvas.draw([Shape(outline, canvas.light.tone((0, 0.5, -0.8), depth)(colour), region)])


def paint_ground(canvas: Canvas, street: Street, rng: np.random.Generator) -> None:
    """Terrain, pavements with kerbs, the road with its lanes, zebra, covers and patches."""
    tone = canvas.light.tone(UP, 12.0)
    slab = mix(rgb(146, 142, 136), rgb(166, 154, 142), rng.random()) * rng.uniform(0.88, 1.1)
    tar = mix(rgb(90, 91, 95), rgb(122, 120, 116), rng.random()) * rng.uniform(0.85, 1.1)
    shapes = [
        Shape(_strip(-90, 90, -2, 160), canvas.light.tone(UP, 30)(rgb(104, 112, 78)), TERRAIN),
        Shape(_strip(-street.wall(-1) - 1, street.wall(1) + 1, -2, END), tone(slab), SIDEWALK),
    ]
    if street.crossing:
        near, far = street.crossing
        shapes.append(Shape(_strip(-90, 90, near - 1.5, far + 1.5), tone(slab), SIDEWALK))
        shapes.append(Shape(_strip(-90, 90, near, far), tone(tar), ROAD))
    for side in (-1, 1):
        edge = side * street.half
        shapes += [
            Shape(_strip(edge, edge + side * 0.2, a, b), tone(slab * 1.18), SIDEWALK) for a, b in _reaches(street)
        ]
    shapes.append(Shape(_strip(-street.half, street.half, -2, END), tone(tar), ROAD))
    shapes += [Shape(_strip(s * street.half, s * (street.half - 0.3), -2, END), tone(tar * 0.9)) for s in (-1, 1)]
    shapes += _joints(street, tone(slab * 0.86))
    shapes += [_stain(street, tone(tar * rng.uniform(0.78, 0.94)), rng) for _ in range(int(rng.integers(0, 5)))]
    shapes += _markings(street, tone, mix(tar, WHITE, rng.uniform(0.65, 1.0)), rng)
    canvas.build(shapes)


def _strip(x0: float, x1: float, z0: float, z1: float) -> np.ndarray:
    return np.array([[x0, 0, z0], [x1, 0, z0], [x1, 0, z1], [x0, 0, z1]], float)


def _strips(boxes: list[tuple[float, float, float, float]]) -> np.ndarray:
    """(x0, x1, z0, z1) each to (n, 4, 3)."""
    x0, x1, z0, z1 = np.array(boxes).T
    flat = np.zeros_like(x0)
    return np.stack([x0, flat, z0, x1, flat, z0, x1, flat, z1, x0, flat, z1], -1).reshape(-1, 4, 3)


def _reaches(street: Street) -> list[tuple[float, float]]:
    """The stretches of kerb before and behind the crossing."""
    if not street.crossing:
        return [(-2.0, END)]
    return [(-2.0, street.crossing[0]), (street.crossing[1], END)]


def _joints(street: Street, colour: RGB) -> list[Shape]:
    """Lines between the slabs of the pavements."""
    end = street.crossing[0] if street.crossing else 26.0
    boxes = []
    for side in (-1, 1):
        inner, outer = side * (street.half + 0.2), side * street.wall(side)
        boxes += [(inner, outer, z, z + 0.035) for z in np.arange(1.5, end, 1.5)]
        boxes += [(x, x + 0.035, 0.9, end) for x in ((inner * 2 + outer) / 3, (inner + outer * 2) / 3)]
    return [Shape(strip, colour) for strip in _strips(boxes)]


def _stain(street: Street, colour: RGB, rng: np.random.Generator) -> Shape:
    """A patch of newer tar, or a round cover."""
    x, z = rng.uniform(-street.half, street.half) * 0.8, rng.uniform(3, 20)
    if rng.random() < 0.5:
        return Shape(_strip(x, x + rng.uniform(0.5, 1.4), z, z + rng.uniform(0.8, 5)), colour)
    outline = lumps()[int(rng.integers(16))] * [rng.uniform(0.25, 0.7), rng.uniform(0.25, 0.9)] + [x, z]
    return Shape(np.insert(outline, 1, 0.0, axis=1), colour)


def _markings(street: Street, tone: Tone, white: RGB, rng: np.random.Generator) -> list[Shape]:
    half = street.half
    blocked = [street.crossing] if street.crossing else []
    if street.zebra:
        blocked.append((street.zebra - 1.5, street.zebra + 3.4))
    dash, step = ((3.0, 6.0), (1.6, 3.6), (2.0, 2.0))[int(rng.integers(3))]
    boxes = [(-0.07, 0.07, z, z + dash) for z in np.arange(0.7, 70, step)]
    if rng.random() < 0.4:
        boxes += [(s * half * 0.93, s * half * 0.93 + 0.12, z, z + 2) for s in (-1, 1) for z in np.arange(0.7, 70, 2)]
    boxes = [box for box in boxes if all(box[3] < a or box[2] > b for a, b in blocked)]
    if street.zebra:
        z = street.zebra
        boxes += [(x, x + 0.52, z, z + 2.8) for x in np.arange(-half + 0.35, half - 0.5, 1.0)]
        boxes.append((0.1, half - 0.2, z - 1.3, z - 0.95))
    return [Shape(_strips(boxes), tone(white))]


def cast_shadows(canvas: Canvas, casts: list[tuple[np.ndarray, float]]) -> None:
    """casts: (n, 2) ground outline and height of each thing. Darkens the ground under it and away from the sun."""
    light, camera = canvas.light, canvas.camera
    contact, cast = np.zeros_like(canvas.regions), np.zeros_like(canvas.regions)
    reach = np.array([light.sun[0], light.sun[2]]) / -max(light.sun[1], 0.12)
    for outline, tall in casts:
        if tall < 6:
            _shadow(canvas, contact, outline)
        if light.shadow > 0:
            both = np.concatenate([outline, outline + reach * min(tall, 9)]).astype(np.float32)
            _shadow(canvas, cast, cv2.convexHull(both)[:, 0])
    top = max(0, int(camera.cy) - 1)
    contact, cast, reach_px = contact[top:], cast[top:], round(canvas.image.shape[0] / 64) * 2 + 1
    soft = cv2.blur(contact, (reach_px, reach_px))
    dark = cv2.max(
        cv2.convertScaleAbs(soft, alpha=0.55), cv2.convertScaleAbs(cv2.blur(cast, (3, 3)), alpha=light.shadow)
    )
    factor = cv2.merge([255 - dark] * 3)
    canvas.image[top:] = cv2.multiply(canvas.image[top:], factor, scale=1 / 255)


def _shadow(canvas: Canvas, mask: np.ndarray, outline: np.ndarray) -> None:
    polygon = canvas.camera.outline(np.insert(np.asarray(outline, float), 1, 0.0, axis=1))
    if len(polygon):
        cv2.fillPoly(mask, [fixed(polygon)], 255, cv2.LINE_AA, 4)


def ground_grain(canvas: Canvas) -> np.ndarray:
    """(rows below the horizon, W) float32 noise that lies on the ground, fading into the distance."""
    height, width = canvas.regions.shape
    top = min(max(0, int(canvas.camera.cy) + 2), height - 1)
    bank = cv2.convertScaleAbs(grain(512, 512, 5, 0.9, 5), alpha=32, beta=128)
    shift = np.array([[1 / 26, 0, -256 / 26], [0, 1 / 20, 0], [0, 0, 1]])  # 26 x 20 px of noise to the square metre
    place = np.array([[1, 0, 0], [0, 1, -top], [0, 0, 1.0]]) @ canvas.camera.ground_to_pixels() @ shift
    sampling = cv2.INTER_NEAREST if height <= 400 else cv2.INTER_LINEAR  # its dots show in large pictures only
    flat = cv2.warpPerspective(bank, place, (width, height - top), flags=sampling, borderMode=cv2.BORDER_WRAP)
    depth = canvas.camera.focal * canvas.camera.height / (np.arange(top, height) - canvas.camera.cy + 0.5)
    return (flat - np.float32(128)) * (1 / 32 / (1 + (depth / 9) ** 2)).astype(np.float32)[:, None]
