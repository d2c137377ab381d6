"""What can be done better once a video is over: pieces of one person joined, gaps filled."""

from reidkit.runtime.postprocessing.interpolation import fill_gaps
from reidkit.runtime.postprocessing.joining import Join, JoinSettings, join_tracklets
from reidkit.runtime.postprocessing.sampling import embed_tracklets
from reidkit.runtime.postprocessing.tracklets import Tracklet, add_tracklets, read_tracklets

__all__ = [
    "Join",
    "JoinSettings",
    "Tracklet",
    "add_tracklets",
    "embed_tracklets",
    "fill_gaps",
    "join_tracklets",
    "read_tracklets",
]
