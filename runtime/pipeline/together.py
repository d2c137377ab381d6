"""Recordings of several cameras, tracked side by side by their clocks, with one id for a person in all of them.

Frames are taken in the order of their time, the lower camera first, so that the same recordings give the same ids. What
is written is what was known in the end: a track that was recognised late has its person's id from its first frame on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.detectors import open_detector
from reidkit.runtime.engines import Engine
from reidkit.runtime.errors import Interrupted, InvalidInput
from reidkit.runtime.pipeline.alone import write_json
from reidkit.runtime.pipeline.job import (
    Footage,
    TrackingJob,
    appearance_of,
    engine_facts,
    open_footage,
    refuse_own_inputs,
)
from reidkit.runtime.pipeline.results import SUMMARY_FILE, TRACKS_FILE, VIDEO_FILE, results
from reidkit.runtime.pipeline.session import TrackingSession
from reidkit.runtime.tracking import BotSort, BotSortConfig
from reidkit.runtime.tracking.across_cameras import AcrossCameras, AcrossCamerasConfig
from reidkit.runtime.video.drawing import Painter
from reidkit.runtime.video.frame_rate import frames_at
from reidkit.runtime.video.mot_files import TracksWriter
from reidkit.runtime.video.sinks import VideoSink
from reidkit.runtime.video.sources import Frame, expect_kept, open_source, read_ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class CamerasJob:
    """What to track together.

    Attributes:
        cameras: a job for each, numbered in this order; they name one artifact and settings, and folders of their own.
        across: when tracks of two cameras are one person's.
        output: folder of the summary.
    """

    cameras: tuple[TrackingJob, ...]
    across: AcrossCamerasConfig
    output: Path


@dataclass(slots=True)
class _Camera:
    """A recording on its way."""

    footage: Footage
    frames: Iterator[tuple[Frame, float]]
    session: TrackingSession
    writer: TracksWriter
    sink: VideoSink | None
    rows: list[tuple[int, NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=list)

    @property
    def people(self) -> set[int]:
        """Everybody who was tracked."""
        return {identity for _, ids, _, _ in self.rows for identity in ids.tolist()}

    def next_frame(self) -> Frame | None:
        """The next frame, None at the end."""
        if len(self.rows) == self.footage.job.max_frames:
            return None
        frame, _ = next(self.frames, (None, 0.0))
        return frame


def run_together(
    job: CamerasJob,
    *,
    on_frame: Callable[[int, int], None] = lambda camera, frame: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Do the job and write its files: of each camera its tracks, and `summary.json`, which is returned.

    Args:
        job: what to track.
        on_frame: told of each camera's frames.
        should_stop: asked after every frame, and while none comes; if so, what there is by then is written.

    Raises:
        Interrupted: `should_stop` said so before every camera had a frame.
        InvalidInput: fewer than two cameras, folders that coincide, or a camera to draw upon that cannot be read again.
        ReidkitError: a file, setting or library that the job names is missing or unfit; or an engine failed.
    """
    if len(job.cameras) < 2:
        raise InvalidInput("a single camera has nobody to share", remedy="name two, or use reid-track")
    if len({each.output for each in job.cameras}) < len(job.cameras):
        raise InvalidInput("two cameras have one folder of results", remedy="name one for each")
    people = AcrossCameras(job.across)
    started = perf_counter()
    with ExitStack() as stack:
        footages = _footages(job, stack, should_stop)
        engine = _engine(job, stack)
        outputs = _results(job, stack)
        cameras = [
            _camera(number, each, engine, people, outputs[each.job.output], stack, should_stop)
            for number, each in enumerate(footages)
        ]
        ahead = [
            (frame.timestamp_s, number, frame) for number, each in enumerate(cameras) if (frame := each.next_frame())
        ]
        if len(ahead) < len(cameras) and should_stop():
            raise Interrupted("interrupted before every camera had a frame: nothing is written")
        heapify(ahead)
        while ahead:
            _, number, frame = heappop(ahead)
            camera = cameras[number]
            tracks = camera.session.step(frame)
            camera.rows.append((frame.index, tracks.ids, tracks.boxes_xyxy, tracks.scores))
            on_frame(number, frame.index)
            if should_stop():
                break
            if following := camera.next_frame():
                heappush(ahead, (following.timestamp_s, number, following))
        interrupted = should_stop()
        seconds = perf_counter() - started
        for camera in cameras:
            camera.rows = [(index, people.resolve(ids), boxes, scores) for index, ids, boxes, scores in camera.rows]
            _write(camera)
        summary = {
            "cameras": [_summary(camera, interrupted=interrupted) for camera in cameras],
            "people": len(set().union(*(camera.people for camera in cameras))),
            "joined": len(people.joined),
            "fps": round(sum(len(camera.rows) for camera in cameras) / seconds, 3),
            "reid": engine_facts(engine),
            "interrupted": interrupted,
        }
        write_json(summary, outputs[job.output] / SUMMARY_FILE)
    _remove_other_cameras(job)
    return summary


def _footages(job: CamerasJob, stack: ExitStack, should_stop: Callable[[], bool]) -> list[Footage]:
    """All recordings, open, none of which the job's results would overwrite."""
    first = job.cameras[0]
    for each in job.cameras:
        if each.draw:
            expect_kept(each.input, purpose="drawing in the end")
    detector = None
    if first.detector is not None:
        detector = stack.enter_context(closing(open_detector(first.detector, threads=first.threads)))
    footages = [stack.enter_context(open_footage(each, detector, should_stop=should_stop)) for each in job.cameras]
    for footage in footages:
        config = BotSortConfig.load(footage.job.tracker, frame_rate=footage.frame_rate)
        for folder in (job.output, *(each.output for each in job.cameras)):
            refuse_own_inputs(footage.job, config, folder)
    return footages


def _engine(job: CamerasJob, stack: ExitStack) -> Engine:
    """The engine that all cameras share."""
    first = job.cameras[0]
    engine, _, _ = appearance_of(first, BotSortConfig.load(first.tracker))
    if engine is None:
        raise InvalidInput("people are recognised across cameras by appearance", remedy="name an artifact by --reid")
    return stack.enter_context(engine)


def _results(job: CamerasJob, stack: ExitStack) -> dict[Path, Path]:
    """Where to write what each folder of results will hold; all are the job's."""
    folders = {job.output: [SUMMARY_FILE]}
    for each in job.cameras:
        folders.setdefault(each.output, []).extend(_files(each))
    return {folder: stack.enter_context(results(folder, files)) for folder, files in folders.items()}


def _camera(
    number: int,
    footage: Footage,
    engine: Engine,
    people: AcrossCameras,
    output: Path,
    stack: ExitStack,
    should_stop: Callable[[], bool],
) -> _Camera:
    """A recording with its tracker and the files in `output` that its tracks go into."""
    job, frame_rate = footage.job, footage.frame_rate
    config = BotSortConfig.load(job.tracker, frame_rate=frame_rate).resolved(engine.manifest)
    session = TrackingSession(BotSort(config), footage.detect, engine=engine, people=people, camera=number)
    writer = stack.enter_context(TracksWriter.open(output / TRACKS_FILE))
    sink = stack.enter_context(VideoSink.open(output / VIDEO_FILE, frame_rate=frame_rate)) if job.draw else None
    ahead = read_ahead(frames_at(footage.source, frame_rate), should_stop=should_stop)
    return _Camera(footage, stack.enter_context(closing(ahead)), session, writer, sink)


def _files(job: TrackingJob) -> list[str]:
    return [TRACKS_FILE, *([VIDEO_FILE] if job.draw else [])]


def _write(camera: _Camera) -> None:
    """Write a camera's files."""
    for index, ids, boxes, scores in camera.rows:
        camera.writer.write(index, ids, boxes, scores)
    if camera.sink is None or not camera.rows:
        return
    drawn = {index: (ids, boxes) for index, ids, boxes, _ in camera.rows}
    painter = Painter(frame_rate=camera.footage.frame_rate)
    with closing(open_source(camera.footage.job.input)) as again:
        for frame in again:
            if frame.index in drawn:
                ids, boxes = drawn[frame.index]
                camera.sink.write(painter.paint(frame.image, frame.index, ids, boxes))
            if frame.index >= camera.rows[-1][0]:
                break


def _summary(camera: _Camera, *, interrupted: bool) -> dict[str, Any]:
    """What the summary says of a camera."""
    job = camera.footage.job
    last_frame = camera.rows[-1][0] if camera.rows else 0
    return {
        "input": job.input,
        "folder": str(job.output),
        "frames": len(camera.rows),
        "frame_rate": camera.footage.frame_rate,
        "boxes": sum(len(ids) for _, ids, _, _ in camera.rows),
        "people": len(camera.people),
        "files": _files(job),
        "warnings": camera.footage.warnings(last_frame, interrupted=interrupted),
    }


def _remove_other_cameras(job: CamerasJob) -> None:
    """Remove the tracks of an earlier run's cameras that this one has not."""
    for number in count(len(job.cameras)):
        folder = job.output / str(number)
        if not (folder / TRACKS_FILE).is_file() or (folder / SUMMARY_FILE).exists():
            return
        with results(folder, []):
            pass
        with suppress(OSError):
            folder.rmdir()
