"""Which models nobody beats at their cost, and which models are tied with each other."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

MOST = 52  # groups of tied models


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The Pareto front of (cost, score) points: numbers of those that no other one dominates, by rising cost.

    One dominates another if it costs no more, scores no less, and differs. Equal points stand or fall together.
    """
    order = sorted(range(len(points)), key=lambda at: (points[at][0], -points[at][1]))
    kept: list[int] = []
    for at in order:
        if not kept or points[at][1] > points[kept[-1]][1] or points[at] == points[kept[-1]]:
            kept.append(at)
    return kept


def stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of the best score that each cost buys, through the points of a front."""
    corners: list[tuple[float, float]] = []
    for cost, score in points:
        if corners:
            corners.append((cost, corners[-1][1]))
        corners.append((cost, score))
    return corners


def tie_groups(names: Sequence[str], ties: Iterable[tuple[str, str]]) -> list[list[str]] | None:
    """The largest groups within which everyone is tied with everyone, as letters behind a ranking have them.

    Being tied is not transitive: a name may stand in several groups, and in none where it is tied with nobody. Groups
    and their members are in the order of `names`. None where there are more than MOST: n names may have 3 ** (n / 3).
    """
    place = {name: at for at, name in enumerate(names)}
    near: dict[str, set[str]] = {name: set() for name in names}
    for one, other in ties:
        if one in place and other in place and one != other:
            near[one].add(other)
            near[other].add(one)
    found = list(islice((group for group in _cliques(near) if len(group) > 1), MOST + 1))
    groups = [sorted(group, key=place.__getitem__) for group in found]
    return None if len(groups) > MOST else sorted(groups, key=lambda group: [place[name] for name in group])


def _cliques(near: dict[str, set[str]]) -> Iterator[set[str]]:
    """Bron and Kerbosch, with the pivot of most neighbours."""
    left: list[tuple[set[str], set[str], set[str]]] = [(set(), set(near), set())]
    while left:
        chosen, possible, seen = left.pop()
        if not possible:
            if not seen:
                yield chosen
            continue
        pivot = max(sorted(possible | seen), key=lambda name: len(near[name] & possible))
        for name in sorted(possible - near[pivot]):
            left.append((chosen | {name}, possible & near[name], seen & near[name]))
            possible, seen = possible - {name}, seen | {name}
