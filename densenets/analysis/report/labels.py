"""Where the names of points stand, so that none covers another or a point."""

from collections.abc import Sequence
from typing import NamedTuple

from densenets.analysis.report.shapes import LETTER, width_of

RINGS = (10.0, 24.0, 40.0, 58.0)  # px from the point; from the second on a line leads to it
WAYS = ((1, 0), (-1, 0), (0, -1), (0, 1), (0.7, -0.8), (0.7, 0.8), (-0.7, -0.8), (-0.7, 0.8))


class Box(NamedTuple):
    """px"""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlap(self, other: "Box") -> float:
        """Shared area, px²."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(0.0, width) * max(0.0, height)


class Label(NamedTuple):
    """x, y: of the base line, whose start, middle or end x is, as `anchor` says: the end nearest to the point stays
    there, however wide the letters come out. leader: from the point to the label, where that is far."""

    x: float
    y: float
    anchor: str
    box: Box
    leader: tuple[tuple[float, float], tuple[float, float]] | None


def place_labels(
    points: Sequence[tuple[float, float]], texts: Sequence[str], inside: Box, taken: Sequence[Box] = ()
) -> list[Label]:
    """A place for the text of each point, the most crowded first. taken: what labels had better not cover."""
    marks = [Box(x - 7, y - 7, x + 7, y + 7) for x, y in points]
    crowd = [sum(abs(x - a) < 90 and abs(y - b) < 40 for a, b in points) for x, y in points]
    placed: dict[int, Label] = {}
    for at in sorted(range(len(points)), key=lambda at: (-crowd[at], at)):
        others = [label.box for label in placed.values()]
        choices = _choices(points[at], texts[at])
        costs = [_cost(label, order, inside, others, marks, taken) for order, label in enumerate(choices)]
        placed[at] = choices[costs.index(min(costs))]
    return [placed[at] for at in range(len(points))]


def _choices(point: tuple[float, float], text: str) -> list[Label]:
    return [_label(point, width_of(text), way, ring) for ring in RINGS for way in WAYS]


def _label(point: tuple[float, float], width: float, way: tuple[float, float], ring: float) -> Label:
    x, y = point[0] + way[0] * ring, point[1] + way[1] * ring
    left = x if way[0] > 0 else x - width if way[0] < 0 else x - width / 2
    tall = LETTER
    top = y - tall / 2 if way[1] == 0 else y - tall if way[1] < 0 else y
    box = Box(left, top, left + width, top + tall)
    anchor = "start" if way[0] > 0 else "end" if way[0] < 0 else "middle"
    leader = (point, (x, y)) if ring > RINGS[0] else None
    return Label(x, top + 0.8 * tall, anchor, box, leader)


def _cost(
    label: Label, order: int, inside: Box, others: Sequence[Box], marks: Sequence[Box], taken: Sequence[Box]
) -> float:
    box = label.box
    area = (box.x1 - box.x0) * (box.y1 - box.y0)
    outside = area - box.overlap(inside)
    covered = sum(box.overlap(other) for other in (*others, *marks))
    crossed = sum(box.overlap(other) for other in taken)
    return 10 * outside + 6 * covered + 1.5 * crossed + 1.2 * order
