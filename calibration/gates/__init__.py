"""Gates: an export may fail. Each measures one thing, has its limits in one place, and reports figures."""

from reidkit.calibration.gates.embedding import (
    EMBEDDING_LIMITS,
    EmbeddingLimits,
    GateReport,
    ParityReport,
    compare_embeddings,
    embedding_gate,
)

__all__ = [
    "EMBEDDING_LIMITS",
    "EmbeddingLimits",
    "GateReport",
    "ParityReport",
    "compare_embeddings",
    "embedding_gate",
]
