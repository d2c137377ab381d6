"""How alike two galleries of embeddings are, and which of many are one person's beyond doubt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

IMPOSSIBLE = -2.0
"""The likeness of two who cannot be one: below any cosine."""


def likeness(cosines: NDArray[Any], axis: int | None = None) -> NDArray[Any]:
    """The mean of the best and the average cosine, of all or along an axis.

    The best alone is fooled by one blurred crop, the average alone by a person who turns round.
    """
    alike: NDArray[Any] = (cosines.max(axis=axis) + cosines.mean(axis=axis)) / 2
    return alike


def certain_pairs(alike: NDArray[np.float64], *, min_cosine: float, margin: float) -> list[tuple[int, int]]:
    """Rows and columns of the pairs that are alike enough and have no rival, row by row.

    A rival is a stranger to one of the two, who cannot be or does not look like them, and is nearly as much like the
    other; another piece of the same person is none.

    Args:
        alike: (N, N) likeness of everybody with everybody, `IMPOSSIBLE` where two cannot be one. It may differ from
            its transpose where one has to come before the other.
        min_cosine: likeness from which two may be one.
        margin: by how much every rival must stay below.
    """
    strangers = np.maximum(alike, alike.T) < min_cosine
    np.fill_diagonal(strangers, False)

    def best_rival(row: int, column: int) -> float:
        rivals = np.concatenate([alike[row, strangers[column]], alike[strangers[row], column]])
        return float(rivals.max(initial=IMPOSSIBLE))

    return [
        (row, column)
        for row, column in np.argwhere(alike >= min_cosine).tolist()
        if alike[row, column] - best_rival(row, column) >= margin
    ]
