"""The plan of a street: widths, blocks, crossing, and where the camera stands. Nothing is drawn here."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from densenets.data.streets.camera import Camera
from densenets.data.streets.light import RGB, rgb

END = 140.0  # m; the street is closed there
DEEP = 11.0  # m from a building's face towards the street to its back

PLASTER = (
    rgb(214, 198, 164), rgb(202, 176, 132), rgb(196, 142, 116), rgb(222, 214, 200), rgb(176, 178, 180),
    rgb(160, 176, 186), rgb(206, 168, 150), rgb(190, 196, 168), rgb(226, 206, 150), rgb(150, 142, 136),
)  # fmt: skip
BRICK = (rgb(146, 78, 60), rgb(122, 66, 54), rgb(160, 104, 78), rgb(134, 92, 80), rgb(112, 82, 72))
GLASS = (rgb(96, 116, 130), rgb(112, 128, 136), rgb(84, 100, 118), rgb(132, 140, 142))


@dataclass(frozen=True)
class Block:
    """One building, or a garden where height is 0. x: its face towards the street; side: -1 left, 1 right."""

    side: int
    x: float
    near: float
    far: float
    height: float
    wall: RGB
    style: str  # "plaster", "brick", "office", "garden"
    shop: bool
    roof: float  # height of a pitched roof, 0 flat
    open_end: bool  # its end wall shows over what stands before it

    def outline(self) -> np.ndarray:
        """(4, 2) X, Z on the ground."""
        back = self.x + self.side * DEEP
        return np.array([[self.x, self.near], [self.x, self.far], [back, self.far], [back, self.near]])


@dataclass(frozen=True)
class Street:
    """Half the road's width, each pavement's width, the crossing's (near, far) or None."""

    half: float
    pavement: tuple[float, float]
    crossing: tuple[float, float] | None
    zebra: float | None
    parking: bool
    blocks: list[Block] = field(default_factory=list)

    def wall(self, side: int) -> float:
        """Distance of the house fronts from the middle of the road."""
        return self.half + self.pavement[0 if side < 0 else 1]


def draw_street(rng: np.random.Generator) -> Street:
    half = rng.uniform(3.3, 5.2)
    pavement = (rng.uniform(2.2, 4.2), rng.uniform(2.2, 4.2))
    near = rng.uniform(13, 24)
    crossing = (near, near + rng.uniform(6, 9)) if rng.random() < 0.38 else None
    zebra = near - 3.6 if crossing else (rng.uniform(8, 16) if rng.random() < 0.25 else None)
    street = Street(half, pavement, crossing, zebra, half > 4.3)
    for side in (-1, 1):
        street.blocks.extend(_side(rng, side, street))
    return street


def _side(rng: np.random.Generator, side: int, street: Street) -> list[Block]:
    """Blocks from behind the camera to the street's end, with the crossing left free."""
    blocks: list[Block] = []
    z, green = rng.uniform(-14, -4), rng.random() < 0.22
    while z < END:
        length = rng.uniform(9, 22) * (1 if z < 40 else 2.2)
        far = z + length
        if street.crossing and z < street.crossing[1] and far > street.crossing[0]:
            far = max(street.crossing[0], z)
        if far - z > 3:
            block = _block(rng, side, street.wall(side), z, far, green)
            before = blocks[-1] if blocks and blocks[-1].far > z - 0.1 else None
            hidden = before is not None and before.height + before.roof >= block.height + block.roof
            blocks.append(replace(block, open_end=z > 0.8 and not hidden))
        z = far if far < END and not (street.crossing and far == street.crossing[0]) else _behind(street, far)
        if rng.random() < 0.15:
            z += rng.uniform(2, 5)
    return blocks


def _behind(street: Street, far: float) -> float:
    return street.crossing[1] if street.crossing and far <= street.crossing[0] else far


def _block(rng: np.random.Generator, side: int, x: float, near: float, far: float, green: bool) -> Block:
    style = "garden" if rng.random() < (0.75 if green else 0.10) else ("plaster", "brick", "office")[_pick(rng)]
    floors = int(rng.integers(2, 6)) if style != "office" else int(rng.integers(4, 10))
    walls = {"plaster": PLASTER, "brick": BRICK, "office": GLASS, "garden": PLASTER}[style]
    wall = walls[int(rng.integers(len(walls)))] * rng.uniform(0.86, 1.08)
    pitched = rng.uniform(1.6, 3.2) if style in ("plaster", "brick") and rng.random() < 0.6 else 0.0
    height = 0.0 if style == "garden" else floors * 3.1 + 1.2
    shop = style != "garden" and rng.random() < 0.5
    return Block(side, side * x, near, far, height, wall, style, shop, pitched, True)


def _pick(rng: np.random.Generator) -> int:
    draw = rng.random()
    return 0 if draw < 0.55 else (1 if draw < 0.82 else 2)


def draw_camera(rng: np.random.Generator, street: Street, height: int, width: int) -> Camera:
    """In the right lane of the road (65 %), in its middle, or on a pavement."""
    where = rng.random()
    if where < 0.65:
        x, eye = street.half * rng.uniform(0.3, 0.6), rng.uniform(1.25, 1.75)
    elif where < 0.85:
        x, eye = street.half * rng.uniform(-0.2, 0.2), rng.uniform(1.5, 2.4)
    else:
        side = -1 if rng.random() < 0.5 else 1
        x, eye = side * (street.wall(side) - rng.uniform(0.9, 1.5)), rng.uniform(1.5, 1.75)
    yaw = rng.normal(0.0, 0.09) - 0.24 * x / street.wall(1) * (where >= 0.85)
    focal = max(width, 1.3 * height) * rng.uniform(0.95, 1.25)
    shift = -focal * math.tan(yaw) * rng.uniform(0.0, 0.3)
    return Camera(focal, width * rng.uniform(0.46, 0.54) + shift, height * rng.uniform(0.40, 0.54), x, eye, yaw)
