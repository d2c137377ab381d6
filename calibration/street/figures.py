"""Rendered pedestrians (the renderer follows; this draws plain silhouettes)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def render_crops(count: int, *, seed: int, height: int = 256, width: int = 128) -> NDArray[np.uint8]:
    """`count` different people, each in a view of their own, (N, H, W, 3) uint8 RGB; the same for the same seed."""
    rng = np.random.Generator(np.random.PCG64(seed))
    crops = np.empty((count, height, width, 3), np.uint8)
    for crop in crops:
        crop[:] = rng.integers(60, 200, 3)
        for top, bottom in ((0.05, 0.18), (0.2, 0.55), (0.55, 0.95)):
            rows = slice(int(top * height), int(bottom * height))
            crop[rows, width // 4 : 3 * width // 4] = rng.integers(0, 256, (1, width // 2, 3))
    return crops
