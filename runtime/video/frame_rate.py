"""How fast a recording runs: who says so, and when its frames were taken by that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.video.sequence_info import HIGHEST_RATE, LOWEST_RATE, find_sequence_info
from reidkit.runtime.video.sources import Frame, Source

_DEFAULT_RATE = 30.0


def frame_rate_of(
    source: Source, location: str | Path, *, fps: float | None = None, detections: Path | None = None
) -> tuple[float, str]:
    """Frames per second, and who says so: `fps`, else `seqinfo.ini`, else the source; 30 where nobody does.

    Args:
        source: what is at `location`, open.
        location: looked around for a `seqinfo.ini`.
        fps: what the user says.
        detections: its detections file, looked around too.

    Raises:
        InvalidFile: who is to say it says what cannot be.
    """
    return told_frame_rate(source.frame_rate, location, fps=fps, detections=detections) or (_DEFAULT_RATE, "default")


def told_frame_rate(
    own: float | None, location: str | Path, *, fps: float | None = None, detections: Path | None = None
) -> tuple[float, str] | None:
    """As `frame_rate_of`, of a source whose `own` frame rate is known; None where nobody says anything."""
    if fps is not None:
        return fps, "--fps"
    if (info := find_sequence_info(Path(location), detections)) is not None:
        return info.frame_rate, os.path.relpath(info.path)
    if own is None:
        return None
    if not LOWEST_RATE <= own <= HIGHEST_RATE:
        raise InvalidFile(f"{location} says that it has {own:g} frames per second", remedy="name --fps")
    return own, "input"


def frames_at(source: Source, frame_rate: float) -> Iterator[Frame]:
    """The frames with their times by `frame_rate`; with the source's own times where that is its own rate."""
    for frame in source:
        if frame_rate != source.frame_rate:
            frame = replace(frame, timestamp_s=(frame.index - 1) / frame_rate)
        yield frame
