"""The faults of a segmentation, found without building it: pycocotools takes gigabytes, or dies, of a bad one."""

import math
from typing import Any

NUMBERS = {int, float}
LONGEST = 1_000_000  # runs that a mask may have

Fault = tuple[str, str, bool]  # code, words, whether a reader skips it rather than fail


def mask_fault(mask: Any, height: int, width: int) -> Fault | None:
    """What is wrong with the polygons or the run lengths of an image of that size."""
    if type(mask) is dict:
        words = _runs_fault(mask, height, width)
        return ("D38", f"segmentation: {words}", False) if words else None
    if type(mask) is not list:
        return "D39", "segmentation is neither polygons nor run lengths", False
    if {type(part) for part in mask} <= NUMBERS:
        mask = [mask]
    return next((fault for part in mask if (fault := _polygon_fault(part, height, width))), None)


def _polygon_fault(polygon: Any, height: int, width: int) -> Fault | None:
    if type(polygon) is not list or not {type(value) for value in polygon} <= NUMBERS:
        return "D39", "segmentation: a polygon is not a list of numbers", False
    if not all(-math.inf < value < math.inf for value in polygon):
        return "D39", "segmentation: a polygon has a coordinate that is not a finite number", False
    if len(polygon) % 2 or len(polygon) < 6:
        return "D39", f"segmentation: a polygon of {len(polygon)} numbers is left out; 3 points take 6", True
    for values, side in ((polygon[::2], width), (polygon[1::2], height)):
        if min(values) < -1 or max(values) > 2 * side:
            return "D39", "segmentation: a polygon leads far outside the image", False
    return None


def _runs_fault(mask: dict[str, Any], height: int, width: int) -> str:
    size, counts = mask.get("size"), mask.get("counts")
    if size != [height, width]:
        return "the run lengths are of another size than the image"
    runs = decode_runs(counts) if type(counts) is str else counts
    if type(runs) is not list or len(runs) > LONGEST or not {type(run) for run in runs} <= {int}:
        return "the run lengths cannot be read"
    if runs and min(runs) < 0:
        return "a run length is negative"
    return "" if sum(runs) == height * width else f"the run lengths add up to {sum(runs)}, not {height * width}"


def decode_runs(text: str) -> list[int] | None:
    """COCO's short form: 5 bits a character from "0" on, 32 for "more follows"; from the fourth run on the difference
    to the run before the last. None where it is not in this form."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return None if shift else runs
