"""Draws of images with replacement, as how often each image is in each draw."""

import hashlib
from collections.abc import Iterator

import numpy as np

DRAWS = 1000
_MOST = 2**22  # numbers of a block
_WIDE = 64  # draws of a block: what is counted of a class then stays in the processor's cache


def blocks(images: int, draws: int, seed: int, rows: int = 0) -> Iterator[tuple[slice, np.ndarray]]:
    """The draws piece by piece: which ones, and (images, their number) float64 multiplicities, of bounded size.

    rows: numbers that the caller keeps of each draw at a time, so that theirs are bounded too. The first draws are the
    same however many there are, and whatever their blocks.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    width = max(1, min(_WIDE, _MOST // max(1, images, rows)))
    for first in range(0, draws, width):
        piece = slice(first, min(draws, first + width))
        drawn = [_draw(random, images) for _ in range(piece.start, piece.stop)]
        yield piece, np.ascontiguousarray(np.stack(drawn, axis=1), dtype=np.float64)


def _draw(random: np.random.Generator, images: int) -> np.ndarray:
    """(images,)"""
    return np.bincount(random.integers(0, images, images), minlength=images) if images else np.zeros(0)


def basis(images: np.ndarray, draws: int, seed: int) -> tuple[int, int, str]:
    """What samples have to agree in to be compared draw by draw; images: rising ids."""
    return draws, seed, hashlib.sha256(np.asarray(images, dtype=np.int64).tobytes()).hexdigest()
