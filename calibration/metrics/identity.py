"""Identity metrics: how much of each person one single track keeps (Ristani et al., ECCV Workshops 2016).

Equal to TrackEval 1.3.0: identities and tracks are paired one to one over the whole sequence so that as many boxes as
possible overlap by half within the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reidkit.calibration.metrics.sequence import ScoredSequence
from reidkit.runtime.native import assign

_THRESHOLD = 0.5
_UNIT = 2.0**-20  # brings counts of boxes into the range of `assign`, without rounding


@dataclass(frozen=True, slots=True)
class IdentityScores:
    """Boxes within and outside the pairs of identity and track."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def idf1(self) -> float:
        """The harmonic mean of precision and recall."""
        errors = self.false_positives + self.false_negatives
        return self.true_positives / max(1.0, self.true_positives + 0.5 * errors)

    @property
    def precision(self) -> float:
        """IDP: the share of track boxes that are within a pair; 0 without tracks."""
        return self.true_positives / max(1, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """IDR: the share of ground-truth boxes that are within a pair."""
        return self.true_positives / max(1, self.true_positives + self.false_negatives)


def score_identity(sequence: ScoredSequence) -> IdentityScores:
    """IDF1, IDP and IDR."""
    together = np.zeros((len(sequence.truth_lengths), len(sequence.track_lengths)))
    for frame in sequence.frames:
        together[np.ix_(frame.truth_ids, frame.track_ids)] += frame.similarity >= _THRESHOLD
    true_positives = int(together[assign(-_UNIT * together, 0.0)].sum())
    return IdentityScores(
        true_positives=true_positives,
        false_positives=int(sequence.track_lengths.sum()) - true_positives,
        false_negatives=int(sequence.truth_lengths.sum()) - true_positives,
    )
