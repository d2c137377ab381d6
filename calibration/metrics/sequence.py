"""What all tracking metrics look at: identities, tracks and their overlap, frame by frame, after the clean-up.

    truth  ──┐  benchmark's rules: who counts,
    tracks ──┴─ which tracks follow a distractor ──► ScoredSequence ──► hota, clear, identity

The rules are MOTChallenge's as TrackEval 1.3.0 applies them. Order within a frame is the files': it decides ties.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.metrics.pairing import best_pairs
from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.video.mot_files import MotTable

EPS = float(np.finfo(float).eps)
"""What a similarity may fall short of its threshold and still reach it."""

_PEDESTRIAN = 1
_CLASSES = range(1, 14)
_SAME_BOX = 0.5


class Benchmark(str, Enum):
    """Whose rules say which boxes count.

    MOT15: the 7th column of the ground truth is 0 for boxes to ignore, and there are no classes. MOT17 (and MOT16): the
    8th is a class. Tracks that overlap a distractor best (a person on a vehicle or standing for long, a reflection, a
    mannequin) are removed, then all but pedestrians. MOT20: non-motorised vehicles are distractors too.
    """

    MOT15 = "mot15"
    MOT17 = "mot17"
    MOT20 = "mot20"

    @staticmethod
    def of(truth: MotTable) -> Benchmark:
        """MOT17 where the ground truth has classes, else MOT15; MOT20's files look like MOT17's and must be named."""
        return Benchmark.MOT17 if np.any(truth.classes != -1) else Benchmark.MOT15

    @property
    def distractors(self) -> tuple[int, ...]:
        """Classes which a tracker is neither asked to follow nor blamed for following."""
        return {Benchmark.MOT15: (), Benchmark.MOT17: (2, 7, 8, 12), Benchmark.MOT20: (2, 6, 7, 8, 12)}[self]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredFrame:
    """One frame in which there is both somebody and a track.

    Attributes:
        truth_ids: (G,) int64, counted from 0 over the sequence, each at most once.
        track_ids: (T,) int64, likewise.
        similarity: (G, T) float64, intersection over union in [0, 1].
    """

    truth_ids: NDArray[np.int64]
    track_ids: NDArray[np.int64]
    similarity: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSequence:
    """Everything the metrics need of a sequence.

    Attributes:
        frames: those with ground truth and tracks, in order of time; of the others only the boxes are counted.
        truth_lengths: (I,) int64, boxes of each identity.
        track_lengths: (J,) int64, boxes of each track.
    """

    frames: tuple[ScoredFrame, ...]
    truth_lengths: NDArray[np.int64]
    track_lengths: NDArray[np.int64]


def build_sequence(truth: MotTable, tracks: MotTable, *, benchmark: Benchmark) -> ScoredSequence:
    """The sequence as `benchmark` wants it judged.

    Raises:
        InvalidInput: classes that the benchmark does not know, or no box in the ground truth that counts.
    """
    counts = truth.scores.astype(np.int64) != 0
    if benchmark is not Benchmark.MOT15:
        _check_classes(truth, tracks, benchmark)
        counts &= truth.classes == _PEDESTRIAN
    if not counts.any():
        raise InvalidInput(
            f"none of the {len(truth)} boxes in the ground truth counts by the rules of {benchmark.value}",
            remedy="the 7th column must be 1 and the class, where there is one, 1",
        )
    kept = np.ones(len(tracks), dtype=bool)
    overlaps = []
    for truth_rows, track_rows in _common_frames(truth.frames, tracks.frames):
        similarity = intersection_over_union(truth.boxes_xywh[truth_rows], tracks.boxes_xywh[track_rows])
        if benchmark.distractors:
            rows, columns = best_pairs(np.where(similarity >= _SAME_BOX - EPS, similarity, 0.0))
            distracted = np.isin(truth.classes[truth_rows[rows]], benchmark.distractors)
            kept[track_rows[columns[distracted]]] = False
        overlaps.append((truth_rows, track_rows, similarity))
    truth_ids, truth_lengths = _count_from_zero(truth.ids, counts)
    track_ids, track_lengths = _count_from_zero(tracks.ids, kept)
    frames = []
    for truth_rows, track_rows, similarity in overlaps:
        row, column = counts[truth_rows], kept[track_rows]
        if row.any() and column.any():
            frames.append(
                ScoredFrame(truth_ids[truth_rows[row]], track_ids[track_rows[column]], similarity[np.ix_(row, column)])
            )
    return ScoredSequence(tuple(frames), truth_lengths, track_lengths)


def intersection_over_union(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) float64 of (N, 4) and (M, 4) boxes_xywh; 0 where a box has no area."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum((first[:, :2] + first[:, 2:])[:, None], (second[:, :2] + second[:, 2:])[None])
    intersection = np.maximum(high - low, 0.0).prod(axis=2)
    union = _areas(first)[:, None] + _areas(second)[None] - intersection
    overlap: NDArray[np.float64] = np.divide(intersection, union, out=np.zeros_like(union), where=union > EPS)
    return overlap


def _areas(boxes_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas between the corners as rounded, so that a box overlaps itself by exactly 1."""
    low = boxes_xywh[:, :2]
    areas: NDArray[np.float64] = (low + boxes_xywh[:, 2:] - low).prod(axis=1)
    return areas


def _common_frames(
    truth_frames: NDArray[np.int64], track_frames: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """For each frame that both have, the rows of each in their own order."""
    truth_order, track_order = (np.argsort(frames, kind="stable") for frames in (truth_frames, track_frames))
    common = np.intersect1d(truth_frames, track_frames)
    bounds = [
        np.searchsorted(frames, common, side=side)
        for frames in (truth_frames[truth_order], track_frames[track_order])
        for side in ("left", "right")
    ]
    for truth_start, truth_end, track_start, track_end in zip(*bounds, strict=True):
        yield truth_order[truth_start:truth_end], track_order[track_start:track_end]


def _count_from_zero(
    ids: NDArray[np.int64], selected: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Consecutive numbers for the selected ids, -1 elsewhere; and how often each number occurs."""
    numbers = np.full(len(ids), -1, dtype=np.int64)
    _, numbers[selected], lengths = np.unique(ids[selected], return_inverse=True, return_counts=True)
    return numbers, lengths


def _check_classes(truth: MotTable, tracks: MotTable, benchmark: Benchmark) -> None:
    unknown = np.setdiff1d(truth.classes, _CLASSES)
    if unknown.size:
        raise InvalidInput(
            f"the rules of {benchmark.value} want classes 1 to 13 in the ground truth's 8th column, found {unknown[0]}",
            remedy="name the benchmark mot15 if there are no classes",
        )
    others = tracks.classes[tracks.classes > _PEDESTRIAN]
    if others.size:
        raise InvalidInput(
            f"the tracks hold class {others[0]}, and {benchmark.value} judges pedestrians (class 1) alone",
            remedy="remove the other classes",
        )
