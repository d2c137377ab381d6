"""The second gate: does the network still find people in other cameras as its reference does?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.gates.limits import RetrievalLimits
from reidkit.calibration.gates.report import GateReport, at_most, not_run
from reidkit.calibration.metrics.retrieval import Gallery, score_retrieval
from reidkit.runtime.artifact.digests import sha256_of

NAME = "retrieval"
PRINCIPAL = "map_drop"
_RANKS = 50


@dataclass(frozen=True, slots=True, eq=False)
class RetrievalFigures:
    """What a network reaches on a gallery.

    Attributes:
        mean_average_precision: in percent.
        cmc: (K,) float64, the share in percent of queries that find the right person among the first k.
        queries: how many were counted.
    """

    mean_average_precision: float
    cmc: NDArray[np.float64]
    queries: int

    @staticmethod
    def of(gallery: Gallery, embeddings: NDArray[np.floating]) -> RetrievalFigures:
        """The figures of embeddings (N, D), one row per crop. Raises `InvalidInput` as `score_retrieval` does."""
        scores = score_retrieval(gallery, embeddings, ranks=_RANKS)
        return RetrievalFigures(100 * scores.mean_average_precision, 100 * scores.cmc, scores.queries)

    def to_dict(self) -> dict[str, Any]:
        """The figures that a gate's report keeps."""
        return {
            "map": self.mean_average_precision,
            "rank1": float(self.cmc[0]),
            "rank5": float(self.cmc[4]),
            "queries": self.queries,
        }


def digest_of(gallery: Gallery) -> str:
    """SHA-256 over the names and contents of a gallery's files: figures of one digest can be compared."""
    digest = hashlib.sha256()
    for path in gallery.paths:
        digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def retrieval_gate(
    candidate: RetrievalFigures,
    reference: Mapping[str, Any] | None,
    limits: RetrievalLimits,
    *,
    gallery: str,
    by: str,
) -> GateReport:
    """The verdict on what `candidate` lost.

    Args:
        candidate: what it reaches.
        reference: `map` and `rank1` of the reference on the same gallery; None where nobody knows them.
        limits: how much may be lost.
        gallery: digest of the gallery.
        by: what gave the reference's figures.
    """
    figures: dict[str, Any] = {**candidate.to_dict(), "gallery": gallery}
    if reference is None:
        why = f"mAP {candidate.mean_average_precision:.1f}, but no reference to hold it to: name one with --reference"
        return not_run(NAME, measure=PRINCIPAL, why=why, figures=figures)
    lost = {
        "map_drop": reference["map"] - candidate.mean_average_precision,
        "rank1_drop": reference["rank1"] - float(candidate.cmc[0]),
    }
    figures |= {"reference": {"by": by, "map": reference["map"], "rank1": reference["rank1"]}}
    note = (
        f"mAP {candidate.mean_average_precision:.1f}, rank-1 {candidate.cmc[0]:.1f}; "
        f"{by}: {reference['map']:.1f}, {reference['rank1']:.1f}"
    )
    held = [(measure, value, getattr(limits, measure)) for measure, value in lost.items()]
    return at_most(NAME, held, note=note, figures=figures)
