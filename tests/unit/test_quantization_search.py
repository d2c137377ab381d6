"""The search for what has to stay in float, over networks whose damage is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from reidkit.calibration.gates import ParityReport
from reidkit.calibration.quantization import SearchTrace, grouped, search

DAMAGE = {"stem": 0.001, "first": 0.002, "second": 0.03, "third": 0.002, "last": 0.012}
GROUPS = {name: [f"{name}.0", f"{name}.1"] for name in DAMAGE}
WORK = {one: 1.0 for group in GROUPS.values() for one in group}


def parity_of(products: list[str]) -> ParityReport:
    """Damages add up."""
    cosine = 1 - sum(DAMAGE[one.partition(".")[0]] / 2 for one in products)
    return ParityReport(
        crops=1,
        finite=True,
        cosine_min=cosine,
        cosine_p01=cosine,
        cosine_median=cosine,
        norm_ratio_max_deviation=0.0,
    )


def search_for(limit: float, *, budget_s: float = 1e9, seconds: float = 1.0) -> SearchTrace:
    ticks: Iterator[float] = iter(range(10_000))
    passes: Callable[[ParityReport], bool] = lambda parity: parity.cosine_min >= limit  # noqa: E731
    return search(
        GROUPS, WORK, measure=parity_of, passes=passes, budget_s=budget_s, clock=lambda: seconds * next(ticks)
    )


def test_where_all_of_it_passes_nothing_else_is_tried() -> None:
    trace = search_for(0.9)
    assert (trace.outcome, trace.in_float, len(trace.trials), trace.damage) == ("all in int8", [], 1, {})
    assert trace.found


@pytest.mark.parametrize(
    ("limit", "in_float"), [(0.98, ["second"]), (0.99, ["second", "last"]), (0.997, ["second", "last", "first"])]
)
def test_no_more_goes_back_than_has_to(limit: float, in_float: list[str]) -> None:
    trace = search_for(limit)
    assert trace.outcome == "some in float"
    assert trace.in_float == in_float
    assert trace.trials[0].in_float == []
    assert len({frozenset(trial.in_float) for trial in trace.trials}) == len(trace.trials)  # nothing twice
    assert any(trial.passed and sorted(trial.in_float) == sorted(in_float) for trial in trace.trials)


def test_damage_is_that_of_each_group_alone() -> None:
    assert search_for(0.98).damage == pytest.approx(DAMAGE)


def test_all_in_float_is_no_mixture() -> None:
    trace = search_for(1.0)
    assert (trace.outcome, trace.found, trace.in_float) == ("none found", False, [])


def test_the_budget_ends_it() -> None:
    trace = search_for(0.98, budget_s=3.0)
    assert trace.outcome == "out of time"
    assert not trace.found
    assert len(trace.trials) == 1


def test_a_trace_is_json_all_through() -> None:
    assert json.loads(json.dumps(search_for(0.98).to_dict()))["in_float"] == ["second"]


def test_groups_are_modules_as_deep_as_there_are_not_too_many() -> None:
    modules = {f"p{block}.{layer}": f"net.block{block}.conv{layer}/node" for block in range(10) for layer in range(4)}
    groups = grouped(modules)
    assert list(groups) == [f"net.block{block}" for block in range(10)]
    assert groups["net.block3"] == [f"p3.{layer}" for layer in range(4)]


def test_without_modules_neighbours_are_a_group() -> None:
    groups = grouped({f"p{place}": f"Conv_{place}" for place in range(40)})
    assert len(groups) == 16
    assert [one for group in groups.values() for one in group] == [f"p{place}" for place in range(40)]
