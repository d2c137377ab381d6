"""Assignments beside SciPy's, many: 2,000,000 matrices in the long form (make proof-assignment)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from proofs import trials
from scipy.optimize import linear_sum_assignment

from reidkit.runtime.native import assign

Costs = NDArray[np.float64]
BATCH = 100
MATRICES = trials(2_000, 500_000)


def dense(random: np.random.Generator, shape: tuple[int, ...]) -> Costs:
    """Anything may match anything; the cheapest assignment is the only one."""
    return random.random(shape)


def gated(random: np.random.Generator, shape: tuple[int, ...]) -> Costs:
    """As trackers have it: most pairs are at the distance of 1 or beyond any."""
    costs = random.random(shape)
    costs[random.random(shape) < random.uniform(0.3, 0.95)] = random.choice([1.0, np.inf])
    return costs


def tied(random: np.random.Generator, shape: tuple[int, ...]) -> Costs:
    """Few distinct costs, so that many assignments are the cheapest."""
    return random.integers(0, random.integers(2, 9), shape) / 8


def crowded(random: np.random.Generator, shape: tuple[int, ...]) -> Costs:
    """People in a place, each near a few others."""
    first, second = random.uniform(0, 2, (*shape[:2], 2)), random.uniform(0, 2, (shape[0], shape[2], 2))
    return np.hypot(*np.moveaxis(first[:, :, None] - second[:, None, :], -1, 0))


@pytest.mark.parametrize("kind", [dense, gated, tied, crowded])
def test_totals_and_only_answers_equal_scipys(kind: Callable[..., Costs]) -> None:
    random = np.random.default_rng(33)
    for number in range(MATRICES // BATCH):
        largest = 60 if number % 50 == 0 else 13
        shape = BATCH, int(random.integers(0, largest)), int(random.integers(0, largest))
        limit = float(random.choice([0.2, 0.5, 0.7, 0.8]))
        for costs in kind(random, shape):
            rows, columns = assign(costs, limit)
            capped = np.minimum(costs, limit)
            their_rows, their_columns = linear_sum_assignment(capped)
            below = capped[their_rows, their_columns] < limit
            if kind is not tied:
                assert rows.tolist() == their_rows[below].tolist(), (costs.tolist(), limit)
                assert columns.tolist() == their_columns[below].tolist(), (costs.tolist(), limit)
            saved = (limit - costs[rows, columns]).sum()
            assert abs(saved - (limit - capped[their_rows, their_columns]).sum()) < 1e-10, (costs.tolist(), limit)
            assert (costs[rows, columns] < limit).all()
            assert len(set(columns.tolist())) == len(columns)
