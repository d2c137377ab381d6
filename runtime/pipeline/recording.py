"""A whole video tracked: frames in, `tracks.txt` and `annotated.mp4` out, and a summary of how it went."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter

from reidkit.runtime.errors import Interrupted
from reidkit.runtime.pipeline.results import TRACKS_FILE, VIDEO_FILE
from reidkit.runtime.pipeline.session import TrackingSession
from reidkit.runtime.video.drawing import Painter
from reidkit.runtime.video.frame_rate import frames_at
from reidkit.runtime.video.mot_files import TracksWriter
from reidkit.runtime.video.sinks import VideoSink
from reidkit.runtime.video.sources import Source, read_ahead


@dataclass(slots=True)
class Progress:
    """How far a run is, and in the end what it did.

    Attributes:
        frames: how many frames were tracked.
        last_frame: number of the last of them.
        size: width and height of the first, in pixels.
        seconds: wall time.
        boxes: how many boxes were written.
        ids: everybody who was tracked.
        interrupted: whether it was stopped before the end.
    """

    frames: int = 0
    last_frame: int = 0
    size: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    boxes: int = 0
    ids: set[int] = field(default_factory=set)
    interrupted: bool = False


def track_video(
    source: Source,
    session: TrackingSession,
    output: Path,
    *,
    frame_rate: float,
    draw: bool = False,
    max_frames: int | None = None,
    on_frame: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Track all frames of a source and write the results into the folder `output`.

    The files appear when the run has ended, by itself or because `should_stop` said so; after an error there are none.

    Args:
        source: the frames.
        session: what tracks them.
        output: an existing folder.
        frame_rate: frames per second, which timestamps are reckoned with unless it is the source's own.
        draw: also write the annotated video.
        max_frames: stop after so many.
        on_frame: called after every frame.
        should_stop: asked after every frame, and while none comes.

    Raises:
        Interrupted: `should_stop` said so before there was a frame.
    """
    progress = Progress()
    started = perf_counter()
    with ExitStack() as stack:
        writer = stack.enter_context(TracksWriter.open(output / TRACKS_FILE))
        painter = Painter(frame_rate=frame_rate) if draw else None
        sink = stack.enter_context(VideoSink.open(output / VIDEO_FILE, frame_rate=frame_rate)) if draw else None
        ahead = read_ahead(frames_at(source, frame_rate), should_stop=should_stop)
        frames = stack.enter_context(closing(ahead))
        for frame, decode_ms in islice(frames, max_frames):
            session.total_ms["decode"] += decode_ms
            tracks = session.step(frame)
            writer.write(frame.index, tracks.ids, tracks.boxes_xyxy, tracks.scores)
            if painter is not None and sink is not None:
                with session.timed("draw"):
                    labels = session.labels(tracks)
                    sink.write(painter.paint(frame.image, frame.index, tracks.ids, tracks.boxes_xyxy, labels=labels))
            progress.size = progress.size if progress.frames else (frame.image.shape[1], frame.image.shape[0])
            progress.frames += 1
            progress.last_frame = frame.index
            progress.boxes += len(tracks)
            progress.ids.update(tracks.ids.tolist())
            progress.seconds = perf_counter() - started
            on_frame(progress)
            if should_stop():
                break
        progress.interrupted = should_stop()
        if progress.interrupted and not progress.frames:
            raise Interrupted("interrupted before the first frame: nothing is written")
    progress.seconds = perf_counter() - started
    return progress
