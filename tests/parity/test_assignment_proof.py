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
BATCH = 200
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


def matched(solve: Callable[[Costs], tuple[NDArray[np.int64], NDArray[np.int64]]], batch: Costs) -> NDArray[np.int64]:
    """(B, N) column of each row, -1 where none."""
    columns = np.full(batch.shape[:2], -1)
    for number, costs in enumerate(batch):
        rows, found = solve(costs)
        columns[number, rows] = found
    return columns


@pytest.mark.parametrize("kind", [dense, gated, tied, crowded])
def test_totals_and_only_answers_equal_scipys(kind: Callable[..., Costs]) -> None:
    random = np.random.default_rng(33)
    for number in range(MATRICES // BATCH):
        largest = 60 if number % 100 == 0 else 13
        shape = BATCH, int(random.integers(1, largest)), int(random.integers(1, largest))
        limit = float(random.choice([0.2, 0.5, 0.7, 0.8]))
        costs = kind(random, shape)
        capped = np.minimum(costs, limit)
        ours, theirs = matched(lambda matrix: assign(matrix, limit), costs), matched(linear_sum_assignment, capped)  # noqa: B023
        saved, can_save = total_saved(ours, limit - capped), total_saved(theirs, limit - capped)
        np.testing.assert_allclose(saved, can_save, rtol=0, atol=1e-10, err_msg=f"batch {number}, limit {limit}")
        taken = np.sort(ours, axis=1)
        assert ((np.diff(taken, axis=1) > 0) | (taken[:, 1:] < 0)).all(), f"batch {number}"
        assert (gains(ours, limit - capped)[ours >= 0] > 0).all(), f"batch {number}"
        if kind is not tied:
            theirs[gains(theirs, limit - capped) <= 0] = -1
            np.testing.assert_array_equal(ours, theirs, err_msg=f"batch {number}, limit {limit}")


def gains(columns: NDArray[np.int64], saving: Costs) -> Costs:
    """(B, N) what each row's match saves beside staying alone."""
    found: Costs = np.take_along_axis(saving, np.maximum(columns, 0)[:, :, None], axis=2)[:, :, 0]
    return np.where(columns >= 0, found, 0)


def total_saved(columns: NDArray[np.int64], saving: Costs) -> Costs:
    return gains(columns, saving).sum(axis=1)
