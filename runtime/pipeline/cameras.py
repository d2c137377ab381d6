"""Several cameras, one engine, a tracker each; while frame k-1 is in the engine, frame k is detected in and cut.

camera 0 ─► detect ─► cut ─┐                    ┌─► tracker 0 ─┐
camera 1 ─► detect ─► cut ─┼─► batches ─► engine ├─► tracker 1 ─┼─► (camera, frame, tracks)
camera 2 ─► detect ─► cut ─┘                    └─► tracker 2 ─┘
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, Queue
from threading import Event
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.batching import CropBatcher, Ticket
from reidkit.runtime.detectors import Detections
from reidkit.runtime.engines import Engine
from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.pipeline.appearance import in_their_rows, rows_to_embed
from reidkit.runtime.pipeline.budget import crops_within
from reidkit.runtime.tracking import BotSort, Tracks
from reidkit.runtime.tracking.across_cameras import AcrossCameras
from reidkit.runtime.video.background import in_background
from reidkit.runtime.video.sources import Frame

_STOP_CHECK_S = 0.1
_LEAVE_S = 2.0  # so long a camera that was told to stop is waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """Where frames come from and what is made of them.

    Attributes:
        source: the frames, iterated once, on the camera's own thread.
        detect: a frame's detections; called on that thread too.
        tracker: this camera's alone.
    """

    source: Iterable[Frame]
    detect: Callable[[Frame], Detections]
    tracker: BotSort


@dataclass(frozen=True, slots=True)
class _Seen:
    """A frame whose crops are on their way: `rows` of its detections."""

    frame: Frame
    detections: Detections
    rows: NDArray[np.int64]
    ticket: Ticket


class MultiCameraTracker:
    """Tracks the people of several cameras at once, each camera by itself.

    A camera that stalls holds the others up no longer than the batcher's deadline and patience. Where the batcher gave
    crops up, they are tracked by overlap.

    Args:
        cameras: numbered from 0 in this order.
        engine: computes all embeddings; stays the caller's to close.
        batcher: cuts for that engine; by default one of its own, closed when `run` ends; one that is given stays open.
        people: gives tracks the ids that people have in all cameras; their clocks must be one. None: each camera's own.

    >>> cameras = [Camera(source=open_source(video), detect=detector.detect, tracker=BotSort())
    ...            for video in ("entrance.mp4", "shop.mp4")]                             # doctest: +SKIP
    >>> for camera, frame, tracks in MultiCameraTracker(cameras, engine=engine).run():    # doctest: +SKIP
    ...     print(camera, frame.index, tracks.ids)
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        *,
        engine: Engine,
        batcher: CropBatcher | None = None,
        people: AcrossCameras | None = None,
    ) -> None:
        if not cameras:
            raise InvalidInput("no camera is given")
        if len({id(camera.tracker) for camera in cameras}) < len(cameras):
            raise InvalidInput("two cameras share a tracker", remedy="give each a BotSort of its own")
        self._cameras = list(cameras)
        self._engine = engine
        self._batcher = batcher
        self._people = people
        if people is not None:
            people.remember_for(max(camera.tracker.longest_kept_s for camera in cameras))

    def run(self) -> Generator[tuple[int, Frame, Tracks], None, None]:
        """Camera, frame and confirmed tracks, as they come: in order within a camera. Closing it stops all cameras.

        A source that has stalled cannot be stopped: its thread is left behind, and ends when the source goes on or
        the process ends. It takes no part any more.

        Raises:
            ReidkitError: a source, a detector, the engine or a tracker of one camera failed; the others are stopped.
                What they raise that is no `ReidkitError` comes as it is.
        """
        at_most = [crops_within(self._engine, camera.tracker.config.economy_max_ms) for camera in self._cameras]
        batcher = self._batcher or CropBatcher(self._engine)
        results: Queue[tuple[int, Frame, Tracks]] = Queue(2 * len(self._cameras))
        stop = Event()

        def follow(number: int) -> None:
            try:
                for frame, tracks in self._follow(number, batcher, stop, at_most=at_most[number]):
                    results.put((number, frame, tracks))
                    if stop.is_set():
                        return
            except BaseException:
                stop.set()
                raise

        running = [
            in_background(partial(follow, number), name=f"camera {number}") for number in range(len(self._cameras))
        ]
        try:
            yield from _until_done(results, running)
        finally:
            stop.set()
            _leave(results, running)
            if self._batcher is None:
                batcher.close()

    def _follow(
        self, number: int, batcher: CropBatcher, stop: Event, *, at_most: int | None
    ) -> Generator[tuple[Frame, Tracks], None, None]:
        """One camera's frames, each tracked when the next has been submitted.

        What an economical tracker wants of a frame depends on the one before, which is tracked first then: detecting
        still goes on beside the engine, cutting does not.
        """
        camera = self._cameras[number]
        before: _Seen | None = None
        for frame in camera.source:
            if stop.is_set():
                return
            detections = camera.detect(frame)
            if before is not None and camera.tracker.config.is_economical:
                yield before.frame, self._track(number, before)
                before = None
            seen = self._submit(number, frame, detections, batcher, at_most=at_most)
            if before is not None:
                yield before.frame, self._track(number, before)
            before = seen
        if before is not None:
            yield before.frame, self._track(number, before)

    def _submit(
        self, number: int, frame: Frame, detections: Detections, batcher: CropBatcher, *, at_most: int | None
    ) -> _Seen:
        """Have cut what the tracker wants to see."""
        rows = rows_to_embed(self._cameras[number].tracker, frame, detections, at_most=at_most)
        ticket = batcher.submit(frame.image, detections.boxes_xyxy[rows], camera=number)
        return _Seen(frame, detections, rows, ticket)

    def _track(self, number: int, seen: _Seen) -> Tracks:
        found = seen.ticket.result()
        values, rows = found.values[found.valid], seen.rows[found.valid]
        embeddings, embedded = in_their_rows(values, rows, of=len(seen.detections))
        tracks = self._cameras[number].tracker.update(
            seen.detections.boxes_xyxy,
            seen.detections.scores,
            classes=seen.detections.classes,
            embeddings=embeddings,
            embedded=embedded,
            frame=seen.frame.image,
            timestamp_s=seen.frame.timestamp_s,
        )
        if self._people is None:
            return tracks
        return self._people.observe(number, tracks, embeddings, embedded=embedded, timestamp_s=seen.frame.timestamp_s)


def _until_done(
    results: Queue[tuple[int, Frame, Tracks]], running: Sequence[Future[None]]
) -> Generator[tuple[int, Frame, Tracks], None, None]:
    """What the cameras' threads put, until they have ended or one has failed, whose error is raised."""
    while True:
        ended = [camera for camera in running if camera.done()]
        try:
            yield results.get(timeout=_STOP_CHECK_S) if len(ended) < len(running) else results.get_nowait()
        except Empty:
            for camera in ended:
                camera.result()
            if len(ended) == len(running):
                return


def _leave(results: Queue[tuple[int, Frame, Tracks]], running: Sequence[Future[None]]) -> None:
    """Take what the cameras' threads still put, which nobody wants, until they have ended or their time is over."""
    end_s = monotonic() + _LEAVE_S
    while not all(camera.done() for camera in running) and monotonic() < end_s:
        with suppress(Empty):
            results.get(timeout=_STOP_CHECK_S)
