"""Buildings with windows, gardens, trees and street lamps."""

import functools
import itertools

import numpy as np

from densenets.data.streets.backdrop import BUILDING, POLE, TERRAIN, VEGETATION
from densenets.data.streets.canvas import Canvas, Shape, lumps
from densenets.data.streets.light import RGB, Tone, mix, rgb
from densenets.data.streets.street import DEEP, Block

FENCE = 13
DETAIL = 45.0  # m; farther houses are drawn without doors, ledges and window frames
AWNINGS = (rgb(176, 44, 40), rgb(34, 92, 66), rgb(38, 66, 120), rgb(214, 176, 60), rgb(120, 56, 84), rgb(60, 60, 64))
PALE = rgb(238, 234, 226)


def paint_block(canvas: Canvas, block: Block, rng: np.random.Generator) -> None:
    """What lies before the near plane is cut; a block that is wholly behind the camera is left out."""
    if canvas.camera.depth(block.x, block.far) < 1.5 or not _in_view(canvas, block):
        return
    if block.style == "garden":
        _garden(canvas, block, rng)
        return
    depth = max(1.0, canvas.camera.depth(block.x, (max(block.near, 1) + block.far) / 2))
    tone = canvas.light.tone((-block.side, 0.0, 0.0), depth)
    shapes = _roof(canvas, block, depth, rng) + (_end_wall(canvas, block) if block.open_end else [])
    shapes += _front(canvas, block) + (_ledges(block, tone, rng) if depth < DETAIL else [])
    shapes += _windows(canvas, block, depth, tone, rng)
    if block.shop:
        shapes += _shops(canvas, block, depth, tone, rng)
    elif depth < DETAIL:
        shapes += _doors(block, tone, rng)
    canvas.build(shapes)


def _in_view(canvas: Canvas, block: Block) -> bool:
    if block.near < 1.5:
        return True
    out = block.x + block.side * (DEEP if block.height else 30)
    corners = np.array([[x, 0, z] for x in (block.x, out) for z in (block.near, block.far)])
    across = canvas.camera.project(corners)[:, 0]
    return bool(across.max() > 0 and across.min() < canvas.image.shape[1])


def _boxes(block: Block, u0, u1, v0, v1) -> np.ndarray:
    """Edges along the street and up, (m,) or numbers, to (m, 4, 3) rectangles on the street's face."""
    corners = np.empty((max(np.size(u0), np.size(v0), np.size(v1)), 12))
    corners[:, 0::3] = block.x
    for columns, edge in (((1, 4), v0), ((7, 10), v1), ((2, 11), u0), ((5, 8), u1)):
        corners[:, columns[0]] = corners[:, columns[1]] = edge
    return corners.reshape(-1, 4, 3)


def _end_wall(canvas: Canvas, block: Block) -> list[Shape]:
    """The wall across the street's direction, seen over a gap or a lower neighbour."""
    out, near = block.x + block.side * DEEP, block.near
    middle, depth = (block.x + out) / 2, max(block.near, 1)
    wall = [[block.x, 0, near], [block.x, block.height, near], [middle, block.height + block.roof, near],
            [out, block.height, near], [out, 0, near]]  # fmt: skip
    u = block.x + block.side * (np.arange(3) * 3.2 + 1.6)
    v = np.arange(int(block.height // 3.1)) * 3.1 + 1.3
    u, v = (a.ravel() for a in np.meshgrid(u, v))
    z = np.full_like(u, near)
    panes = np.stack([u, v, z, u + 1.1, v, z, u + 1.1, v + 1.5, z, u, v + 1.5, z], -1).reshape(-1, 4, 3)
    glass = canvas.light.haze(mix(rgb(52, 60, 68), canvas.light.skyline, 0.12), depth)
    return [
        Shape(np.array(wall), canvas.light.tone((0, 0, -1), depth)(block.wall * 0.94), BUILDING),
        Shape(panes, glass),
    ]


def _roof(canvas: Canvas, block: Block, depth: float, rng: np.random.Generator) -> list[Shape]:
    if block.roof <= 0:
        return []
    x, ridge, top = block.x - block.side * 0.3, block.x + block.side * DEEP / 2, block.height + block.roof
    tile = mix(rgb(160, 80, 58), rgb(92, 88, 92), rng.random())
    slope = [
        [x, block.height, block.near],
        [x, block.height, block.far],
        [ridge, top, block.far],
        [ridge, top, block.near],
    ]
    shapes = [Shape(np.array(slope), canvas.light.tone((-block.side * 0.5, 0.86, 0.0), depth)(tile), BUILDING)]
    side = canvas.light.tone((-block.side, 0, 0), depth)
    for at in rng.uniform(block.near, block.far, 2):
        stack = [[ridge, top - 0.6 + h, at + w] for w, h in ((0, 0), (0.9, 0), (0.9, 1.7), (0, 1.7))]
        shapes.append(Shape(np.array(stack), side(tile * 0.8), BUILDING))
    return shapes


def _front(canvas: Canvas, block: Block) -> list[Shape]:
    """The wall in pieces, so that the haze grows along it."""
    cuts = np.linspace(block.near, block.far, max(1, round((block.far - max(block.near, 0.0)) / 12)) + 1)
    shapes = []
    for a, b in itertools.pairwise(cuts):
        at = max(1.0, canvas.camera.depth(block.x, (a + b) / 2))
        wall = canvas.light.tone((-block.side, 0.0, 0.0), at)(block.wall)
        shapes.append(Shape(_boxes(block, a, b + 0.02, 0.0, block.height)[0], wall, BUILDING))
    return shapes


def _ledges(block: Block, tone: Tone, rng: np.random.Generator) -> list[Shape]:
    """Cornice, a ledge over the ground floor, plinth."""
    trim = mix(block.wall, PALE, 0.5) if rng.random() < 0.6 else block.wall * 0.72
    ledges = _boxes(block, block.near, block.far, np.array([block.height - 0.45, 3.45]), np.array([block.height, 3.8]))
    plinth = _boxes(block, block.near, block.far, 0.0, 0.55)
    return [Shape(ledges, tone(trim)), Shape(plinth[0], tone(block.wall * 0.66))]


def _windows(canvas: Canvas, block: Block, depth: float, tone: Tone, rng: np.random.Generator) -> list[Shape]:
    office, light = block.style == "office", canvas.light
    pitch, wide, tall = (
        (1.9, 1.7, 2.1) if office else (rng.uniform(2.2, 3.1), rng.uniform(1.0, 1.35), rng.uniform(1.45, 1.9))
    )
    if depth > 60:  # too far to tell the windows of a floor apart
        pitch, wide = 6.0, 5.2
    u = np.arange(max(block.near, 0.5) + 0.7, block.far - wide - 0.3, pitch)
    v = np.arange(4.25 if block.shop else 1.15, block.height - 1.6, 3.1)
    if not len(u) or not len(v):
        return []
    u, v = (a.ravel() for a in np.meshgrid(u, v))
    panes, kinds, shapes = _boxes(block, u, u + wide, v, v + tall), rng.random(len(u)), []
    if depth < DETAIL and not office:
        frame = mix(block.wall, PALE, 0.75) if rng.random() < 0.7 else block.wall * 0.6
        shapes.append(Shape(_boxes(block, u - 0.13, u + wide + 0.13, v - 0.13, v + tall + 0.13), tone(frame)))
    mirrored = mix(mix(light.zenith, light.skyline, 0.5), block.wall, 0.15)
    glass = mix(rgb(48, 56, 62), mirrored, 0.45 if office else 0.22)
    lit = kinds < (0.3 if light.lamps else 0.0)
    pale, dark = ~lit & (kinds > 0.78), ~lit & (kinds < 0.5)
    for which, colour, at in (
        (dark, glass * 0.72, depth),
        (~lit & ~pale & ~dark, glass, depth),
        (pale, mix(glass, light.skyline, 0.4), depth),
        (lit, rgb(252, 208, 126), depth * 0.6),
    ):
        if which.any():
            shapes.append(Shape(panes[which], light.haze(colour, at)))
    if depth < DETAIL and not office:
        bars = _boxes(block, u + wide / 2 - 0.05, u + wide / 2 + 0.05, v, v + tall)
        sills = _boxes(block, u - 0.2, u + wide + 0.2, v - 0.26, v - 0.12)
        shapes.append(Shape(np.concatenate([bars, sills]), tone(rgb(206, 202, 194))))
    return shapes


def _shops(canvas: Canvas, block: Block, depth: float, tone: Tone, rng: np.random.Generator) -> list[Shape]:
    """A row of shops: back wall, window and door, goods, the board with its name; some have an awning."""
    light, start = canvas.light, max(block.near, 0.5) + 0.4
    count = int(min(block.far, 60) - start) // 4
    if count < 1:
        return []
    u, wide = start + np.arange(count) * 4.4, np.full(count, 4.2)
    wide[-1] = min(4.2, block.far - 0.2 - u[-1])
    pale, number = rng.uniform(0.08, 0.35, count), rng.integers(len(AWNINGS), size=(count, 2))
    back, board = _boxes(block, u, u + wide, 0.1, 3.3), _boxes(block, u + 0.1, u + wide - 0.1, 2.72, 3.28)
    name, pane = (
        _boxes(block, u + wide * 0.3, u + wide * 0.7, 2.88, 3.12),
        _boxes(block, u + 0.2, u + wide * 0.66, 0.6, 2.6),
    )
    door, goods = (
        _boxes(block, u + wide * 0.72, u + wide - 0.2, 0.15, 2.6),
        _boxes(block, u + 0.4, u + wide * 0.5, 0.62, 1.4),
    )
    shapes = []
    for k in range(count):
        paint, ware = AWNINGS[number[k, 0]], AWNINGS[number[k, 1]]
        glass = light.haze(rgb(246, 214, 150) if light.lamps else mix(rgb(62, 66, 70), light.skyline, pale[k]), depth)
        shapes += [
            Shape(back[k], tone(paint * 0.62)),
            Shape(np.stack([pane[k], door[k]]), glass),
            Shape(board[k], tone(paint)),
        ]
        if depth < 30:
            shapes += [Shape(goods[k], mix(glass, ware, 0.5)), Shape(name[k], tone(mix(paint, PALE, 0.75)))]
            if number[k, 1] % 2:
                shapes += _awning(canvas, block, float(u[k]), float(u[k] + wide[k]), paint)
    return shapes


def _awning(canvas: Canvas, block: Block, u0: float, u1: float, paint: RGB) -> list[Shape]:
    """Striped cloth that slopes from the wall over the pavement."""
    x, out, light = block.x, block.x - block.side * 1.1, canvas.light
    depth, edges = max(1.0, canvas.camera.depth(x, u0)), np.linspace(u0, u1, 8)
    slope, hem = light.tone((-block.side * 0.4, 0.9, 0), depth), light.tone((-block.side, 0, 0), depth)
    pale, paint = mix(paint, PALE, 0.75), paint * 0.8
    shapes = []
    for k, (a, b) in enumerate(itertools.pairwise(edges)):
        colour = pale if k % 2 else paint
        shapes.append(
            Shape(np.array([[x, 2.95, a], [x, 2.95, b], [out, 2.45, b], [out, 2.45, a]]), slope(colour), BUILDING)
        )
        shapes.append(
            Shape(np.array([[out, 2.45, a], [out, 2.45, b], [out, 2.2, b], [out, 2.2, a]]), hem(colour), BUILDING)
        )
    return shapes


def _doors(block: Block, tone: Tone, rng: np.random.Generator) -> list[Shape]:
    u = rng.uniform(block.near + 1, max(block.near + 1.1, block.far - 2))
    leaf = AWNINGS[int(rng.integers(len(AWNINGS)))] * 0.7
    return [
        Shape(_boxes(block, u - 0.15, u + 1.25, 0, 2.45)[0], tone(rgb(196, 190, 180))),
        Shape(_boxes(block, u, u + 1.1, 0, 2.3)[0], tone(leaf)),
        Shape(_boxes(block, u + 0.2, u + 0.9, 1.3, 2.1)[0], tone(leaf * 0.6)),
    ]


def _garden(canvas: Canvas, block: Block, rng: np.random.Generator) -> None:
    """Grass behind a hedge or a low wall, with trees."""
    x, side, near, far = block.x, block.side, block.near, block.far
    depth = max(2.0, near)
    grass = np.array([[x, 0, near], [x + side * 30, 0, near], [x + side * 30, 0, far], [x, 0, far]], float)
    canvas.build([Shape(grass, canvas.light.tone((0, 1, 0), depth + 4)(rgb(98, 124, 62)), TERRAIN)])
    for z in sorted(
        rng.uniform(max(near, 7), max(far, 7.1), int(rng.integers(2, 5)) if depth < 40 else 1), reverse=True
    ):
        if z < far:
            paint_tree(canvas, x + side * rng.uniform(2.5, 12), z, rng)
    hedge = rng.random() < 0.5
    tall, colour = (rng.uniform(0.9, 1.5), rgb(70, 98, 50)) if hedge else (rng.uniform(0.7, 1.0), rgb(172, 158, 144))
    region, out = VEGETATION if hedge else FENCE, x + side * 0.5
    upright = np.array([[x, 0, near], [x, 0, far], [x, tall, far], [x, tall, near]], float)
    above = np.array([[x, tall, near], [x, tall, far], [out, tall, far], [out, tall, near]], float)
    tones = canvas.light.tone((-side, 0, 0), depth + 3), canvas.light.tone((0, 1, 0), depth + 3)
    canvas.build([Shape(upright, tones[0](colour), region), Shape(above, tones[1](colour), region)])


@functools.lru_cache(32)
def _crown(count: int, variant: int) -> tuple[np.ndarray, np.ndarray]:
    """Lumps (n, 14, 2) that fill a unit disc, `count` dark ones first, then lighter ones; the brightness of each."""
    rng = np.random.default_rng([count, variant])
    outlines, brightness = [], []
    for level, bright, size in ((0.0, 0.58, 0.46), (0.35, 0.80, 0.36), (0.75, 1.02, 0.23), (1.0, 1.26, 0.14)):
        number = round(count * (1 + 0.6 * level))
        angles, radii = rng.uniform(0, 2 * np.pi, number), np.sqrt(rng.random(number)) * (0.78 - 0.22 * level)
        spots = np.stack([np.cos(angles) * radii + 0.14 * level, np.sin(angles) * radii * 0.92 - 0.22 * level], -1)
        sizes = rng.uniform(0.7, 1.2, (number, 1, 1)) * size
        outlines.append(lumps()[rng.integers(0, 16, number)] * sizes + spots[:, None])
        brightness.append(np.full(number, bright))
    return np.concatenate(outlines), np.concatenate(brightness)


def paint_tree(canvas: Canvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A trunk and a crown of lumps, the light ones towards the sun."""
    tall, share, hue, variant = rng.uniform(4.5, 8.0), rng.uniform(0.24, 0.34), rng.random(), int(rng.integers(6))
    depth, scale, foot = canvas.camera.depth(x, z), canvas.camera.scale(x, z), canvas.camera.foot(x, z)
    crown = tall * share * scale  # px
    if depth < 1.5 or not -crown < foot[0] < canvas.image.shape[1] + crown:
        return
    trunk = np.array([[-0.16, 0], [0.16, 0], [0.10, tall * 0.7], [-0.10, tall * 0.7]]) * [scale, -scale] + foot
    count = 3 if crown < 15 else (7 if crown < 40 else 15)
    outlines, brightness = _crown(count, variant)
    towards = 1 if canvas.light.sun[0] > 0 else -1
    outlines = outlines * np.array([crown * towards, crown]) + (
        foot - np.array([0, (tall * 0.16 + 1.2) * scale + crown])
    )
    leaf = mix(rgb(60, 100, 38), rgb(116, 128, 46), hue)
    colours = canvas.light.tone((0, 0.6, -0.6), depth)(leaf * brightness[:, None])
    bark = canvas.light.tone((0, 0, -1), depth)(rgb(96, 76, 58))
    regions = [VEGETATION] * count + [None] * (len(outlines) - count)  # what is light lies over what is dark
    lumped = [Shape(*lump) for lump in zip(outlines, colours, regions, strict=True)]
    canvas.draw([Shape(trunk, bark, VEGETATION), *lumped])


def paint_lamp(canvas: Canvas, x: float, z: float, side: int) -> None:
    """A street lamp whose arm reaches over the road."""
    depth = canvas.camera.depth(x, z)
    if depth < 1.5:
        return
    scale, foot = canvas.camera.scale(x, z), canvas.camera.foot(x, z)
    grey = canvas.light.tone((0, 0.2, -0.9), depth)(rgb(98, 104, 106))
    shaft = np.array([[-0.10, 0], [0.10, 0], [0.05, 6.4], [-0.05, 6.4]]) * [scale, -scale] + foot
    arm = np.array([[0, 6.3], [-side * 1.6, 6.75], [-side * 1.6, 6.65], [0, 6.15]]) * [scale, -scale] + foot
    head = np.array([[-1.3, 6.6], [-2.0, 6.68], [-2.0, 6.84], [-1.3, 6.8]]) * [side * scale, -scale] + foot
    canvas.draw([Shape(part, grey, POLE) for part in (shaft, arm, head)])
    if canvas.light.lamps:
        canvas.glow(head.mean(0), 0.9 * scale, rgb(255, 214, 140))
