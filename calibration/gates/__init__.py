"""Gates: an export may fail. Each measures one thing, has its limits in one place, and reports figures."""

from reidkit.calibration.gates.embedding import (
    EmbeddingLimits,
    ParityReport,
    answer_in_batches,
    compare_embeddings,
    embedding_gate,
)
from reidkit.calibration.gates.limits import DEFAULT_LIMITS, EMBEDDING_LIMITS, GateLimits, read_limits
from reidkit.calibration.gates.report import GateReport

__all__ = [
    "DEFAULT_LIMITS",
    "EMBEDDING_LIMITS",
    "EmbeddingLimits",
    "GateLimits",
    "GateReport",
    "ParityReport",
    "answer_in_batches",
    "compare_embeddings",
    "embedding_gate",
    "read_limits",
]
