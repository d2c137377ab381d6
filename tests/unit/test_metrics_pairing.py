"""Pairs have the largest total score, and SciPy's choice among equals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from reidkit.calibration.metrics.pairing import best_pairs, scipy_assignment


def test_the_largest_total_wins_and_nothing_is_paired_for_zero() -> None:
    rows, columns = best_pairs(np.array([[0.9, 0.8, 0.0], [0.8, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    assert rows.tolist() == [0, 1]
    assert columns.tolist() == [1, 0]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nobody_has_no_pairs(shape: tuple[int, int]) -> None:
    assert [len(part) for part in best_pairs(np.zeros(shape))] == [0, 0]


@pytest.mark.parametrize("levels", [1, 2, 3, 10, 1000])
def test_ties_fall_as_in_scipy(levels: int) -> None:
    random = np.random.default_rng(levels)
    for _ in range(200):
        scores = random.integers(0, levels, random.integers(1, 9, 2)) / levels
        scores[random.random(scores.shape) < random.random()] = 0
        expected = linear_sum_assignment(-scores)
        np.testing.assert_array_equal(scipy_assignment(-scores), expected)
        paired = scores[expected] > 0
        np.testing.assert_array_equal(best_pairs(scores), [side[paired] for side in expected])
