"""The first gate: does a converted model see what its reference sees?

Embeddings are compared as the networks give them, before any L2 normalisation, because a wrong length hides behind a
cosine of one: a vendor that normalises across the batch, a halved scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.gates.report import GateReport, Status
from reidkit.runtime.errors import InvalidInput, NonFiniteEmbedding


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """How far a candidate's embeddings are from the reference's, over all crops.

    Attributes:
        crops: how many were compared.
        finite: whether every value of the candidate is finite; if not, the figures below are None.
        cosine_min: the worst cosine between the two embeddings of one crop.
        cosine_p01: its 1 % quantile.
        cosine_median: its median.
        norm_ratio_max_deviation: the largest ``|length of candidate / length of reference - 1|``.
        cosines: all of them, for a picture; not part of the JSON.
    """

    crops: int
    finite: bool
    cosine_min: float | None
    cosine_p01: float | None
    cosine_median: float | None
    norm_ratio_max_deviation: float | None
    cosines: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The figures, for JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "cosines"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingLimits:
    """What `embedding_gate` asks for: cosines at least, the deviation of lengths at most."""

    cosine_min: float
    cosine_p01: float
    cosine_median: float
    norm_ratio_max_deviation: float

    def with_headroom(self, share: float) -> EmbeddingLimits:
        """Limits that leave so much, 0 to 1, of what these allow unused."""
        used = 1 - share
        return EmbeddingLimits(
            cosine_min=1 - used * (1 - self.cosine_min),
            cosine_p01=1 - used * (1 - self.cosine_p01),
            cosine_median=1 - used * (1 - self.cosine_median),
            norm_ratio_max_deviation=used * self.norm_ratio_max_deviation,
        )


def compare_embeddings(reference: NDArray[np.floating[Any]], candidate: NDArray[np.floating[Any]]) -> ParityReport:
    """The agreement of two models on the same crops.

    Args:
        reference: (N, D), N at least 1, finite, no row of zeros.
        candidate: (N, D); what it holds is for the report to say.

    Raises:
        InvalidInput: the shapes differ, or the reference is not fit to be one.
    """
    if reference.shape != candidate.shape or reference.ndim != 2 or not len(reference):
        raise InvalidInput(f"embeddings to compare are two (N, D), found {reference.shape} and {candidate.shape}")
    reference, candidate = reference.astype(np.float64), candidate.astype(np.float64)
    lengths = np.linalg.norm(reference, axis=1)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise InvalidInput("the reference embeddings are not finite, or one has length zero")
    if not np.isfinite(candidate).all():
        return ParityReport(
            crops=len(reference),
            finite=False,
            cosine_min=None,
            cosine_p01=None,
            cosine_median=None,
            norm_ratio_max_deviation=None,
        )
    found = np.linalg.norm(candidate, axis=1)
    # An embedding of length zero points nowhere: its cosine counts as 0.
    cosines = (reference * candidate).sum(axis=1) / (lengths * np.where(found > 0, found, 1))
    return ParityReport(
        crops=len(reference),
        finite=True,
        cosine_min=float(cosines.min()),
        cosine_p01=float(np.quantile(cosines, 0.01)),
        cosine_median=float(np.median(cosines)),
        norm_ratio_max_deviation=float(np.abs(found / lengths - 1).max()),
        cosines=cosines,
    )


def answer_in_batches(
    embed: Callable[[NDArray[Any]], NDArray[np.float32]], crops: NDArray[Any], *, batch: int, dim: int
) -> NDArray[np.float32]:
    """What `embed` says of `crops`, `batch` at a time: (N, dim), NaN throughout where it says what is not finite."""
    try:
        return np.concatenate([embed(crops[start : start + batch]) for start in range(0, len(crops), batch)])
    except NonFiniteEmbedding:
        return np.full((len(crops), dim), np.nan, np.float32)


def embedding_gate(parity: ParityReport, limits: EmbeddingLimits, *, note: str = "") -> GateReport:
    """The verdict on a parity report; its principal measure is the worst cosine."""
    status: Status = "passed"
    decisive = "cosine_min"
    for measure in ("cosine_min", "cosine_p01", "cosine_median", "norm_ratio_max_deviation"):
        value, limit = getattr(parity, measure), getattr(limits, measure)
        if value is None or (value > limit if measure == "norm_ratio_max_deviation" else value < limit):
            status, decisive = "failed", measure
            break
    return GateReport(
        name="embedding",
        status=status,
        measure=decisive,
        value=getattr(parity, decisive),
        limit=getattr(limits, decisive),
        note=note,
        figures=parity.to_dict(),
    )
