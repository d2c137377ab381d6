"""Assignments against a slow exact search, against SciPy's totals, and against themselves rearranged."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.native import assign


def matched_columns(cost: NDArray[np.float64], limit: float) -> list[int]:
    """For each row its column or -1, and a check that what came back is an assignment below the limit."""
    rows, columns = assign(cost, limit)
    assert rows.dtype == columns.dtype == np.int64
    assert (np.diff(rows) > 0).all()
    assert len(set(columns.tolist())) == len(columns)
    assert (cost[rows, columns] < limit).all()
    column_of = np.full(len(cost), -1)
    column_of[rows] = columns
    return column_of.tolist()


def rounded(cost: float) -> int:
    """To multiples of 2^-40, halves away from zero."""
    scaled = abs(Fraction(cost)) * 2**40
    return int(math.copysign(1, cost)) * math.floor(scaled + Fraction(1, 2))


def searched_columns(cost: NDArray[np.float64], limit: float) -> list[int]:
    """The first of the cheapest assignments, by dynamic programming over sets of taken columns in whole numbers."""
    alone = rounded(limit)
    choices = [
        [(column, rounded(value)) for column, value in enumerate(row) if value != math.inf and rounded(value) < alone]
        for row in cost.tolist()
    ]

    @cache
    def cheapest(row: int, taken: int) -> int:
        if row == len(choices):
            return 0
        totals = [price + cheapest(row + 1, taken | 1 << c) for c, price in choices[row] if not taken >> c & 1]
        return min([*totals, alone + cheapest(row + 1, taken)])

    columns, taken = [], 0
    for row, candidates in enumerate(choices):
        best = cheapest(row, taken)
        column = next(
            (c for c, price in candidates if not taken >> c & 1 and price + cheapest(row + 1, taken | 1 << c) == best),
            -1,
        )
        columns.append(column)
        taken |= 1 << column if column >= 0 else 0
    return columns


def test_the_first_row_takes_the_lowest_column_it_can_have():
    assert matched_columns(np.zeros((3, 3)), 1.0) == [0, 1, 2]
    assert matched_columns(np.zeros((3, 2)), 1.0) == [0, 1, -1]
    assert matched_columns(np.float64([[0.5, 0.5, 0.5], [0.5, 9, 9]]), 1.0) == [1, 0]
    assert matched_columns(np.float64([[0.3, 0.6], [0.1, 0.4], [0.1, 0.4]]), 1.0) == [-1, 0, 1]  # cheapest first


def test_being_matched_comes_before_being_alone():
    # either row may have the column at the same total
    assert matched_columns(np.float64([[0.25], [0.25]]), 0.5) == [0, -1]
    # row 0 alone and row 1 at 0.25 would cost as much as both matched
    assert matched_columns(np.float64([[0.25, np.inf], [0.25, 0.5]]), 0.75) == [0, 1]


def test_a_cost_at_the_limit_does_not_match():
    assert matched_columns(np.float64([[0.8, np.nextafter(0.8, 0)]]), 0.8) == [-1]  # equal once rounded
    assert matched_columns(np.float64([[0.8, 0.8 - 2**-39]]), 0.8) == [1]


def test_costs_closer_than_their_grain_are_ties():
    grain = 2.0**-40
    assert matched_columns(np.float64([[0.5 + grain / 4, 0.5]]), 1.0) == [0]
    assert matched_columns(np.float64([[0.5 + grain, 0.5]]), 1.0) == [1]


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_nothing_to_assign_is_nothing_assigned(shape):
    rows, columns = assign(np.empty(shape), 0.5)
    assert rows.shape == columns.shape == (0,)
    assert rows.dtype == columns.dtype == np.int64


@pytest.mark.parametrize("seed", range(8))
def test_small_matrices_full_of_ties_give_the_first_of_the_cheapest(seed):
    random = np.random.default_rng(seed)
    for _ in range(400):
        rows, columns = random.integers(0, 8, 2)
        cost = random.integers(0, random.integers(1, 6), (rows, columns)) / 8.0
        cost[random.random(cost.shape) < random.choice([0, 0.3, 0.6])] = random.choice([np.inf, 5.0])
        limit = float(random.choice([0.125, 0.25, 0.5, 2.0]))
        assert matched_columns(cost, limit) == searched_columns(cost, limit), (cost.tolist(), limit)


@pytest.mark.parametrize("seed", range(3))
def test_middling_matrices_full_of_ties_give_the_first_of_the_cheapest(seed):
    random = np.random.default_rng(100 + seed)
    for _ in range(6):
        cost = random.integers(0, 4, (int(random.integers(8, 13)), 11)) / 4.0
        cost[random.random(cost.shape) < random.choice([0, 0.5, 0.7])] = np.inf
        assert matched_columns(cost, 0.75) == searched_columns(cost, 0.75)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_totals_equal_scipys(sparse, ties):
    random = np.random.default_rng(1000)
    for size in (*range(1, 40), 60, 100, 150, 300):
        rows, columns = random.integers(max(1, size // 2), size + 1, 2)
        cost = random.random((rows, columns))
        if ties:
            cost = np.round(cost * 16) / 16
        if sparse:
            cost[random.random(cost.shape) < 1 - 4 / size] = random.choice([np.inf, 1.0, 40.0])
        limit = float(random.choice([0.2, 0.5, 0.8, 2.0]))
        column_of = matched_columns(cost, limit)
        total = math.fsum(cost[row, column] if column >= 0 else limit for row, column in enumerate(column_of))
        capped = np.minimum(cost, limit)
        expected = math.fsum([*capped[linear_sum_assignment(capped)], *[limit] * (rows - min(rows, columns))])
        assert total == pytest.approx(expected, abs=size * 2**-40)


@st.composite
def problems(draw):
    values = st.one_of(
        st.integers(-4, 4).map(lambda eighths: eighths / 8),
        st.floats(-1, 2, width=16),
        st.sampled_from([math.inf, 2.0**20, -(2.0**20), 2.0**-40, 1 + 2.0**-41]),
    )
    cost = draw(arrays.arrays(np.float64, st.tuples(st.integers(0, 6), st.integers(0, 6)), elements=values))
    return cost, draw(st.sampled_from([0.0, 0.25, 0.5, 1.0, -0.125, 2.0**20, -(2.0**20)]))


@given(problems())
def test_any_matrix_gives_the_first_of_the_cheapest(problem):
    cost, limit = problem
    assert matched_columns(cost, limit) == searched_columns(cost, limit)


@given(problems(), st.integers(0, 3), st.integers(0, 3))
def test_strides_and_hopeless_rows_and_columns_change_nothing(problem, more_rows, more_columns):
    cost, limit = problem
    expected = matched_columns(cost, limit)
    rows, columns = cost.shape
    padded = np.full((2 * (rows + more_rows), 3 * (columns + more_columns)), np.inf)
    padded[: 2 * rows : 2, : 3 * columns : 3] = cost
    assert matched_columns(padded[::2, ::3], limit) == expected + [-1] * more_rows
    assert matched_columns(np.asfortranarray(cost), limit) == expected
    assert matched_columns(cost[::-1].copy()[::-1], limit) == expected


@pytest.mark.parametrize(
    ("value", "shown"), [(np.nan, "nan"), (-np.inf, "-inf"), (2.0**21, "2097152"), (-1e300, r"-1e\+300")]
)
def test_a_cost_out_of_range_is_named(value, shown):
    cost = np.ones((7, 90))
    cost[4, 71] = value
    with pytest.raises(InvalidInput, match=rf"cost\[4, 71\] is {shown}, neither within"):
        assign(cost, 0.5)


@pytest.mark.parametrize("limit", [np.nan, np.inf, -np.inf, 2.0**21])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(InvalidInput, match="limit is"):
        assign(np.ones((2, 2)), limit)


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (np.ones((2, 2), np.float32), r"cost is \(2, 2\) float32"),
        (np.ones((2, 2), np.int64), r"cost is \(2, 2\) int64"),
        (np.ones(4), r"cost is \(4,\) float64"),
        ([[1.0]], "cost is a list"),
        (np.broadcast_to(1.0, (2**20, 2**20)), "too large"),
    ],
)
def test_other_arrays_are_refused(cost, message):
    with pytest.raises(InvalidInput, match=message):
        assign(cost, 0.5)
