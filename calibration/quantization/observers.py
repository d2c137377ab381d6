"""How far a tensor's grid has to reach: values beyond are clipped, and the farther it reaches the coarser it is.

A histogram of magnitudes is filled as the crops go by; each observer reads from it the largest magnitude to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

BINS = 2048
LEVELS = 128
"""Magnitudes that eight bits with a sign tell apart."""
PERCENTILE = 99.99

_SAMPLED = 1 << 15
"""Values of a tensor that are counted at a time, evenly spread over it; its extremes are those of all."""

Counts = NDArray[np.float64]


class Histogram:
    """Magnitudes of a tensor, counted in 2048 bins from 0; and its extremes, and those of its channels.

    Attributes:
        low: the smallest value.
        high: the largest.
        top: the upper end of the last bin.
        counts: (2048,) values by magnitude.
    """

    def __init__(self) -> None:
        self.low, self.high, self.top = np.inf, -np.inf, 0.0
        self.counts: Counts = np.zeros(BINS)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count `values`, of any shape and finite."""
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self._reach(max(-self.low, self.high))
        if self.top:
            flat = values.reshape(-1)
            sample = np.abs(flat[:: -(-flat.size // _SAMPLED)])
            places = np.minimum((sample * (BINS / self.top)).astype(np.int64), BINS - 1)
            self.counts += np.bincount(places, minlength=BINS)

    def _reach(self, magnitude: float) -> None:
        """Widen the bins until `magnitude` is in one of them: two become one, as often as need be."""
        if not self.top:
            self.top = magnitude
        while self.top < magnitude:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([merged, np.zeros(BINS // 2)])
            self.top *= 2


def _min_max(histogram: Histogram) -> float:
    """Everything that was seen."""
    return max(-histogram.low, histogram.high)


def _percentile(histogram: Histogram) -> float:
    """All but one magnitude in ten thousand."""
    share = np.cumsum(histogram.counts) / histogram.counts.sum()
    return float(histogram.top * (np.searchsorted(share, PERCENTILE / 100) + 1) / BINS)


def _entropy(histogram: Histogram) -> float:
    """Where the clipped and rounded distribution tells most of the true one: least Kullback-Leibler divergence.

    Every end from 128 bins on is tried. (Migacz, "8-bit inference with TensorRT", GTC 2017.)
    """
    counts = histogram.counts.copy()
    counts[0] = counts[1]  # zeros of a ReLU are exact on every grid and would drown the rest
    ends = np.arange(LEVELS, BINS + 1, 16)
    return _end(histogram, ends, [_divergence(counts, end) for end in ends.tolist()])


def _divergence(counts: Counts, end: int) -> float:
    kept = counts[:end].copy()
    kept[-1] += counts[end:].sum()
    groups = np.arange(end) * LEVELS // end
    occupied = counts[:end] > 0
    number = np.bincount(groups, occupied, minlength=LEVELS)
    rounded = (np.bincount(groups, counts[:end], minlength=LEVELS) / np.maximum(number, 1))[groups] * occupied
    if not rounded.sum():
        return np.inf
    p, q = kept / kept.sum(), rounded / rounded.sum()
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-12))).sum())


def _mean_square(histogram: Histogram) -> float:
    """Where rounding and clipping together err least, in the mean of squares."""
    centers = (np.arange(BINS) + 0.5) / BINS
    ends = np.arange(LEVELS, BINS + 1, 16)
    errors = []
    for end in ends / BINS:
        step = end / (LEVELS - 1)
        kept = np.minimum(np.round(centers / step), LEVELS - 1) * step
        # Within a bin values are spread, so that one finer than a step is not on the grid by chance.
        spread = np.where(centers < end, step**2 / 12, 0.0)
        errors.append(float((histogram.counts * np.maximum((centers - kept) ** 2, spread)).sum()))
    return _end(histogram, ends, errors)


def _end(histogram: Histogram, ends: NDArray[np.int64], errors: list[float]) -> float:
    return float(histogram.top * ends[int(np.argmin(errors))] / BINS)


OBSERVERS: Mapping[str, Callable[[Histogram], float]] = {
    "min-max": _min_max,
    "percentile": _percentile,
    "entropy": _entropy,
    "mse": _mean_square,
}
"""Largest magnitude to keep, by the name of what decides it."""


def thresholds(histogram: Histogram) -> dict[str, float]:
    """What each observer says, at most the largest magnitude there is."""
    if not histogram.top:
        return dict.fromkeys(OBSERVERS, 0.0)
    largest = _min_max(histogram)
    return {name: min(observe(histogram), largest) for name, observe in OBSERVERS.items()}
