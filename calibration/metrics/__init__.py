"""How good embeddings are, in NumPy: retrieval."""

from reidkit.calibration.metrics.retrieval import Gallery, RetrievalScores, read_gallery, score_retrieval

__all__ = ["Gallery", "RetrievalScores", "read_gallery", "score_retrieval"]
