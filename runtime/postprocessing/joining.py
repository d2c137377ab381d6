"""Tracklets of one person found again by appearance, when both sides of the gap are known.

A tracker decides in the instant; afterwards there is a whole tracklet to compare with, and the joins can be made in
peace: of all pairs that may be one person, those without a rival are joined, neighbours in time first, and all is asked
again of what they have become. A rival is a stranger to one of the two who is nearly as much like the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.postprocessing.tracklets import Tracklet
from reidkit.runtime.tracking.likeness import IMPOSSIBLE, certain_pairs, likeness
from reidkit.runtime.tracking.long_term import at_border, reachable

_PACE_FRAMES = 5
"""Frames at the end of a tracklet that tell its speed."""

Embeddings = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinSettings:
    """When two tracklets are one person's.

    Attributes:
        min_cosine: the mean of best and average cosine between their embeddings, at least.
        margin: by how much every rival of either must stay below.
        max_gap_s: seconds between the end of one and the beginning of the other, at most.
        max_speed: how fast the person may have moved meanwhile, in box heights per second.
        reentry: whether who left the picture may come back; False: they have left, and whoever comes in is new.
    """

    min_cosine: float
    margin: float = 0.05
    max_gap_s: float = 15.0
    max_speed: float = 2.0
    reentry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Two tracklets that became one: their ids, the frames missing between them, and how alike they are."""

    id: int
    joined_id: int
    gap: int
    cosine: float


def join_tracklets(
    tracklets: Sequence[Tracklet],
    embeddings: Sequence[Embeddings],
    settings: JoinSettings,
    *,
    frame_rate: float,
    size: tuple[int, int],
) -> tuple[list[Tracklet], list[Join]]:
    """Tracklets with those joined that are one person's, and which those were; a joined one keeps the earlier id.

    Args:
        tracklets: of one video.
        embeddings: (K, D) float32 unit embeddings of each, K may be 0: then it stays alone.
        settings: when to join.
        frame_rate: frames per second.
        size: width and height of a frame.
    """
    parts = list(zip(tracklets, embeddings, strict=True))
    joins: list[Join] = []
    while True:
        parts.sort(key=lambda part: (int(part[0].frames[0]), part[0].id))
        found = _certain_pairs(parts, settings, frame_rate, size)
        if not found:
            return sorted((part[0] for part in parts), key=lambda part: part.id), joins
        for first, second, join in found:
            parts[first] = (Tracklet.join(parts[first][0], parts[second][0]), _both(parts[first][1], parts[second][1]))
            joins.append(join)
        gone = {second for _, second, _ in found}
        parts = [part for row, part in enumerate(parts) if row not in gone]


def _certain_pairs(
    parts: list[tuple[Tracklet, Embeddings]], settings: JoinSettings, frame_rate: float, size: tuple[int, int]
) -> list[tuple[int, int, Join]]:
    """Rows of pairs to join now, no row twice: of each chain of joins the links that do not touch."""
    if not parts:
        return []
    first_frames = np.array([part.frames[0] for part, _ in parts])
    last_frames = np.array([part.frames[-1] for part, _ in parts])
    gaps = first_frames[None, :] - last_frames[:, None] - 1
    allowed = (gaps >= 0) & (gaps <= settings.max_gap_s * frame_rate)
    begins = _centred(np.stack([part.boxes_xyxy[0] for part, _ in parts]))
    if not settings.reentry:
        ends = _centred(np.stack([part.boxes_xyxy[-1] for part, _ in parts]))
        width, height = size
        allowed &= ~at_border(ends, width=width, height=height)[:, None]
        allowed &= ~at_border(begins, width=width, height=height)
    for row, (part, _) in enumerate(parts):
        later = np.flatnonzero(allowed[row])
        allowed[row, later] = _may_have_walked(part, begins[later], gaps[row, later], settings, frame_rate)
    alike = np.full(allowed.shape, IMPOSSIBLE)
    for row, column in zip(*np.nonzero(allowed), strict=True):
        if len(parts[row][1]) and len(parts[column][1]):
            alike[row, column] = likeness(parts[row][1] @ parts[column][1].T)
    pairs: list[tuple[int, int, Join]] = []
    taken: set[int] = set()
    certain = certain_pairs(alike, min_cosine=settings.min_cosine, margin=settings.margin)
    for gap, row, column in sorted((int(gaps[pair]), *pair) for pair in certain):
        if row not in taken and column not in taken:
            taken |= {row, column}
            first, second = parts[row][0].id, parts[column][0].id
            pairs.append((row, column, Join(id=first, joined_id=second, gap=gap, cosine=float(alike[row, column]))))
    return pairs


def _may_have_walked(
    tracklet: Tracklet,
    firsts: NDArray[np.float64],
    gaps: NDArray[np.int64],
    settings: JoinSettings,
    frame_rate: float,
) -> NDArray[np.bool_]:
    """(N,) whether who ended a tracklet can have reached (N, 4) ``[cx, cy, w, h]`` after (N,) missing frames."""
    ends = _centred(tracklet.boxes_xyxy[-_PACE_FRAMES:])
    span = tracklet.frames[-1] - tracklet.frames[-len(ends)]
    pace = (ends[-1, :2] - ends[0, :2]) / span if span else np.zeros(2)
    predicted = np.tile(ends[-1], (len(firsts), 1))
    predicted[:, :2] += pace * (gaps[:, None] + 1)
    return np.array(
        [
            reachable(
                ends[-1:],
                predicted[row : row + 1],
                firsts[row : row + 1],
                gaps[row : row + 1] + 1,
                max_speed=settings.max_speed,
                frame_rate=frame_rate,
            )[0, 0]
            for row in range(len(firsts))
        ]
    )


def _centred(boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners as ``[cx, cy, w, h]``."""
    sizes = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    return np.concatenate([boxes_xyxy[:, :2] + sizes / 2, sizes], axis=1)


def _both(first: Embeddings, second: Embeddings) -> Embeddings:
    return np.concatenate([first, second])
