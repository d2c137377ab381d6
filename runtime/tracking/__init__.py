"""BoT-SORT: detections and embeddings in, tracks out.

Reference: Aharon, Orfaig, Bobrovsky, "BoT-SORT: Robust Associations Multi-Pedestrian Tracking", arXiv 2206.14651.
"""

from reidkit.runtime.tracking.botsort import BotSort
from reidkit.runtime.tracking.camera_motion import CameraMotion
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.state import AppearanceCounts
from reidkit.runtime.tracking.tracks import Track, Tracks, TrackState

__all__ = ["AppearanceCounts", "BotSort", "BotSortConfig", "CameraMotion", "Track", "TrackState", "Tracks"]
