"""Few crops that stand for many: the ones least alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class FarthestFirst:
    """Rows chosen one after another, each the least like all chosen before; the first the least like the mean.

    (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985.)

    Args:
        embeddings: (N, D) floating, finite, no row of zeros; compared by cosine.
    """

    def __init__(self, embeddings: NDArray[np.floating]) -> None:
        self._unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        self._likeness = self._unit @ self._unit.mean(axis=0)
        self._begun = False

    def take(self, rows: list[int]) -> int:
        """Remove the next one from `rows`, which is not empty, and return it."""
        row = rows.pop(int(np.argmin(self._likeness[rows])))
        likeness = self._unit @ self._unit[row]
        self._likeness = np.maximum(self._likeness, likeness) if self._begun else likeness
        self._begun = True
        return row


def farthest_points(embeddings: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Rows in the order of `FarthestFirst`; every prefix of the result is itself such a choice.

    Args:
        embeddings: (N, D) floating, finite, no row of zeros; compared by cosine.
        count: how many to choose; all N where there are fewer.
    """
    choice, rows = FarthestFirst(embeddings), list(range(len(embeddings)))
    return np.array([choice.take(rows) for _ in range(min(count, len(rows)))], np.int64)
