"""Few crops that stand for many: the ones least alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def farthest_points(embeddings: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Rows chosen one after another, each the least like all chosen before.

    The first is the least like the mean. Every prefix of the result is itself such a choice.
    (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985.)

    Args:
        embeddings: (N, D) floating, one row per crop; compared by cosine.
        count: how many to choose; all N where there are fewer.
    """
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    chosen = np.empty(min(count, len(unit)), np.int64)
    closest = unit @ unit.mean(axis=0)
    for place in range(len(chosen)):
        row = chosen[place] = np.argmin(closest)
        likeness = unit @ unit[row]
        closest = likeness if place == 0 else np.maximum(closest, likeness)
    return chosen
