"""``core: native``: BoT-SORT's associations and lifecycle in C++, in the memory of the same `TrackTable`.

```
 BotSort.update ─► NativeCore ─► read ─► associate ─► [long-term stage, NumPy] ─► finish ─► Tracks
                                   └────────── TrackTable's columns ──────────┘
```

Every decision is the NumPy core's, and so is every bit of what comes out. What looks at the table from outside
(snapshots, the embedding economy, the long-term stage) finds the same there with either core.
"""

from __future__ import annotations

import dataclasses
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.runtime.errors import InvalidConfig
from reidkit.runtime.native import TrackerCore
from reidkit.runtime.tracking.arguments import Picture, array_of
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.observation import Observation
from reidkit.runtime.tracking.table import Rows, TrackTable
from reidkit.runtime.tracking.tracks import Tracks

if TYPE_CHECKING:
    from reidkit.runtime.tracking.botsort import BotSort

# Settings that C++ acts on, and those of the stages around it. It must not ignore what is not among them.
_INSIDE = (
    "high_score",
    "low_score",
    "new_track_score",
    "min_embedding_score",
    "normalize_embeddings",
    "match_cost",
    "second_match_cost",
    "unconfirmed_match_cost",
    "fuse_score",
    "min_iou_for_appearance",
    "min_cosine",
    "appearance_cost_scale",
    "unconfirmed_min_cosine",
    "unconfirmed_appearance_cost_scale",
    "ema_weight",
    "duplicate_iou",
)
_AROUND = ("max_lost_frames", "with_reid", "core", "clock", "frame_rate", "reid_model", "embedding_dim", "auto")
_AROUND_PREFIXES = ("camera_motion", "long_term_", "economy_")


class NativeCore:
    """The native core of one tracker. Raises `InvalidConfig` for a setting that it does not know."""

    def __init__(self, tracker: BotSort) -> None:
        self._tracker, config = tracker, tracker.config
        for field in dataclasses.fields(config):
            name, value = field.name, getattr(config, field.name)
            known = name in _INSIDE + _AROUND or name.startswith(_AROUND_PREFIXES)
            if not known and value != field.default:
                raise InvalidConfig(
                    f"{name} is {value!r}, which the native core does not do", remedy=f"use core: numpy, or no {name}"
                )
        settings = {name: getattr(config, name) for name in _INSIDE}
        for name in ("min_cosine", "appearance_cost_scale"):
            if settings[f"unconfirmed_{name}"] is None:
                settings[f"unconfirmed_{name}"] = settings[name]
        self._core = TrackerCore(
            **settings,
            longest_lost=tracker._longest_lost(),
            longest_kept=tracker._longest_kept(),
        )
        self._memory: tuple[NDArray[Any], NDArray[Any]] | None = None

    def update(
        self,
        boxes_xyxy: ArrayLike,
        scores: ArrayLike,
        *,
        classes: ArrayLike | None,
        embeddings: ArrayLike | None,
        embedded: ArrayLike | None,
        frame: Picture | None,
        camera_motion: ArrayLike | None,
        timestamp_s: float | None,
    ) -> Tracks:
        """`BotSort.update`."""
        tracker, core = self._tracker, self._core
        config, table = tracker.config, tracker._table
        if not config.with_reid:
            embeddings = embedded = None
        width = table.embedding.shape[1] or config.embedding_dim
        boxes, dim, spared = self._read(config, boxes_xyxy, scores, classes, embeddings, embedded, width)
        tracker._check_frame(frame)
        moment = tracker._moment.next(config, timestamp_s)
        started = perf_counter()
        affine = tracker._camera_motion(frame, boxes, camera_motion)
        camera_done = perf_counter()

        tracker._moment = moment
        if dim and not table.embedding.shape[1]:
            table.set_embedding_dim(dim)
        self._bind(table, table.count + len(boxes))
        table.count, table.coupled, decided, changed, vetoed = core.associate(
            table.count, table.coupled, moment.number, moment.frame, moment.steps, affine
        )
        counts = tracker.appearance
        counts.decided += decided
        counts.changed += changed
        counts.vetoed += vetoed
        counts.spared += spared
        answer = self._finish() if config.long_term_min_cosine is None else self._finish_after_long_term(frame)
        tracker.stage_ms = {
            "camera_motion": 1e3 * (camera_done - started),
            "associate": 1e3 * (perf_counter() - camera_done),
        }
        return answer

    def _read(
        self,
        config: BotSortConfig,
        boxes_xyxy: ArrayLike,
        scores: ArrayLike,
        classes: ArrayLike | None,
        embeddings: ArrayLike | None,
        embedded: ArrayLike | None,
        width: int | None,
    ) -> tuple[NDArray[np.float64], int, int]:
        """Hand the detections to the core: their boxes, the width of their embeddings, how many were spared one."""
        try:
            boxes = _in_double(boxes_xyxy)
            labels, vectors, flags = (
                None if each is None else _as_array(each) for each in (classes, embeddings, embedded)
            )
            dim, spared = self._core.read(boxes, _in_double(scores), labels, vectors, flags, width or 0)
        except (TypeError, ValueError):
            # Not sound, which the NumPy core says in words; or sound, and not in the form that the core takes.
            observation = Observation.read(config, boxes_xyxy, scores, classes=classes)
            observation.read_embeddings(config, embeddings, embedded, width=width)
            boxes = observation.boxes_xyxy
            dim, spared = self._core.read(
                boxes,
                observation.scores,
                np.ascontiguousarray(observation.classes),
                None if embeddings is None else np.ascontiguousarray(embeddings, np.float64),
                None if embeddings is None or embedded is None else np.ascontiguousarray(embedded, np.bool_),
                width or 0,
            )
        return boxes, dim, spared

    def _bind(self, table: TrackTable, people: int) -> None:
        """See that the core works in the table's memory, and that there is enough of it."""
        table.reserve(people)
        memory = table.id, table.embedding
        if self._memory is None or memory[0] is not self._memory[0] or memory[1] is not self._memory[1]:
            self._core.bind(table.columns())
            self._memory = memory

    def _finish(self) -> Tracks:
        tracker, table = self._tracker, self._tracker._table
        next_id, table.count, table.coupled, ids, boxes, scores, classes, detections, confirmed = self._core.finish(
            tracker._next_id
        )
        tracker._next_id = next_id
        return Tracks(ids, boxes, scores, classes, detections, confirmed)

    def _finish_after_long_term(self, frame: Picture | None) -> Tracks:
        """The long-term stage looks at what is left of both sides, and takes its part of that."""
        tracker, table, first_id = self._tracker, self._tracker._table, self._tracker._next_id
        boxes, measured, scores, classes, high, low, embedding_rows, embeddings = self._core.detections()
        seen = Observation(boxes, measured, scores, classes, high, low, embedding_rows, embeddings)
        _recall(tracker, seen, *self._core.followed())
        candidates = self._core.unclaimed()
        left = tracker._recognise(seen, candidates, frame)
        for detection in np.setdiff1d(candidates, left).tolist():
            self._core.claim(detection)
        answer = self._finish()
        born = np.flatnonzero(table.id[: table.count] >= first_id)
        _recall(tracker, seen, born, table.detection_index[born])
        if tracker._rings is not None:
            tracker._rings.keep(table.id[: table.count])
        return answer


def _recall(tracker: BotSort, observation: Observation, rows: Rows, detections: Rows) -> None:
    """Put the embeddings that tracks were given into their rings."""
    embedding_rows = observation.embedding_rows[detections]
    has_one = embedding_rows >= 0
    if has_one.any():
        tracker._recall(rows[has_one], observation.embeddings[embedding_rows[has_one]])


def _as_array(values: ArrayLike) -> NDArray[Any]:
    """The array that NumPy makes of them, as for the other core: this one could read tensors that NumPy refuses."""
    return values if isinstance(values, np.ndarray) else array_of(values, "values", "an array")


def _in_double(values: ArrayLike) -> NDArray[Any]:
    """What detectors give most often in the type that the core takes."""
    array = _as_array(values)
    return array.astype(np.float64) if array.dtype == np.float32 else array
