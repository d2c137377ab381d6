"""``core: numpy``: BoT-SORT's associations and lifecycle, readable and exact; the oracle of the native core.

```
 detections ─ high ─► 1 tracked + lost, overlap and appearance ─► 3 unconfirmed ─► 4 long-term ─► 5 births
            └ low ──► 2 tracked that are left, overlap alone
                      predict, camera motion before ▲                    expiry, duplicates after ▼
```
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.runtime.native import iou_distance
from reidkit.runtime.tracking import kalman
from reidkit.runtime.tracking.association import AppearanceRule, Matching, match, match_by_overlap
from reidkit.runtime.tracking.camera_motion import Affine
from reidkit.runtime.tracking.classes import keep_apart, threshold
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.observation import Observation
from reidkit.runtime.tracking.recognition import recognise
from reidkit.runtime.tracking.state import TrackerState
from reidkit.runtime.tracking.table import Rows
from reidkit.runtime.tracking.tracks import Tracks, TrackState


class NumpyCore:
    """The core of one tracker, in NumPy."""

    def __init__(self, state: TrackerState) -> None:
        self._state = state

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
        """Take a frame's detections in, without a trace in the state, and return their boxes; see `BotSort.update`."""
        config, table = self._state.config, self._state.table
        observation = Observation.read(config, boxes_xyxy, scores, classes=classes, size=size)
        width = table.embedding.shape[1] or config.embedding_dim
        self._spared = observation.read_embeddings(config, embeddings, embedded, width=width)
        self._observation = observation
        return observation.boxes_xyxy

    def associate(self, affine: Affine | None, size: tuple[int, int] | None) -> Tracks:
        """Track the detections read last, at the state's moment."""
        state, observation = self._state, self._observation
        table = state.table
        state.appearance.spared += self._spared
        self._forget()
        if not table.embedding.shape[1] and observation.embeddings.shape[1]:
            table.set_embedding_dim(observation.embeddings.shape[1])
        confirmed = table.confirmed[: table.count]
        pool, unconfirmed = np.flatnonzero(confirmed), np.flatnonzero(~confirmed)
        kalman.predict_over(table, pool, state.moment.steps)
        late = state.frames_lost()[pool] > state.longest_lost + 1
        table.state[pool[late]] = TrackState.LOST  # left to the long-term stage
        pool = pool[~late]
        if affine is not None:
            kalman.move_camera(table, affine)

        pool, high = self._match_by_appearance(observation, pool, observation.high, confirmed=True)
        pool = pool[table.state[pool] == TrackState.TRACKED]
        pool = self._match_by_overlap(observation, pool)
        table.state[pool] = TrackState.LOST
        unconfirmed, high = self._match_by_appearance(observation, unconfirmed, high, confirmed=False)
        high = recognise(state, observation, high, size=size)
        self._remove(unconfirmed)
        self._give_birth(observation, high)
        self._drop_duplicates()
        return self._answer()

    def _match_by_appearance(
        self, observation: Observation, rows: Rows, candidates: Rows, *, confirmed: bool
    ) -> tuple[Rows, Rows]:
        """Associations 1 and 3: match `rows` with `candidates`; return what is left of both."""
        if not rows.size or not candidates.size:
            return rows, candidates
        config, table = self._state.config, self._state.table
        distance = self._distance(observation, rows, candidates)
        matching = match(
            distance,
            config.match_cost if confirmed else config.unconfirmed_match_cost,
            scores=observation.scores[candidates] if config.fuse_score else None,
            track_embeddings=table.embedding,
            track_rows=np.where(table.has_embedding[rows], rows, -1),
            detection_embeddings=observation.embeddings,
            detection_rows=observation.embedding_rows[candidates],
            rule=_rule(config, confirmed=confirmed),
        )
        self._count(matching)
        self._state.follow(observation, rows[matching.rows], candidates[matching.columns])
        return _without(rows, matching.rows), _without(candidates, matching.columns)

    def _match_by_overlap(self, observation: Observation, rows: Rows) -> Rows:
        """Association 2: match `rows` with the low detections; return the rows left."""
        if not rows.size or not observation.low.size:
            return rows
        distance = self._distance(observation, rows, observation.low)
        matching = match_by_overlap(distance, self._state.config.second_match_cost)
        self._state.follow(observation, rows[matching.rows], observation.low[matching.columns])
        return _without(rows, matching.rows)

    def _distance(self, observation: Observation, rows: Rows, candidates: Rows) -> NDArray[np.float64]:
        """``1 - IoU`` of tracks and detections, classes kept apart."""
        table, penalty = self._state.table, self._state.config.other_class_penalty
        distance = iou_distance(table.boxes_xyxy(rows), observation.boxes_xyxy[candidates])
        keep_apart(distance, penalty, table.class_id[rows], observation.classes[candidates])
        return distance

    def _remove(self, unconfirmed: Rows) -> None:
        """Drop unconfirmed tracks that were not matched, and those lost for too long."""
        table = self._state.table
        expired = table.state[: table.count] == TrackState.LOST
        expired &= self._state.frames_lost() > self._state.longest_kept
        expired[unconfirmed] = True
        self._state.keep(~expired)

    def _forget(self) -> None:
        """Drop tracks that would have expired already, had the frames been there that a jump in time left out."""
        self._state.keep(self._state.frames_lost() <= self._state.longest_kept + 1)

    def _give_birth(self, observation: Observation, candidates: Rows) -> None:
        """Start tracks on unclaimed detections."""
        least = threshold(self._state.config, "new_track_score", observation.classes[candidates])
        born = candidates[observation.scores[candidates] >= least]
        if born.size:
            self._state.begin(observation, born)

    def _drop_duplicates(self) -> None:
        """Of a tracked and a lost track in one place keep the one with the longer life, on a tie the lost one."""
        state, config = self._state, self._state.config
        table = state.table
        tracked = table.state[: table.count] == TrackState.TRACKED
        tracked_rows = np.flatnonzero(tracked)
        lost_rows = np.flatnonzero(~tracked & (state.frames_lost() <= state.longest_lost))
        if not tracked_rows.size or not lost_rows.size:
            return
        distance = iou_distance(table.boxes_xyxy(tracked_rows), table.boxes_xyxy(lost_rows))
        keep_apart(distance, config.other_class_penalty, table.class_id[tracked_rows], table.class_id[lost_rows])
        first, second = np.nonzero(distance < 1 - config.duplicate_iou)
        if not first.size:
            return
        life = table.last_frame[: table.count] - table.start_frame[: table.count]
        first, second = tracked_rows[first], lost_rows[second]
        alive = np.ones(table.count, np.bool_)
        alive[np.where(life[first] > life[second], second, first)] = False
        state.keep(alive)

    def _count(self, matching: Matching) -> None:
        counts = self._state.appearance
        counts.decided += matching.decided
        counts.changed += matching.changed
        counts.vetoed += matching.vetoed

    def _answer(self) -> Tracks:
        table = self._state.table
        rows = np.flatnonzero(table.confirmed[: table.count] & (table.state[: table.count] == TrackState.TRACKED))
        return Tracks(
            ids=table.id[rows],
            boxes_xyxy=table.boxes_xyxy(rows),
            scores=table.score[rows],
            classes=table.class_id[rows],
            detection_index=table.detection_index[rows],
            confirmed=table.confirmed[rows],
        )


def _rule(config: BotSortConfig, *, confirmed: bool) -> AppearanceRule:
    min_cosine, cost_scale = config.min_cosine, config.appearance_cost_scale
    if not confirmed and config.unconfirmed_min_cosine is not None:
        min_cosine = config.unconfirmed_min_cosine
    if not confirmed and config.unconfirmed_appearance_cost_scale is not None:
        cost_scale = config.unconfirmed_appearance_cost_scale
    return AppearanceRule(config.min_iou_for_appearance, min_cosine, cost_scale, config.temperature)


def _without(values: Rows, taken: Rows) -> Rows:
    """`values` less those at the positions `taken`."""
    left = np.ones(values.size, np.bool_)
    left[taken] = False
    return values[left]
