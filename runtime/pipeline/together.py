"""Recordings of several cameras, tracked side by side by their clocks, with one id for a person in all of them.

Frames are taken in the order of their time, the lower camera first, so that the same recordings give the same ids. What
is written is what was known in the end: a track that was recognised late has its person's id from its first frame on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.detectors import Detections, Detector, open_detector
from reidkit.runtime.engines import Engine
from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.pipeline.job import (
    SUMMARY_FILE,
    TrackingJob,
    appearance_of,
    engine_facts,
    for_artifact,
    frame_rate_of,
    make_folder,
)
from reidkit.runtime.pipeline.recording import TRACKS_FILE, VIDEO_FILE
from reidkit.runtime.pipeline.session import TrackingSession
from reidkit.runtime.tracking import BotSort, BotSortConfig
from reidkit.runtime.tracking.across_cameras import AcrossCameras, AcrossCamerasConfig
from reidkit.runtime.video.drawing import Painter
from reidkit.runtime.video.mot_files import TracksWriter, read_detections
from reidkit.runtime.video.publication import whole_file
from reidkit.runtime.video.sinks import VideoSink
from reidkit.runtime.video.sources import Frame, Source, open_source


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

    job: TrackingJob
    number: int
    source: Source
    frames: Iterator[Frame]
    session: TrackingSession
    frame_rate: float
    rows: list[tuple[int, NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=list)

    @property
    def people(self) -> set[int]:
        """Everybody who was tracked."""
        return {identity for _, ids, _, _ in self.rows for identity in ids.tolist()}

    def next_frame(self) -> Frame | None:
        """The next frame, None at the end."""
        frame = next(self.frames, None)
        if frame is None or len(self.rows) == self.job.max_frames:
            return None
        if self.frame_rate != self.source.frame_rate:
            return replace(frame, timestamp_s=(frame.index - 1) / self.frame_rate)
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
        should_stop: asked after every frame; if so, what there is by then is written.

    Raises:
        ReidkitError: a file, setting or library that the job names is missing or unfit; or an engine failed.
    """
    if len(job.cameras) < 2:
        raise InvalidInput("a single camera has nobody to share", remedy="name two, or use reid-track")
    people = AcrossCameras(job.across)
    started = perf_counter()
    interrupted = False
    with ExitStack() as stack:
        cameras, engine = _opened(job, people, stack)
        ahead = [(frame.timestamp_s, camera.number, frame) for camera in cameras if (frame := camera.next_frame())]
        heapify(ahead)
        while ahead:
            _, number, frame = heappop(ahead)
            camera = cameras[number]
            tracks = camera.session.step(frame)
            camera.rows.append((frame.index, tracks.ids, tracks.boxes_xyxy, tracks.scores))
            on_frame(number, frame.index)
            if should_stop():
                interrupted = True
                break
            if following := camera.next_frame():
                heappush(ahead, (following.timestamp_s, number, following))
        seconds = perf_counter() - started
        for camera in cameras:
            camera.rows = [(index, people.resolve(ids), boxes, scores) for index, ids, boxes, scores in camera.rows]
        summary = {
            "cameras": [_written(camera) for camera in cameras],
            "people": len(set().union(*(camera.people for camera in cameras))),
            "joined": len(people.joined),
            "fps": round(sum(len(camera.rows) for camera in cameras) / seconds, 3),
            "reid": engine_facts(engine),
            "interrupted": interrupted,
        }
    with whole_file(job.output / SUMMARY_FILE) as temporary:
        temporary.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return summary


def _opened(job: CamerasJob, people: AcrossCameras, stack: ExitStack) -> tuple[list[_Camera], Engine]:
    """All recordings, their trackers, and the engine and detector that they share."""
    first = job.cameras[0]
    engine, _, _ = appearance_of(first, BotSortConfig.load(first.tracker))
    if engine is None:
        raise InvalidInput("people are recognised across cameras by appearance", remedy="name an artifact by --reid")
    stack.enter_context(engine)
    detector = None
    if first.detector is not None:
        detector = stack.enter_context(closing(open_detector(first.detector, threads=first.threads)))
    cameras = []
    for number, each in enumerate(job.cameras):
        source = stack.enter_context(closing(open_source(each.input)))
        frame_rate, _ = frame_rate_of(each, source)
        config = for_artifact(BotSortConfig.load(each.tracker, frame_rate=frame_rate), engine.manifest, each)
        session = TrackingSession(BotSort(config), _detect(each, detector), engine=engine, people=people, camera=number)
        make_folder(each.output)
        cameras.append(_Camera(each, number, source, iter(source), session, frame_rate))
    return cameras, engine


def _detect(job: TrackingJob, detector: Detector | None) -> Callable[[Frame], Detections]:
    if job.detections is not None:
        given = read_detections(job.detections)
        return lambda frame: given.get(frame.index, Detections.none())
    if detector is None:
        raise InvalidInput(f"nothing tells where people are in {job.input}", remedy="name detections or a detector")
    return lambda frame: detector.detect(frame.image)


def _written(camera: _Camera) -> dict[str, Any]:
    """Write a camera's files; what the summary says of it."""
    job, output = camera.job, camera.job.output
    with TracksWriter.open(output / TRACKS_FILE) as writer:
        for index, ids, boxes, scores in camera.rows:
            writer.write(index, ids, boxes, scores)
    if job.draw:
        drawn = {index: (ids, boxes) for index, ids, boxes, _ in camera.rows}
        painter = Painter(frame_rate=camera.frame_rate)
        with (
            VideoSink.open(output / VIDEO_FILE, frame_rate=camera.frame_rate) as sink,
            closing(open_source(job.input)) as again,
        ):
            for frame in again:
                if frame.index in drawn:
                    ids, boxes = drawn[frame.index]
                    sink.write(painter.paint(frame.image, frame.index, ids, boxes))
    return {
        "input": job.input,
        "folder": str(output),
        "frames": len(camera.rows),
        "frame_rate": camera.frame_rate,
        "boxes": sum(len(ids) for _, ids, _, _ in camera.rows),
        "people": len(camera.people),
        "files": [TRACKS_FILE, *([VIDEO_FILE] if job.draw else [])],
    }
