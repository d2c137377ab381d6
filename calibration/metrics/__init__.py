"""How good tracks and embeddings are, in NumPy: HOTA, CLEAR MOT, identity metrics and retrieval."""

from reidkit.calibration.metrics.retrieval import Gallery, RetrievalScores, read_gallery, score_retrieval
from reidkit.calibration.metrics.sequence import Benchmark
from reidkit.calibration.metrics.tracking import TrackingScores, score_tracking

__all__ = [
    "Benchmark",
    "Gallery",
    "RetrievalScores",
    "TrackingScores",
    "read_gallery",
    "score_retrieval",
    "score_tracking",
]
