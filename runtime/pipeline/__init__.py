"""From frames to tracks: one camera's session or many cameras, the recording of a video, the jobs that set them up."""

from __future__ import annotations

from reidkit.runtime.pipeline.alone import Summary, run
from reidkit.runtime.pipeline.cameras import Camera, MultiCameraTracker
from reidkit.runtime.pipeline.job import TrackingJob
from reidkit.runtime.pipeline.recording import track_video
from reidkit.runtime.pipeline.session import TrackingSession

__all__ = ["Camera", "MultiCameraTracker", "Summary", "TrackingJob", "TrackingSession", "run", "track_video"]
