"""From frames to tracks: one camera's session, the recording of a whole video, and the job that sets both up."""

from __future__ import annotations

from reidkit.runtime.pipeline.job import Summary, TrackingJob, run
from reidkit.runtime.pipeline.recording import track_video
from reidkit.runtime.pipeline.session import TrackingSession

__all__ = ["Summary", "TrackingJob", "TrackingSession", "run", "track_video"]
