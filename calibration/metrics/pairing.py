"""Who is paired with whom: the largest total score, and among equals the pairs that TrackEval would make.

Boxes of whole pixels often overlap two others equally, and then the solver's order decides which is a match and which
an identity switch. TrackEval's solver is SciPy's. Where the optimum is unique any exact solver finds it, so the native
one does; where it is not, SciPy's own order of steps is followed.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.native import assign

Pairs: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows and columns, one of each per pair, rows ascending."""

_NUDGE = 2.0**-30  # far above the 2**-40 to which `assign` rounds, far below what tells two overlaps apart


def best_pairs(scores: NDArray[np.float64]) -> Pairs:
    """The one-to-one pairs with the largest total score; nothing is paired for a score of 0.

    Args:
        scores: (N, M) float64, from 0 to 2**20.
    """
    pairs: Pairs = assign(-scores, 0.0)
    lowered = -scores
    lowered[pairs] += _NUDGE  # any other pairs as good would now be better
    if np.array_equal(pairs, assign(lowered, 0.0)):
        return pairs
    rows, columns = scipy_assignment(-scores)
    paired = scores[rows, columns] > 0
    return rows[paired], columns[paired]


def scipy_assignment(cost: NDArray[np.float64]) -> Pairs:
    """What `scipy.optimize.linear_sum_assignment` returns for finite costs, ties and rounding included.

    Shortest augmenting paths as in Crouse, On implementing 2D rectangular assignment algorithms (IEEE TAES 2016), in
    the order of SciPy's rectangular_lsap (BSD-3-Clause): columns are scanned backwards, a free one wins a tie.

    Args:
        cost: (N, M) float64.
    """
    if cost.shape[0] > cost.shape[1]:
        columns, rows = scipy_assignment(cost.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    row_count, column_count = cost.shape
    row_potential, column_potential = np.zeros(row_count), np.zeros(column_count)
    column_of, row_of = np.full(row_count, -1), np.full(column_count, -1)
    for start in range(row_count):
        distance, previous = np.full(column_count, np.inf), np.full(column_count, -1)
        remaining = np.arange(column_count)[::-1].copy()
        row, nearest = start, 0.0
        passed_rows, passed_columns = [], []
        while True:
            reduced = nearest + cost[row, remaining] - row_potential[row] - column_potential[remaining]
            closer = reduced < distance[remaining]
            distance[remaining[closer]] = reduced[closer]
            previous[remaining[closer]] = row
            nearest = distance[remaining].min()
            ties = np.flatnonzero(distance[remaining] == nearest)
            free = ties[row_of[remaining[ties]] < 0]
            chosen = free[-1] if len(free) else ties[0]
            column = remaining[chosen]
            passed_columns.append(column)
            remaining[chosen] = remaining[-1]
            remaining = remaining[:-1]
            row = row_of[column]
            if row < 0:
                break
            passed_rows.append(row)
        row_potential[start] += nearest
        row_potential[passed_rows] += nearest - distance[column_of[passed_rows]]
        column_potential[passed_columns] -= nearest - distance[passed_columns]
        while row != start:
            row = previous[column]
            row_of[column] = row
            column_of[row], column = column, column_of[row]
    return np.arange(row_count), column_of
