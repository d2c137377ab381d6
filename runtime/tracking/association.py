"""Costs of matching tracks with detections: overlap, and appearance where it may decide.

Assignment itself is native (`reidkit.runtime.native.assign`): exact, and canonical where several answers are optimal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.native import assign, cosines

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AppearanceRule:
    """How an appearance becomes a cost (arXiv 2206.14651, section 3.3): when it may, and how much it weighs."""

    min_iou: float
    min_cosine: float
    cost_scale: float
    temperature: float | None


@dataclass(frozen=True, slots=True)
class Matching:
    """Matched pairs, as ascending rows of tracks and their columns, and what appearance had to do with it.

    `decided` counts pairs whose cost came from appearance, `changed` tracks that overlap alone would have given another
    detection or none, `vetoed` tracks that overlap alone would have matched and appearance left without a detection.
    """

    rows: Indices
    columns: Indices
    decided: int = 0
    changed: int = 0
    vetoed: int = 0


def match_by_overlap(distance: Array, limit: float) -> Matching:
    """Match by (N, M) `distance` alone, below `limit`."""
    return Matching(*assign(distance, limit))


def match(
    distance: Array,
    limit: float,
    *,
    scores: Array | None,
    track_embeddings: Array,
    track_rows: Indices,
    detection_embeddings: Array,
    detection_rows: Indices,
    rule: AppearanceRule,
) -> Matching:
    """Match by overlap and appearance.

    Args:
        distance: (N, M) ``1 - IoU``; overwritten.
        limit: largest cost of a match.
        scores: (M,) detection scores to fuse into the overlap, or None.
        track_embeddings: (C, D) unit vectors.
        track_rows: (N,) each track's row of them, -1 where it has none.
        detection_embeddings: (E, D) unit vectors.
        detection_rows: (M,) each detection's row of them, -1 where it has none.
        rule: when appearance may decide, and its cost.
    """
    near = distance <= 1 - rule.min_iou
    near[track_rows < 0] = False
    near[:, detection_rows < 0] = False
    rows, columns = np.nonzero(near)
    if scores is not None:
        distance = _fuse(distance, scores)
    if not rows.size:
        return match_by_overlap(distance, limit)
    cosine = cosines(track_embeddings, track_rows[rows], detection_embeddings, detection_rows[columns])
    if rule.temperature is not None:
        cosine = _lower_look_alikes(cosine, rows, columns, distance.shape, rule.temperature)
    appearance = np.maximum(rule.cost_scale * (1 - cosine), 0)
    overlap = distance[rows, columns]
    better = (cosine >= rule.min_cosine) & (appearance < overlap)
    if not better.any():
        return match_by_overlap(distance, limit)
    rows, columns = rows[better], columns[better]
    cost = distance.copy()
    cost[rows, columns] = appearance[better]
    matched, alone = match_by_overlap(cost, limit), match_by_overlap(distance, limit)
    decided = int(np.count_nonzero(cost[matched.rows, matched.columns] < distance[matched.rows, matched.columns]))
    given, expected = _columns_of(matched, len(cost)), _columns_of(alone, len(cost))
    changed = int(np.count_nonzero((given >= 0) & (given != expected)))
    vetoed = int(np.count_nonzero((given < 0) & (expected >= 0)))
    return Matching(matched.rows, matched.columns, decided, changed, vetoed)


def _fuse(distance: Array, scores: Array) -> Array:
    """``1 - IoU * score``, in the caller's memory."""
    np.subtract(1, distance, out=distance)
    distance *= scores
    return np.subtract(1, distance, out=distance)


def _lower_look_alikes(
    cosine: Array, rows: Indices, columns: Indices, shape: tuple[int, ...], temperature: float
) -> Array:
    """Each cosine times the mean share of its pair in the softmaxes of its row and of its column.

    A pair without rivals keeps its cosine; two equal rivals keep half of it.
    """
    odds = np.full(shape, -np.inf)
    odds[rows, columns] = cosine / temperature
    share = np.zeros(len(rows))
    for axis in (0, 1):
        peak = odds.max(axis=axis, keepdims=True)
        weight = np.exp(odds - np.where(np.isfinite(peak), peak, 0))
        total = weight.sum(axis=axis, keepdims=True)
        share += (weight / np.where(total > 0, total, 1))[rows, columns]
    return np.where(cosine > 0, cosine * share / 2, cosine)


def _columns_of(matching: Matching, count: int) -> Indices:
    """(count,) column that each row was matched with, -1 where none."""
    columns = np.full(count, -1, np.int64)
    columns[matching.rows] = matching.columns
    return columns
