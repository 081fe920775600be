"""What costs a detector its AP50: the error types of TIDE (Bolya et al. 2020, section 2).

A wrong detection, with IoUs in its image without crowds, is the first of these that it can be:
    localisation    IoU with an object of its class of at least 0.1 and less than 0.5 at best
    classification  IoU with an object of another class of at least 0.5
    duplicate       IoU with an object of its class of at least 0.5, which a better detection has
    background      IoU with no object of more than 0.1
    both            all others: near an object of another class
An object that no detection has is missed, unless a localisation or classification error is of it.

The cost of a type is the AP50 gained where its errors alone are repaired: the box or the class is corrected, and where
the object has a detection already, or a localisation or classification error with a higher score, the detection is
removed; detections of the other types are removed; a missed object is taken out of the truth, and a class that has
none left counts as 0 where anything is detected of it, as in the paper's own program. AP50 is COCO's, of objects of all
areas, crowds ignored; classes without an object in the whole truth do not count (as 0 in the paper's program).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from densenets.analysis.matching import IGNORED, NOTHING, RIGHT, WRONG, Matched, overlaps
from densenets.analysis.uncertainty.detection import average_precision, curve

TYPES = ("classification", "localisation", "both", "duplicate", "background", "missed")
SPECIAL = ("false positives", "false negatives")
FOREGROUND, BACKGROUND = 0.5, 0.1  # IoU


class Errors(NamedTuple):
    """kind: (N,) int64, the place in `TYPES` of each detection's error, or NOTHING. object: (N,) the object that a
    classification or localisation error is of, else NOTHING. missed: (M,) bool. matched: what N and M count."""

    matched: Matched
    kind: np.ndarray
    object: np.ndarray
    missed: np.ndarray

    def of(self, name: str) -> np.ndarray:
        """(N,) bool: the detections with an error of a type."""
        return self.kind == TYPES.index(name)


def error_types(matched: Matched) -> dict[str, float]:
    """The cost of each of `TYPES` and `SPECIAL`, as AP50 of 0..1.

    "false positives": all wrong detections are removed; "false negatives": all objects that no detection has are taken
    out of the truth. Nothing where the truth has no object.
    """
    errors = errors_of(matched)
    before = _ap50(_as_found(errors))
    if before is None:
        return {}
    found = {}
    for name, repair in REPAIRS.items():
        after = _ap50(repair(errors))
        found[name] = (1.0 if after is None else after) - before  # no object is left: none is missed
    return found


# Which errors there are


def errors_of(matched: Matched) -> Errors:
    """The errors at IoU 0.5; equal IoUs go to the first object."""
    objects = matched.objects
    kind, of = (np.full(len(matched.image), NOTHING) for _ in range(2))
    real = np.flatnonzero(~objects.crowd)
    wrong = np.flatnonzero(matched.kind[:, 0, 0] == WRONG)
    edges = np.arange(len(matched.image_ids) + 1)
    found, there = np.searchsorted(matched.image[wrong], edges), np.searchsorted(objects.image[real], edges)
    kind[wrong] = TYPES.index("background")
    for i in np.flatnonzero((np.diff(found) > 0) & (np.diff(there) > 0)):
        mine, theirs = wrong[found[i] : found[i + 1]], real[there[i] : there[i + 1]]
        iou = overlaps(matched.box[mine], objects.box[theirs], objects.crowd[theirs])
        same = matched.category[mine, None] == objects.category[theirs]
        kind[mine], which = _told_apart(np.where(same, iou, 0), np.where(same, 0, iou))
        of[mine] = np.where(which == NOTHING, NOTHING, theirs[which])
    return Errors(matched, kind, of, _missed(matched, of))


def _told_apart(same: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D,) places in `TYPES`, and (D,) the object. same, other: (D, G) IoU with objects of the class, and others."""
    own, foreign = same.max(axis=1), other.max(axis=1)
    near = (own >= BACKGROUND) & (own < FOREGROUND)
    conditions = [near, foreign >= FOREGROUND, own >= FOREGROUND, np.maximum(own, foreign) <= BACKGROUND]
    names = ("localisation", "classification", "duplicate", "background")
    kind = np.select(conditions, [TYPES.index(name) for name in names], TYPES.index("both"))
    which = np.select(conditions[:2], [same.argmax(axis=1), other.argmax(axis=1)], NOTHING)
    return kind, which


def _taken(matched: Matched) -> np.ndarray:
    """(M,) bool: the objects that a right detection has."""
    taken = np.zeros(len(matched.objects.image), dtype=bool)
    taken[matched.taken[matched.kind[:, 0, 0] == RIGHT]] = True
    return taken


def _missed(matched: Matched, of: np.ndarray) -> np.ndarray:
    missed = ~matched.objects.crowd & ~_taken(matched)
    missed[of[of != NOTHING]] = False
    return missed


# Repairing them


class Scene(NamedTuple):
    """What AP50 is computed from. kind, category: (N,) of the detections; counted: (M,) bool, the objects to find."""

    errors: Errors
    kind: np.ndarray
    category: np.ndarray
    counted: np.ndarray


def _as_found(errors: Errors) -> Scene:
    matched = errors.matched
    return Scene(errors, matched.kind[:, 0, 0], matched.category, ~matched.objects.crowd)


def _corrected(name: str) -> Callable[[Errors], Scene]:
    def repair(errors: Errors) -> Scene:
        scene = _as_found(errors)
        mine = np.flatnonzero(errors.of(name))
        best = np.intersect1d(mine, _best_of_each(errors))
        kind, category = scene.kind.copy(), scene.category.copy()
        kind[mine], kind[best] = IGNORED, RIGHT
        category[best] = errors.matched.objects.category[errors.object[best]]
        return scene._replace(kind=kind, category=category)

    return repair


def _best_of_each(errors: Errors) -> np.ndarray:
    """For each object that no detection has, the error of it, of whichever type, with the highest score."""
    rows = np.flatnonzero(errors.object != NOTHING)
    rows = rows[~_taken(errors.matched)[errors.object[rows]]]
    rows = rows[np.argsort(-errors.matched.score[rows], kind="stable")]
    first = np.unique(errors.object[rows], return_index=True)[1]
    return rows[first]


def _removed(name: str | None) -> Callable[[Errors], Scene]:
    """Detections with errors of a type, or all that are wrong."""

    def repair(errors: Errors) -> Scene:
        scene = _as_found(errors)
        gone = errors.kind != NOTHING if name is None else errors.of(name)
        return scene._replace(kind=np.where(gone, IGNORED, scene.kind))

    return repair


def _without_missed(errors: Errors) -> Scene:
    scene = _as_found(errors)
    return scene._replace(counted=scene.counted & ~errors.missed)


def _without_false_negatives(errors: Errors) -> Scene:
    scene = _as_found(errors)
    return scene._replace(counted=scene.counted & _taken(errors.matched))


REPAIRS: dict[str, Callable[[Errors], Scene]] = {
    "classification": _corrected("classification"),
    "localisation": _corrected("localisation"),
    "both": _removed("both"),
    "duplicate": _removed("duplicate"),
    "background": _removed("background"),
    "missed": _without_missed,
    "false positives": _removed(None),
    "false negatives": _without_false_negatives,
}


def _ap50(scene: Scene) -> float | None:
    """The mean over the classes with objects to find, as COCO takes it; None where there are none. 0 counts for one
    whose objects were all taken out, where detections of it are left."""
    matched, found = scene.errors.matched, []
    order = np.argsort(-matched.score, kind="stable")
    category = scene.category[order]
    weights = torch.ones(len(matched.image_ids), 1, dtype=torch.float64)
    for k in range(len(matched.names)):
        mine = matched.objects.category == k
        many = np.count_nonzero(scene.counted & mine)
        rows = order[category == k]
        if not many and np.any(mine & ~matched.objects.crowd) and np.any(scene.kind[rows] != IGNORED):
            found.append(0.0)
        elif many:
            part = curve(matched.image[rows], scene.kind[rows])
            found.append(float(average_precision(part, np.array([many]), weights)[0]))
    return float(np.mean(found)) if found else None
