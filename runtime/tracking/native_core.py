"""``core: native``: BoT-SORT's associations and lifecycle in C++, in the memory of the same `TrackTable`.

```
 BotSort.update ─► read ─► associate ─► [long-term stage, NumPy] ─► finish ─► Tracks
                     └────────── TrackTable's columns ──────────┘
```

Every decision is the NumPy core's, and so is every bit of what comes out. What looks at the table from outside
(snapshots, the embedding economy, the long-term stage) finds the same there with either core.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.runtime.errors import InvalidConfig
from reidkit.runtime.native import TrackerCore
from reidkit.runtime.tracking.arguments import array_of
from reidkit.runtime.tracking.camera_motion import Affine
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.observation import Observation
from reidkit.runtime.tracking.recognition import recognise
from reidkit.runtime.tracking.state import TrackerState
from reidkit.runtime.tracking.table import TrackTable
from reidkit.runtime.tracking.tracks import Tracks

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


def beyond_native(config: BotSortConfig) -> list[str]:
    """Names of the settings that the native core does not do."""
    return [
        field.name
        for field in dataclasses.fields(config)
        if field.name not in _INSIDE + _AROUND
        and not field.name.startswith(_AROUND_PREFIXES)
        and getattr(config, field.name) != field.default
    ]


class NativeCore:
    """The native core of one tracker. Raises `InvalidConfig` for a setting that it does not know."""

    def __init__(self, state: TrackerState) -> None:
        self._state, config = state, state.config
        for name in beyond_native(config):
            raise InvalidConfig(
                f"{name} is {getattr(config, name)!r}, which the native core does not do",
                remedy=f"use core: numpy, or no {name}",
            )
        settings = {name: getattr(config, name) for name in _INSIDE}
        for name in ("min_cosine", "appearance_cost_scale"):
            if settings[f"unconfirmed_{name}"] is None:
                settings[f"unconfirmed_{name}"] = settings[name]
        self._core = TrackerCore(**settings, longest_lost=state.longest_lost, longest_kept=state.longest_kept)
        self._memory: tuple[NDArray[Any], NDArray[Any]] | None = None

    def read(
        self,
        boxes_xyxy: ArrayLike,
        scores: ArrayLike,
        *,
        classes: ArrayLike | None,
        embeddings: ArrayLike | None,
        embedded: ArrayLike | None,
        size: tuple[int, int] | None,
    ) -> NDArray[np.float64]:
        """As `NumpyCore.read`."""
        config = self._state.config
        width = self._state.table.embedding.shape[1] or config.embedding_dim
        try:
            boxes = _in_double(boxes_xyxy)
            labels, vectors, flags = (
                None if each is None else _as_array(each) for each in (classes, embeddings, embedded)
            )
            self._dim, self._spared = self._core.read(boxes, _in_double(scores), labels, vectors, flags, width or 0)
        except (TypeError, ValueError):
            # Not sound, which the NumPy core says in words; or sound, and not in the form that the core takes.
            observation = Observation.read(config, boxes_xyxy, scores, classes=classes, size=size)
            observation.read_embeddings(config, embeddings, embedded, width=width)
            boxes = observation.boxes_xyxy
            self._dim, self._spared = self._core.read(
                boxes,
                observation.scores,
                np.ascontiguousarray(observation.classes),
                None if embeddings is None else np.ascontiguousarray(embeddings, np.float64),
                None if embeddings is None or embedded is None else np.ascontiguousarray(embedded, np.bool_),
                width or 0,
            )
        self._count = len(boxes)
        return boxes

    def associate(self, affine: Affine | None, size: tuple[int, int] | None) -> Tracks:
        """As `NumpyCore.associate`."""
        state, table, moment = self._state, self._state.table, self._state.moment
        if self._dim and not table.embedding.shape[1]:
            table.set_embedding_dim(self._dim)
        self._bind(table, table.count + self._count)
        table.count, table.coupled, decided, changed, vetoed = self._core.associate(
            table.count, table.coupled, moment.number, moment.frame, moment.steps, affine
        )
        counts = state.appearance
        counts.decided += decided
        counts.changed += changed
        counts.vetoed += vetoed
        counts.spared += self._spared
        return self._finish() if state.config.long_term_min_cosine is None else self._finish_after_long_term(size)

    def _bind(self, table: TrackTable, people: int) -> None:
        """See that the core works in the table's memory, and that there is enough of it."""
        table.reserve(people)
        memory = table.id, table.embedding
        if self._memory is None or memory[0] is not self._memory[0] or memory[1] is not self._memory[1]:
            self._core.bind(table.columns())
            self._memory = memory

    def _finish(self) -> Tracks:
        state, table = self._state, self._state.table
        next_id, table.count, table.coupled, ids, boxes, scores, classes, detections, confirmed = self._core.finish(
            state.next_id
        )
        state.next_id = next_id
        return Tracks(ids, boxes, scores, classes, detections, confirmed)

    def _finish_after_long_term(self, size: tuple[int, int] | None) -> Tracks:
        """The long-term stage looks at what is left of both sides, and takes its part of that."""
        state, table, first_id = self._state, self._state.table, self._state.next_id
        boxes, measured, scores, classes, high, low, embedding_rows, embeddings = self._core.detections()
        seen = Observation(boxes, measured, scores, classes, high, low, embedding_rows, embeddings)
        state.recall(seen, *self._core.followed())
        candidates = self._core.unclaimed()
        left = recognise(state, seen, candidates, size=size)
        for detection in np.setdiff1d(candidates, left).tolist():
            self._core.claim(detection)
        answer = self._finish()
        born = np.flatnonzero(table.id[: table.count] >= first_id)
        state.recall(seen, born, table.detection_index[born])
        state.forget_rings()
        return answer


def _as_array(values: ArrayLike) -> NDArray[Any]:
    """The array that NumPy makes of them, as for the other core: this one could read tensors that NumPy refuses."""
    return values if isinstance(values, np.ndarray) else array_of(values, "values", "an array")


def _in_double(values: ArrayLike) -> NDArray[Any]:
    """What detectors give most often in the type that the core takes."""
    array = _as_array(values)
    return array.astype(np.float64) if array.dtype == np.float32 else array
