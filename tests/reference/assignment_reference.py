"""The one right answer to an assignment problem with a limit, in Python integers.

A row and a column whose cost is below `limit` may be matched at that cost; a row without a column costs `limit`;
the total is minimal. Where several assignments are minimal, the rows are asked in order and each prefers its lowest
column, none at all coming last. Costs and limit are first rounded to multiples of 2**-40, so "minimal" and "equal"
have no tolerance.

`assign` does it with an ordinary Hungarian method on big integers, `assign_by_enumeration` by trying everything.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

UNIT = 2**40


def as_integer(cost: float) -> float:
    """`cost` in units of 2**-40: an int, halves away from zero as C's `llround`; plus infinity stays what it is."""
    if cost == math.inf:
        return cost
    scaled = cost * UNIT  # exact: a power of two
    whole = int(scaled)
    if abs(scaled - whole) >= 0.5:
        whole += 1 if scaled > 0 else -1
    return whole


def assign(cost: Sequence[Sequence[float]], limit: float) -> list[int | None]:
    """The column of each row, or None: the canonical optimum.

    Args:
        cost: a list of N rows of M costs; plus infinity never matches.
        limit: what an unmatched row costs; pairs must be below it.

    The choices of the rows (0..M-1, or M for none) are read as the digits of one number, first row first. That number
    is smaller than (M + 1)**N, so the total cost is multiplied by this and the number added: the minimum of the sum is
    the optimum, and among optima the one with the smallest digits. N more columns stand for "none".
    """
    rows = len(cost)
    columns = len(cost[0]) if rows else 0
    base = columns + 1
    integer_limit = as_integer(limit)
    table: list[list[int]] = []
    for row, costs in enumerate(cost):
        digit = base ** (rows - 1 - row)
        unmatched = int(integer_limit) * base**rows + columns * digit
        entries = [unmatched] * (columns + rows)
        for column, pair_cost in enumerate(costs):
            if as_integer(pair_cost) < integer_limit:
                entries[column] = int(as_integer(pair_cost)) * base**rows + column * digit
        table.append(entries)
    chosen = hungarian(table)
    return [
        column if column < columns and as_integer(cost[row][column]) < integer_limit else None
        for row, column in enumerate(chosen)
    ]


def hungarian(cost: Sequence[Sequence[int]]) -> list[int]:
    """The column of each row in a complete assignment of minimal total; there are at least as many columns as rows.

    Row after row joins by a shortest augmenting path (Dijkstra over costs reduced by the prices of rows and columns).
    """
    rows = len(cost)
    columns = len(cost[0]) if rows else 0
    row_price = [0] * rows
    column_price = [0] * columns
    row_of: list[int | None] = [None] * columns
    column_of = [-1] * rows
    for newcomer in range(rows):
        distance: dict[int, int] = {}
        reached_from: dict[int, int] = {}
        settled: list[int] = []
        unsettled = set(range(columns))
        row, travelled = newcomer, 0
        while True:
            for column in unsettled:
                through = travelled + cost[row][column] - row_price[row] - column_price[column]
                if column not in distance or through < distance[column]:
                    distance[column] = through
                    reached_from[column] = row
            nearest = min(unsettled, key=distance.__getitem__)
            travelled = distance[nearest]
            owner = row_of[nearest]
            if owner is None:
                break
            settled.append(nearest)
            unsettled.remove(nearest)
            row = owner
        row_price[newcomer] += travelled
        for column in settled:
            owner = row_of[column]
            assert owner is not None
            row_price[owner] += travelled - distance[column]
            column_price[column] -= travelled - distance[column]
        column = nearest
        while column != -1:
            row = reached_from[column]
            row_of[column] = row
            column_of[row], column = column, column_of[row]
    return column_of


def assign_by_enumeration(cost: Sequence[Sequence[float]], limit: float) -> list[int | None]:
    """What `assign` returns, found by looking at every assignment there is: (M + 1)**N of them, so for tiny tables."""
    rows = len(cost)
    columns = len(cost[0]) if rows else 0
    integer_limit = as_integer(limit)
    best: tuple[float, tuple[int, ...]] | None = None
    for choices in itertools.product(range(columns + 1), repeat=rows):
        matched = [(row, column) for row, column in enumerate(choices) if column < columns]
        pair_costs = [as_integer(cost[row][column]) for row, column in matched]
        if len({column for _, column in matched}) < len(matched) or any(c >= integer_limit for c in pair_costs):
            continue
        candidate = (sum(pair_costs) + (rows - len(matched)) * integer_limit, choices)
        if best is None or candidate < best:
            best = candidate
    assert best is not None
    return [column if column < columns else None for column in best[1]]


def total(cost: Sequence[Sequence[float]], limit: float, chosen: Sequence[int | None]) -> int:
    """The integer total of an assignment, unmatched rows included."""
    return sum(int(as_integer(limit if column is None else cost[row][column])) for row, column in enumerate(chosen))
