"""Pictures for tests of several files."""

import numpy as np


def speckled(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture without two equal regions."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
