"""Histograms of magnitudes, and how far a grid has to reach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidkit.calibration.quantization.layout import Layout
from reidkit.calibration.quantization.observers import BINS, OBSERVERS, Histogram, thresholds


def histogram_of(*batches: np.ndarray) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.add(batch.astype(np.float32))
    return histogram


def with_outlier() -> np.ndarray:
    """Twenty thousand values near 1, and one at 40."""
    return np.append(np.random.default_rng(0).normal(0, 1, 20_000), 40.0)


def test_extremes_are_those_of_all_values() -> None:
    values = np.random.default_rng(0).normal(0, 1, 200_000).astype(np.float32)
    values[77_777] = -9.5
    seen = histogram_of(values[:50_000], values[50_000:])
    assert (seen.low, seen.high) == (float(values.min()), float(values.max()))


def test_bins_widen_and_lose_nothing() -> None:
    seen = histogram_of(np.full(100, 1.0), np.full(50, 7.9))
    assert seen.counts.shape == (BINS,)
    assert seen.top == 8.0
    assert seen.counts.sum() == 150
    assert seen.counts[: BINS // 4].sum() == 100


def test_min_max_keeps_everything() -> None:
    assert thresholds(histogram_of(with_outlier()))["min-max"] == 40.0


@pytest.mark.parametrize("observer", ["percentile", "entropy"])
def test_some_give_an_outlier_up(observer: str) -> None:
    assert 2.0 < thresholds(histogram_of(with_outlier()))[observer] < 15.0


@pytest.mark.parametrize("observer", OBSERVERS)
def test_no_outlier_nothing_is_given_up(observer: str) -> None:
    values = np.random.default_rng(0).uniform(-3, 3, 30_000)
    assert thresholds(histogram_of(values))[observer] == pytest.approx(3.0, rel=0.02)


def test_entropy_searches_beyond_what_min_max_says() -> None:
    """ONNX Runtime's has one candidate by default, which is min-max."""
    rng = np.random.default_rng(1)
    found = thresholds(histogram_of(*(rng.laplace(0, 1, 30_000) for _ in range(20))))
    assert found["entropy"] < 0.9 * found["min-max"]


def test_mse_rounds_and_clips_as_little_as_any_threshold_does() -> None:
    values = np.random.default_rng(1).laplace(0, 1, 30_000)

    def error(threshold: float) -> float:
        step = threshold / 127
        return float(((np.clip(np.round(values / step), -127, 127) * step - values) ** 2).mean())

    seen = histogram_of(values)
    found = thresholds(seen)["mse"]
    assert found < seen.top
    assert error(found) <= 1.05 * min(error(share * seen.top) for share in np.linspace(0.1, 1, 50))


def test_what_is_always_zero_has_no_magnitude() -> None:
    assert set(thresholds(histogram_of(np.zeros(10))).values()) == {0.0}


ends = st.floats(-1e4, 1e4, width=32)


@given(a=ends, b=ends, share=st.floats(0, 1), layout=st.sampled_from(Layout))
def test_a_grid_rounds_what_is_in_its_range_by_half_a_step_at_most(
    a: float, b: float, share: float, layout: Layout
) -> None:
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    grid = layout.grid(low, high)
    least, most = (-127, 127) if grid.signed else (0, 255)
    value = low + share * (high - low)
    integer = np.clip(round(value / grid.scale) + grid.zero_point, least, most)
    # Half a step, and half of one more where rounding the zero point moved the ends.
    assert abs((integer - grid.zero_point) * grid.scale - value) <= grid.scale * (1.0 + 1e-6)
    assert least <= grid.zero_point <= most


def test_layouts_put_zero_where_their_library_wants_it() -> None:
    assert Layout.SIGNED.grid(0.0, 6.0).zero_point == 0
    assert Layout.SIGNED.grid(0.0, 6.0).signed
    assert Layout.HALVES.grid(0.0, 6.0).scale == pytest.approx(6 / 255)
    assert not Layout.HALVES.grid(0.0, 6.0).signed
    assert Layout.HALVES.grid(-1.0, 6.0).signed
    assert Layout.UNSIGNED.grid(-1.0, 4.1).zero_point == 50
