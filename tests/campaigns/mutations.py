"""Damage done to bytes and to documents, all of it drawn from the generator given."""

import copy
import random
from typing import Any

ODD_NUMBERS = [0, -1, 1, 2**31, 2**53, -(2**63), 10**400, 0.5, -0.0, 1e-320, 1e308, 5e307]
CONSTANTS = [float("nan"), float("inf"), -float("inf")]  # Python's json writes and reads them
ODD_TEXTS = ["", "x", "../../etc/passwd", "/etc/passwd", "a\0b", "\x1b[31mred", "line\nbreak", "\ud800", "é", "n" * 300]
ODD_VALUES: list[Any] = [None, True, False, [], {}, [[]], [None], {"id": 1}, *ODD_NUMBERS, *CONSTANTS, *ODD_TEXTS]


def damage_bytes(data: bytes, rng: random.Random, times: int = 4) -> bytes:
    """Up to `times` flips, cuts, repetitions, insertions, stretches of one byte, or tails."""
    spoilt = bytearray(data)
    for _ in range(rng.randint(1, times)):
        at = rng.randrange(len(spoilt) + 1)
        end = min(len(spoilt), at + rng.choice((1, 1, 2, 4, 8, 64)))
        match rng.randrange(7):
            case 0:
                spoilt[at:end] = bytes(byte ^ (1 << rng.randrange(8)) for byte in spoilt[at:end])
            case 1:
                spoilt[at:end] = rng.randbytes(end - at)
            case 2:
                del spoilt[at:end]
            case 3:
                spoilt[at:at] = spoilt[at:end]
            case 4:
                spoilt[at:at] = rng.randbytes(rng.randint(1, 16))
            case 5:
                spoilt[at:end] = bytes([rng.choice((0, 255, 0x7F, 0x80))]) * (end - at)
            case 6 if rng.random() < 0.3:
                del spoilt[at:]
            case 6:
                spoilt += rng.randbytes(rng.randint(1, 64))
    return bytes(spoilt)


def damage_document(document: Any, rng: random.Random, times: int = 3) -> Any:
    """A copy with up to `times` values replaced, removed, doubled, exchanged or moved elsewhere."""
    spoilt = copy.deepcopy(document)
    for _ in range(rng.randint(1, times)):
        places = list(_places(spoilt))
        if not places:
            return spoilt
        holder, key = rng.choice(places)
        match rng.randrange(7):
            case 0 | 1:
                holder[key] = copy.deepcopy(rng.choice(ODD_VALUES))
            case 2:
                del holder[key]
            case 3 if isinstance(holder, list):
                holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
            case 3 | 4:
                other, name = rng.choice(places)
                holder[key] = copy.deepcopy(other[name])
            case 5 if type(holder[key]) in (int, float):
                holder[key] *= rng.choice((-1, 0, 0.5, 1.001, 2, 10, 1000))
            case 5 | 6 if isinstance(holder, dict):
                holder[rng.choice((str(key) + "s", "id", "", "segmentation"))] = holder.pop(key)
            case _:
                holder[key] = [copy.deepcopy(holder[key])]
    return spoilt


def _places(value: Any) -> Any:
    """Every (container, key) of a tree."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])
