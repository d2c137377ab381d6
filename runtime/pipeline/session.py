"""One camera: a frame in, its tracks out, and where the time went.

frame ─► detect ─► which rows are wanted? ─► cut ─► embed ─► associate ─► tracks
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.attributes import TrackAttributes
from reidkit.runtime.detectors import Detections
from reidkit.runtime.engines import Engine
from reidkit.runtime.pipeline.appearance import in_their_rows, rows_to_embed, spared
from reidkit.runtime.pipeline.budget import crops_within
from reidkit.runtime.tracking import BotSort, Tracks
from reidkit.runtime.tracking.across_cameras import AcrossCameras
from reidkit.runtime.video.sources import Frame

STAGES = ("decode", "detect", "crop", "embed", "camera_motion", "associate", "draw")


class TrackingSession:
    """Tracks the people of one camera, frame after frame.

    Args:
        tracker: fresh, or one to go on with.
        detect: a frame's detections, from a detector or from a file.
        engine: computes embeddings; None for a tracker that uses none.
        people: gives the tracks the ids that people have in all cameras of a session; None: the tracker's own ids.
        camera: this one's number among them.
        attributes: looks at the tracks now and then; None: nobody asks.

    Attributes:
        total_ms: milliseconds spent in each of `STAGES` so far.
        crops: how many boxes were embedded so far.
        crops_saved: how many more it would have been without the settings `economy_…`.
    """

    def __init__(
        self,
        tracker: BotSort,
        detect: Callable[[Frame], Detections],
        *,
        engine: Engine | None,
        people: AcrossCameras | None = None,
        camera: int = 0,
        attributes: TrackAttributes | None = None,
    ) -> None:
        self._tracker = tracker
        self._detect = detect
        self._engine = engine
        self._people, self._camera = people, camera
        if people is not None:
            people.remember_for(tracker.longest_kept_s)
        self._at_most = None if engine is None else crops_within(engine, tracker.config.economy_max_ms)
        self._attributes = attributes
        self.total_ms = dict.fromkeys(STAGES if attributes is None else (*STAGES, "attributes"), 0.0)
        self.crops = self.crops_saved = 0

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the duration of the `with` block as that stage's."""
        started = perf_counter()
        yield
        self.total_ms[stage] += (perf_counter() - started) * 1e3

    def step(self, frame: Frame) -> Tracks:
        """The confirmed tracks in the next frame.

        Boxes that lie wholly outside the frame take part without an embedding.
        """
        with self.timed("detect"):
            seen = self._detect(frame)
        embeddings, embedded = self._embed(frame, seen)
        tracks = self._tracker.update(
            seen.boxes_xyxy,
            seen.scores,
            classes=seen.classes,
            embeddings=embeddings,
            embedded=embedded,
            frame=frame.image,
            timestamp_s=frame.timestamp_s,
        )
        for stage, milliseconds in self._tracker.stage_ms.items():
            self.total_ms[stage] += milliseconds
        if self._people is not None:
            with self.timed("associate"):
                tracks = self._people.observe(
                    self._camera, tracks, embeddings, embedded=embedded, timestamp_s=frame.timestamp_s
                )
        if self._attributes is not None:
            with self.timed("attributes"):
                self._attributes.look(frame.image, tracks)
        return tracks

    def labels(self, tracks: Tracks) -> dict[int, str]:
        """What is known of the tracks' attributes, in a few words."""
        if self._attributes is None:
            return {}
        return {track: self._attributes.words(track) for track in tracks.ids.tolist()}

    def _embed(
        self, frame: Frame, seen: Detections
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | tuple[None, None]:
        """Embeddings (N, D) of the detections worth it, and which rows (N,) those are."""
        if self._engine is None:
            return None, None
        with self.timed("crop"):
            rows = rows_to_embed(self._tracker, frame, seen, at_most=self._at_most)
            batch = self._engine.cut(frame.image, seen.boxes_xyxy[rows])
        with self.timed("embed"):
            found = self._engine.embed(batch)
        self.crops += len(rows)
        self.crops_saved += spared(self._tracker, frame, seen, rows)
        return in_their_rows(found, rows, of=len(seen))
