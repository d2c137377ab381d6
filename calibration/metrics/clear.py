"""CLEAR MOT: misses, false alarms and identity switches (Bernardin and Stiefelhagen, EURASIP JIVP 2008).

Equal to TrackEval 1.3.0: in each frame, pairs of the frame before go first where they still overlap by half, then the
largest total overlap wins. A switch is told from the last track an identity had, however long ago.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.metrics.pairing import best_pairs
from reidkit.calibration.metrics.sequence import EPS, ScoredSequence

_THRESHOLD = 0.5
_CONTINUATION = 1000.0  # outweighs the overlaps of a whole frame
_NOBODY = -1


@dataclass(frozen=True, slots=True)
class ClearScores:
    """Counts over the sequence, and what follows from them.

    Attributes:
        overlap: total intersection over union of the true positives.
        fragmentations: how often an identity is found again after having been lost.
        mostly_tracked: identities found in more than 80 % of their boxes.
        partly_tracked: those between.
        mostly_lost: identities found in less than 20 % of their boxes.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    id_switches: int
    fragmentations: int
    mostly_tracked: int
    partly_tracked: int
    mostly_lost: int
    overlap: float

    @property
    def mota(self) -> float:
        """Accuracy: 1 less all errors per ground-truth box; may be negative."""
        errors = self.false_positives + self.id_switches
        return (self.true_positives - errors) / max(1, self.true_positives + self.false_negatives)

    @property
    def motp(self) -> float:
        """Precision: the mean overlap of the true positives; 0 without any."""
        return self.overlap / max(1, self.true_positives)


def score_clear(sequence: ScoredSequence) -> ClearScores:
    """The CLEAR MOT metrics."""
    identities = len(sequence.truth_lengths)
    last_track = np.full(identities, _NOBODY)
    track_before = np.full(identities, _NOBODY)  # in the previous frame with truth and tracks
    found = np.zeros(identities, np.int64)
    stretches = np.zeros(identities, np.int64)
    switches, overlap = 0, 0.0
    for frame in sequence.frames:
        continued = track_before[frame.truth_ids, None] == frame.track_ids
        rows, columns = best_pairs(
            np.where(frame.similarity >= _THRESHOLD - EPS, _CONTINUATION * continued + frame.similarity, 0.0)
        )
        truths, tracks = frame.truth_ids[rows], frame.track_ids[columns]
        switches += int(np.sum((last_track[truths] != _NOBODY) & (last_track[truths] != tracks)))
        overlap += float(frame.similarity[rows, columns].sum())
        found[truths] += 1
        stretches[truths] += track_before[truths] == _NOBODY
        last_track[truths] = tracks
        track_before[:] = _NOBODY
        track_before[truths] = tracks
    true_positives = int(found.sum())
    share: NDArray[np.float64] = found / sequence.truth_lengths
    mostly_tracked, mostly_lost = int(np.sum(share > 0.8)), int(np.sum(share < 0.2))
    return ClearScores(
        true_positives=true_positives,
        false_positives=int(sequence.track_lengths.sum()) - true_positives,
        false_negatives=int(sequence.truth_lengths.sum()) - true_positives,
        id_switches=switches,
        fragmentations=int(np.maximum(stretches - 1, 0).sum()),
        mostly_tracked=mostly_tracked,
        partly_tracked=identities - mostly_tracked - mostly_lost,
        mostly_lost=mostly_lost,
        overlap=overlap,
    )
