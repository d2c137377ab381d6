"""HOTA: detection, association and localisation in one number (Luiten et al., IJCV 2021).

Equal to TrackEval 1.3.0. Identities and tracks are first aligned over the whole sequence; the alignment then decides
who is paired with whom in each frame, and 19 thresholds of overlap decide which pairs are matches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.metrics.pairing import best_pairs
from reidkit.calibration.metrics.sequence import EPS, ScoredSequence

THRESHOLDS: NDArray[np.float64] = np.arange(0.05, 0.99, 0.05)
"""The overlaps from 0.05 to 0.95 at which everything is measured."""


@dataclass(frozen=True, slots=True, eq=False)
class HotaScores:
    """One value in [0, 1] per threshold, each (19,) float64; the usual single figure is their mean."""

    detection_recall: NDArray[np.float64]
    detection_precision: NDArray[np.float64]
    detection_accuracy: NDArray[np.float64]
    association_recall: NDArray[np.float64]
    association_precision: NDArray[np.float64]
    association_accuracy: NDArray[np.float64]
    localization_accuracy: NDArray[np.float64]

    @property
    def hota(self) -> NDArray[np.float64]:
        """The geometric mean of detection and association accuracy."""
        return np.sqrt(self.detection_accuracy * self.association_accuracy)


def score_hota(sequence: ScoredSequence) -> HotaScores:
    """HOTA and its parts."""
    truths, tracks, similarity = _pairs(sequence)
    pairs, pair_of_box = np.unique(np.stack([truths, tracks]), axis=1, return_inverse=True)
    reached = similarity >= THRESHOLDS[:, None] - EPS
    matches = np.stack([np.bincount(pair_of_box[row], minlength=pairs.shape[1]) for row in reached])
    true_positives = matches.sum(axis=1)

    truth_boxes, track_boxes = sequence.truth_lengths.sum(), sequence.track_lengths.sum()
    truth_lengths, track_lengths = sequence.truth_lengths[pairs[0]], sequence.track_lengths[pairs[1]]

    def over_matches(share: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of a pair's `share` over all its matched boxes."""
        return np.asarray((matches * share).sum(axis=1) / np.maximum(1, true_positives))

    return HotaScores(
        detection_recall=true_positives / np.maximum(1, truth_boxes),
        detection_precision=true_positives / np.maximum(1, track_boxes),
        detection_accuracy=true_positives / np.maximum(1, truth_boxes + track_boxes - true_positives),
        association_recall=over_matches(matches / truth_lengths),
        association_precision=over_matches(matches / track_lengths),
        association_accuracy=over_matches(matches / (truth_lengths + track_lengths - matches)),
        localization_accuracy=np.where(
            true_positives > 0, (reached * similarity).sum(axis=1) / np.maximum(1, true_positives), 1.0
        ),
    )


def _pairs(sequence: ScoredSequence) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Identity, track and overlap of each pair of boxes, over all frames: three arrays (P,)."""
    alignment = _global_alignment(sequence)
    truths, tracks, similarity = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for frame in sequence.frames:
        rows, columns = best_pairs(alignment[np.ix_(frame.truth_ids, frame.track_ids)] * frame.similarity)
        truths.append(frame.truth_ids[rows])
        tracks.append(frame.track_ids[columns])
        similarity.append(frame.similarity[rows, columns])
    return np.concatenate(truths), np.concatenate(tracks), np.concatenate(similarity)


def _global_alignment(sequence: ScoredSequence) -> NDArray[np.float64]:
    """(I, J): a soft intersection over union of each identity with each track, in frames."""
    together = np.zeros((len(sequence.truth_lengths), len(sequence.track_lengths)))
    for frame in sequence.frames:
        overlap = frame.similarity
        rivals = overlap.sum(axis=0) + overlap.sum(axis=1)[:, None] - overlap
        share = np.divide(overlap, rivals, out=np.zeros_like(overlap), where=rivals > EPS)
        together[np.ix_(frame.truth_ids, frame.track_ids)] += share
    return together / (sequence.truth_lengths[:, None] + sequence.track_lengths - together)
