"""BoT-SORT: one frame's detections in, the confirmed tracks out.

```
 detections ─► read ─► camera motion ─► associate ─► Tracks
                 └───── a core ─────────────┘
                NumpyCore or NativeCore, on one TrackerState
```

The order, the gates and the limits are those of arXiv 2206.14651 and of its authors' code; with default settings every
decision is theirs. Where several assignments are equally good the one of the lowest ids and detections is taken.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.runtime.errors import InvalidConfig, InvalidInput
from reidkit.runtime.native.frames import have_pixels
from reidkit.runtime.tracking.arguments import Picture, is_whole, number_array, picture_size
from reidkit.runtime.tracking.camera_motion import Affine, PrecomputedMotion, camera_motion_of
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.economy import worth_embedding
from reidkit.runtime.tracking.native_core import NativeCore
from reidkit.runtime.tracking.numpy_core import NumpyCore
from reidkit.runtime.tracking.observation import MAX_COORDINATE, Observation
from reidkit.runtime.tracking.state import AppearanceCounts, TrackerState
from reidkit.runtime.tracking.tracks import Tracks

_LARGEST_MOTION = np.array([100, 100, MAX_COORDINATE])


class BotSort:
    """A BoT-SORT tracker of one camera. Not thread-safe; ids are its own and start at 1.

    Raises `InvalidConfig` for settings that still say ``auto``: `BotSortConfig.resolved` asks the artifact.

    Attributes:
        config: its settings.
        stage_ms: milliseconds of the last update: ``camera_motion`` and ``associate``.
    """

    def __init__(self, config: BotSortConfig | None = None) -> None:
        if config is not None and not isinstance(config, BotSortConfig):
            raise InvalidInput(
                f"config must be a BotSortConfig, found {config!r}", remedy="read a file with BotSortConfig.load(path)"
            )
        self.config = config or BotSortConfig()
        if self.config.auto and self.config.with_reid:
            raise InvalidConfig(
                f"{', '.join(self.config.auto)}: auto is for an artifact to say",
                remedy="track with BotSortConfig.resolved(engine.manifest)",
            )
        self._camera = camera_motion_of(self.config)
        self._state = TrackerState(self.config)
        self._core = NativeCore(self._state) if self.config.core == "native" else NumpyCore(self._state)
        self.reset()

    @property
    def appearance(self) -> AppearanceCounts:
        """What appearance decided so far."""
        return self._state.appearance

    @property
    def longest_kept_s(self) -> float:
        """Seconds for which whoever is lost may come back under the same id."""
        return (self._state.longest_kept + 1) / self.config.frame_rate

    def reset(self) -> None:
        """Forget everything: the next update is frame 1 and ids start at 1 again."""
        self.stage_ms = {"camera_motion": 0.0, "associate": 0.0}
        self._state.clear()
        if self._camera is not None:
            self._camera.reset()

    def wanted(
        self,
        boxes_xyxy: ArrayLike,
        scores: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        frame: Picture | None = None,
        timestamp_s: float | None = None,
        at_most: int | None = None,
        economical: bool = True,
    ) -> NDArray[np.int64]:
        """Rows of the detections worth embedding for the next `update`, ascending; changes no state.

        These are all whose embeddings it would read, or, with the settings `economy_…`, as many as are needed.

        Args:
            boxes_xyxy: as for `update`, like all but the last.
            scores: likewise.
            classes: likewise.
            frame: likewise; boxes that have no pixel in it are not worth embedding. Without it they are not looked for.
            timestamp_s: likewise.
            at_most: largest number of rows, besides `economy_max_crops`.
            economical: False to name all that would be worth it without `economy_…` and `at_most`.
        """
        config, state = self.config, self._state
        if at_most is not None and not (is_whole(at_most) and at_most >= 0):
            raise InvalidInput(f"at_most is {at_most!r}: give a whole number from 0 on, or None for any")
        size = picture_size(frame)
        observation = Observation.read(config, boxes_xyxy, scores, classes=classes, size=size)
        if not config.with_reid:
            return np.zeros(0, np.int64)
        embeddable = observation.embeddable(config)
        if size is not None:
            width, height = size
            embeddable = embeddable[have_pixels(observation.boxes_xyxy[embeddable], height=height, width=width)]
        limits = [limit for limit in (at_most, config.economy_max_crops) if limit is not None]
        if not economical or (not config.economy_refresh_frames and not limits):
            return embeddable
        moment = state.moment.next(config, timestamp_s)
        within_reach = moment.frame - state.table.last_frame[: state.table.count] <= state.longest_lost + 1
        return worth_embedding(
            config,
            state.table,
            observation,
            embeddable,
            tracks=np.flatnonzero(within_reach),
            moment=moment,
            at_most=min(limits, default=None),
        )

    def update(
        self,
        boxes_xyxy: ArrayLike,
        scores: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        embeddings: ArrayLike | None = None,
        embedded: ArrayLike | None = None,
        frame: Picture | None = None,
        camera_motion: ArrayLike | None = None,
        timestamp_s: float | None = None,
    ) -> Tracks:
        """Track one frame further. A frame without detections is an update with zero rows.

        Args:
            boxes_xyxy: (N, 4) pixels, x1 < x2 and y1 < y2, by 0.001 pixels at least; may reach beyond the frame.
            scores: (N,) confidences, 0..1.
            classes: (N,) integers within int64; None: all 0. Associated by with `other_class_penalty` alone.
            embeddings: (N, D) of any length but zero; None: no detection has one. Not read without `with_reid`.
            embedded: (N,) bool, which rows of `embeddings` are set; None: all. Other rows are never read.
            frame: (H, W, 3) uint8 BGR, (H, W) grey, or a `YuvFrame`; for the settings of `camera_motion` that look at
                frames, and for ``long_term_reentry: false`` and `ignored_regions` in shares, which look at its size.
            camera_motion: (2, 3) affine from the previous frame's pixels to this one's, instead of an estimate or of
                this frame's line in a `camera_motion_file`.
            timestamp_s: when the frame was taken, seconds; must not go back. Read with ``clock: timestamps``, which
                needs it.

        Returns:
            The confirmed tracks that were matched with a detection of this frame, boxes filtered.

        Raises:
            InvalidInput: wrong shapes or types, values that are not finite, boxes without area, another embedding
                width. The tracker is then as it was before.
            InvalidFile: the `camera_motion_file` has ended.
        """
        config, state, size = self.config, self._state, picture_size(frame)
        if not config.with_reid:
            embeddings = embedded = None
        boxes = self._core.read(
            boxes_xyxy, scores, classes=classes, embeddings=embeddings, embedded=embedded, size=size
        )
        if size is None and config.long_term_min_cosine is not None and not config.long_term_reentry:
            raise InvalidInput("long_term_reentry: false looks where the picture ends: pass frame= to update()")
        moment = state.moment.next(config, timestamp_s)
        started = perf_counter()
        affine = self._camera_motion(frame, boxes, camera_motion)
        camera_done = perf_counter()

        state.moment = moment
        tracks = self._core.associate(affine, size)
        ended = perf_counter()
        self.stage_ms = {"camera_motion": 1e3 * (camera_done - started), "associate": 1e3 * (ended - camera_done)}
        return tracks

    def save(self, path: str | Path) -> None:
        """Write the state to one file, atomically; see `restore`. An estimator of camera motion begins anew after it.

        Raises `InvalidFile` if the file cannot be written.
        """
        from reidkit.runtime.tracking.snapshot import save

        save(self, Path(path))

    @staticmethod
    def restore(path: str | Path) -> BotSort:
        """The tracker that `save` wrote; it goes on with the same ids. Raises `InvalidFile` if it is no such file."""
        from reidkit.runtime.tracking.snapshot import restore

        return restore(Path(path))

    def _camera_motion(
        self, frame: Picture | None, boxes_xyxy: NDArray[np.float64], given: ArrayLike | None
    ) -> Affine | None:
        affine, camera = None if given is None else _affine(given), self._camera
        if isinstance(camera, PrecomputedMotion):
            # It is told the frame: the tracker may have been restored, or given the motion of the frames before.
            camera.frame = self._state.moment.number
            return camera.estimate() if affine is None else affine
        if camera is None:
            return affine
        if affine is None:
            return camera.estimate(frame, boxes_xyxy)
        if frame is None:
            camera.reset()
        else:
            camera.estimate(frame, boxes_xyxy)  # what it finds next begins at this frame
        return affine


def _affine(given: ArrayLike) -> Affine:
    affine = number_array(given, "camera_motion")
    sound = affine.shape == (2, 3) and bool((np.abs(affine) <= _LARGEST_MOTION).all())
    if not sound or abs(affine[0, 0] * affine[1, 1] - affine[0, 1] * affine[1, 0]) < 1e-6:
        raise InvalidInput(
            "camera_motion must be an invertible (2, 3) affine, of factors within ±100 and shifts within "
            f"±{MAX_COORDINATE:.0e} pixels, found {affine.tolist()}"
        )
    return affine
