"""All tracking metrics of a sequence at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.metrics.clear import ClearScores, score_clear
from reidkit.calibration.metrics.hota import HotaScores, score_hota
from reidkit.calibration.metrics.identity import IdentityScores, score_identity
from reidkit.calibration.metrics.sequence import Benchmark, build_sequence
from reidkit.runtime.video.mot_files import MotTable


@dataclass(frozen=True, slots=True)
class TrackingScores:
    """HOTA, CLEAR MOT and identity metrics, and by whose rules."""

    benchmark: Benchmark
    hota: HotaScores
    clear: ClearScores
    identity: IdentityScores

    def percentages(self) -> dict[str, float]:
        """The shares under the names people know them by, in percent."""

        def mean(scores: NDArray[np.float64]) -> float:
            return float(scores.mean())

        shares = {
            "HOTA": mean(self.hota.hota),
            "DetA": mean(self.hota.detection_accuracy),
            "AssA": mean(self.hota.association_accuracy),
            "LocA": mean(self.hota.localization_accuracy),
            "IDF1": self.identity.idf1,
            "IDP": self.identity.precision,
            "IDR": self.identity.recall,
            "MOTA": self.clear.mota,
            "MOTP": self.clear.motp,
        }
        return {name: 100.0 * share for name, share in shares.items()}

    def counts(self) -> dict[str, int]:
        """The counts under the names people know them by."""
        return {
            "IDSW": self.clear.id_switches,
            "Frag": self.clear.fragmentations,
            "FP": self.clear.false_positives,
            "FN": self.clear.false_negatives,
            "MT": self.clear.mostly_tracked,
            "PT": self.clear.partly_tracked,
            "ML": self.clear.mostly_lost,
        }


def score_tracking(truth: MotTable, tracks: MotTable, *, benchmark: Benchmark | None = None) -> TrackingScores:
    """How well `tracks` follow the people of `truth`.

    Args:
        truth: ground truth with at least one box that counts.
        tracks: a tracker's output; may be empty.
        benchmark: whose rules; None chooses by the ground truth's columns (`Benchmark.of`).

    Raises:
        InvalidInput: as `build_sequence`.
    """
    benchmark = benchmark or Benchmark.of(truth)
    sequence = build_sequence(truth, tracks, benchmark=benchmark)
    return TrackingScores(benchmark, score_hota(sequence), score_clear(sequence), score_identity(sequence))
