"""The assignment oracle against enumeration, SciPy and cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from reference.assignment_reference import UNIT, as_integer, assign, assign_by_enumeration, total


def test_halves_are_rounded_away_from_zero() -> None:
    halves = [-2.5, -1.5, -0.5, -0.25, 0.0, 0.25, 0.5, 1.5, 2.5, 0.49999999999999994]
    assert [as_integer(half / UNIT) for half in halves] == [-3, -2, -1, 0, 0, 0, 1, 2, 3, 0]
    assert as_integer(math.inf) == math.inf


def test_a_cost_equal_to_the_limit_is_no_match_even_if_only_after_rounding() -> None:
    assert assign([[0.8]], 0.8) == [None]
    assert assign([[math.nextafter(0.8, 0)]], 0.8) == [None]
    assert assign([[0.8 - 1e-11]], 0.8) == [0]


def test_empty_tables() -> None:
    assert assign([], 0.8) == assign_by_enumeration([], 0.8) == []
    assert assign([[], []], 0.8) == assign_by_enumeration([[], []], 0.8) == [None, None]


def test_the_limit_takes_part_in_the_optimum() -> None:
    # dropping pairs after a plain optimum would match both: 0.7 + 0.6 against 0.4 + 10
    assert assign([[0.4, 0.7], [0.6, 10]], 0.8) == [0, None]


def test_ties_go_to_the_first_row_and_its_lowest_column() -> None:
    assert assign([[0.5, 0.5], [0.5, 0.5]], 0.8) == [0, 1]
    assert assign([[0.5], [0.5]], 0.8) == [0, None]
    assert assign([[0.25, 0.5], [0.0, 0.25]], 0.8) == [0, 1]
    assert assign([[0.75, 0.25], [0.25, -0.25]], 1.0) == [0, 1]
    assert assign([[0.5, 0.25], [0.25, math.inf]], 0.5) == [1, 0]


@pytest.mark.parametrize("kind", ["ties", "numbers"])
def test_it_is_what_enumeration_finds(kind: str) -> None:
    random = np.random.default_rng(7)
    for _ in range(400):
        shape = random.integers(1, 5, 2)
        values = random.choice([-0.25, 0, 0.25, 0.5, 0.75, math.inf], shape) if kind == "ties" else random.random(shape)
        limit = float(random.choice([0.25, 0.5, 0.8]))
        assert assign(values.tolist(), limit) == assign_by_enumeration(values.tolist(), limit)


def test_its_total_is_what_scipy_finds() -> None:
    random = np.random.default_rng(11)
    for _ in range(60):
        values = np.round(random.random(random.integers(1, 16, 2)), random.choice([1, 17]))
        limit = float(random.choice([0.3, 0.5, 0.8]))
        integers = [[min(as_integer(value), as_integer(limit)) for value in row] for row in values.tolist()]
        rows, columns = linear_sum_assignment(integers)
        optimum = sum(int(integers[row][column]) for row, column in zip(rows, columns, strict=True))
        optimum += (len(values) - len(rows)) * int(as_integer(limit))
        chosen = assign(values.tolist(), limit)
        assert total(values.tolist(), limit, chosen) == optimum
        matched = [column for column in chosen if column is not None]
        assert len(set(matched)) == len(matched)
