"""Frames in which somebody was not seen, between two in which they were: a straight line fills them."""

from __future__ import annotations

import numpy as np

from reidkit.runtime.postprocessing.tracklets import Tracklet


def fill_gaps(tracklet: Tracklet, *, max_gap: int) -> Tracklet:
    """The tracklet with boxes and scores interpolated linearly wherever at most `max_gap` frames are missing.

    As ByteTrack and BoT-SORT do before they are scored (Zhang et al., ECCV 2022, section 4.1).
    """
    missing = np.diff(tracklet.frames) - 1
    fills = np.flatnonzero((missing > 0) & (missing <= max_gap))
    added = [np.arange(tracklet.frames[row] + 1, tracklet.frames[row + 1]) for row in fills]
    frames = np.sort(np.concatenate([tracklet.frames, *added]))
    values = np.column_stack([tracklet.boxes_xyxy, tracklet.scores])
    filled = np.column_stack([np.interp(frames, tracklet.frames, column) for column in values.T])
    return Tracklet(tracklet.id, frames, filled[:, :4], filled[:, 4])
