"""One picture with its labels: plan, paint, look at what is left of each thing."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from densenets.data.streets import backdrop, houses
from densenets.data.streets.canvas import FIRST_THING, Canvas, Shape, cutting
from densenets.data.streets.layout import BICYCLE, BUS, CAR, LIGHT, PERSON, RIDER, SIGN, Plan, Thing, draw_plan
from densenets.data.streets.light import draw_light, rgb
from densenets.data.streets.street import Street, draw_camera, draw_street

EGO = 1  # Cityscapes' "ego vehicle": the bonnet of the car that carries the camera
NAMES = {
    CAR: "car",
    BUS: "bus",
    PERSON: "person",
    RIDER: "person",
    BICYCLE: "bicycle",
    SIGN: "traffic sign",
    LIGHT: "traffic light",
}
COUNTED = (PERSON, RIDER, CAR, BUS, BICYCLE)  # the labelIds of which Cityscapes numbers the instances
FEWEST_PIXELS, LEAST_SEEN = 20, 0.15


def _by_region(things: float, **strengths: float) -> np.ndarray:
    """(256,) float32: how strongly a texture shows on each region."""
    table = np.full(256, things, np.float32)
    for name, strength in strengths.items():
        table[getattr(backdrop, name)] = strength
    return table


TEXTURE = _by_region(0.014, SKY=0.0, BUILDING=0.022, VEGETATION=0.13, TERRAIN=0.06, ROAD=0.0, SIDEWALK=0.0)
GRAIN = _by_region(0.0, ROAD=0.05, SIDEWALK=0.045, TERRAIN=0.08)


class SceneObject(NamedTuple):
    """box: x0 y0 x1 y1 px, tight around the visible pixels; area: their number; mask: (H, W) bool of them.

    crowd: a group, or a thing that is more than 85 % hidden: a detection there is neither right nor wrong.
    """

    category: str
    box: tuple[int, int, int, int]
    area: int
    crowd: bool
    mask: np.ndarray


class Scene(NamedTuple):
    """image: (H, W, 3) uint8 RGB; label_ids: (H, W) uint8, Cityscapes' labelIds.

    instance_ids: (H, W) uint16, labelId * 1000 + n for each person, rider, car, bus and bicycle, elsewhere the labelId.
    """

    image: np.ndarray
    label_ids: np.ndarray
    instance_ids: np.ndarray
    objects: list[SceneObject]


def render(seed: int, index: int, height: int = 320, width: int = 480) -> Scene:
    """The scene that belongs to these four numbers, whatever was rendered before or in which process.

    The bytes are the same with the same numpy and OpenCV; a processor without AVX2 rounds a few pixels in a million
    differently, the labels never did.

    Of a thing with fewer than 20 visible pixels no object is made, and one of which under 15 % is visible becomes a
    crowd region: in both cases its pixels keep the plain labelId.
    """
    rng = np.random.default_rng([seed, index])
    street, light = draw_street(rng), draw_light(rng)
    camera = draw_camera(rng, street, height, width)
    plan = draw_plan(rng, street, camera, (height, width))
    canvas = Canvas(height, width, camera, light)
    _paint_ground(canvas, plan, rng)
    whole = _paint_things(canvas, plan, rng)
    if rng.random() < 0.2 and camera.x > 0:
        _paint_bonnet(canvas, rng)
    labels, instances, objects = _judge(canvas.regions, plan.things, whole)
    return Scene(_develop(canvas, rng), labels, instances, objects)


def _paint_ground(canvas: Canvas, plan: Plan, rng: np.random.Generator) -> None:
    backdrop.paint_sky(canvas, rng)
    backdrop.paint_far(canvas, rng)
    backdrop.paint_ground(canvas, plan.street, rng)
    houses_near = [block for block in plan.street.blocks if block.height and block.near < 60]
    casts = [(block.outline(), block.height) for block in houses_near]
    backdrop.cast_shadows(canvas, casts + [(thing.outline, thing.height) for thing in plan.things])


def _paint_things(canvas: Canvas, plan: Plan, rng: np.random.Generator) -> dict[int, int]:
    """Everything that stands, farthest first; returns each region's pixels before something nearer covers it."""
    whole: dict[int, int] = {}

    def paint(thing: Thing, first: int) -> None:
        regions = list(range(first, first + len(thing.labels)))
        thing.paint(canvas, regions)
        whole.update((region, int(np.count_nonzero(canvas.regions == region))) for region in regions)

    jobs: list[tuple[float, Callable[[], None]]] = _furniture(canvas, plan.street, rng)
    for block in plan.street.blocks:
        jobs.append((canvas.camera.depth(block.x, block.far), partial(houses.paint_block, canvas, block, rng)))
    first = FIRST_THING
    for thing in plan.things:
        jobs.append((thing.depth, partial(paint, thing, first)))
        first += len(thing.labels)
    for _, job in sorted(jobs, key=lambda pair: -pair[0]):
        job()
    return whole


def _furniture(canvas: Canvas, street: Street, rng: np.random.Generator) -> list[tuple[float, Callable[[], None]]]:
    """Along each kerb trees (30 %), street lamps (45 %) or nothing: depth and job of each."""
    jobs: list[tuple[float, Callable[[], None]]] = []
    for side in (-1, 1):
        x, kind, z = side * (street.half + 0.45), rng.random(), rng.uniform(5, 14)
        while kind < 0.75 and z < 50:
            tree = partial(houses.paint_tree, canvas, x, z, rng)
            if not street.crossing or not street.crossing[0] - 1 < z < street.crossing[1] + 1:
                job = tree if kind < 0.3 else partial(houses.paint_lamp, canvas, x, z, side)
                jobs.append((canvas.camera.depth(x, z), job))
            z += rng.uniform(9, 16) if kind < 0.3 else 18.0
    return jobs


def _paint_bonnet(canvas: Canvas, rng: np.random.Generator) -> None:
    height, width = canvas.regions.shape
    rise, colour, tone = (
        height * rng.uniform(0.03, 0.07),
        rgb(60, 62, 66) * rng.uniform(0.6, 2.2),
        canvas.light.tone((0, 1, 0), 1),
    )
    x = np.linspace(-0.02, 1.02, 15)
    curve = np.stack([x * width, height - rise * (1 - (2 * x - 1) ** 4)], -1)
    below = np.array([[width * 1.02, height + 5], [-width * 0.02, height + 5]])
    canvas.draw([Shape(np.concatenate([curve, below]), tone(colour), EGO)])
    canvas.draw([Shape(np.concatenate([curve + np.array([0, rise * 0.3]), below]), tone(colour * 1.15 + 8))])


def _judge(
    regions: np.ndarray, things: list[Thing], whole: dict[int, int]
) -> tuple[np.ndarray, np.ndarray, list[SceneObject]]:
    """Labels, instances and objects from what can be seen of each region."""
    parts = [(label, thing.group) for thing in things for label in thing.labels]
    labels = np.arange(256, dtype=np.uint16)
    objects: list[SceneObject] = []
    instances, counts = labels.copy(), dict.fromkeys(COUNTED, 0)
    for region, (label, group) in enumerate(parts, FIRST_THING):
        labels[region] = instances[region] = label
        mask = regions == region
        area = cv2.countNonZero(mask.view(np.uint8))
        if area < FEWEST_PIXELS:
            continue
        crowd = group or area < LEAST_SEEN * whole[region]
        if label in counts and not crowd:
            instances[region] = label * 1000 + counts[label]
            counts[label] += 1
        x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
        objects.append(SceneObject(NAMES[label], (x, y, x + w, y + h), area, crowd, mask))
    return cv2.LUT(regions, labels.astype(np.uint8)), cv2.LUT(regions, instances), objects


def _develop(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Lamp halos, colour cast, lens, then texture and the sensor's noise as one factor for each pixel."""
    height, width = canvas.regions.shape
    canvas.add_glows()
    warm = rng.uniform(-0.035, 0.035)
    cast = np.array([1 + warm, 1 + rng.uniform(-0.01, 0.01), 1 - warm]) * rng.uniform(0.95, 1.12)
    spread = rng.uniform(0.3, 0.62) * height / 320
    image = cv2.GaussianBlur(canvas.image, (2 * round(2 * spread) + 1,) * 2, spread)
    coarse = cutting(rng, height, width, 4, 0.8, 11) * cv2.LUT(canvas.regions, TEXTURE)
    flat = backdrop.ground_grain(canvas)
    coarse[height - len(flat) :] += flat * cv2.LUT(canvas.regions[height - len(flat) :], GRAIN)
    noise = rng.integers(0, 256, (height, width), np.uint8)  # one byte a pixel: even noise, no slower than the rest
    strength = rng.uniform(0.008, 0.03) * 128 / 74
    factor = cv2.addWeighted(coarse, 128, noise.astype(np.float32), strength, 128 - 127.5 * strength)
    factors = cv2.merge([cv2.convertScaleAbs(factor, alpha=gain) for gain in cast.tolist()])
    return cv2.multiply(image, factors, scale=1 / 128)
