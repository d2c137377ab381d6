"""BoT-SORT: one frame's detections in, the confirmed tracks out.

```
 detections ─ high ─► 1 tracked + lost, overlap and appearance ─► 3 unconfirmed ─► 4 long-term ─► 5 births
            └ low ──► 2 tracked that are left, overlap alone
                      predict, camera motion before ▲                    expiry, duplicates after ▼
```

The order, the gates and the limits are those of arXiv 2206.14651 and of its authors' code; with default settings every
decision is theirs. Where several assignments are equally good the one of the lowest ids and detections is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.runtime.errors import InvalidConfig, InvalidInput
from reidkit.runtime.native import blend_embeddings, iou_distance
from reidkit.runtime.tracking import kalman
from reidkit.runtime.tracking.arguments import Picture, is_whole, number_array, picture_size
from reidkit.runtime.tracking.association import AppearanceRule, Matching, match, match_by_overlap
from reidkit.runtime.tracking.camera_motion import Affine, PrecomputedMotion, camera_motion_of
from reidkit.runtime.tracking.classes import keep_apart, threshold, vote
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.economy import worth_embedding
from reidkit.runtime.tracking.long_term import EmbeddingRings, at_border, mutual_best, reachable
from reidkit.runtime.tracking.moment import Moment
from reidkit.runtime.tracking.native_core import NativeCore
from reidkit.runtime.tracking.observation import MAX_COORDINATE, Observation
from reidkit.runtime.tracking.table import Rows, TrackTable
from reidkit.runtime.tracking.tracks import Tracks, TrackState

_LARGEST_MOTION = np.array([100, 100, MAX_COORDINATE])


@dataclass(slots=True)
class AppearanceCounts:
    """What appearance has done since the tracker was made.

    Attributes:
        decided: matches whose cost came from appearance.
        changed: tracks that got a detection which overlap alone would not have given them.
        vetoed: tracks that overlap alone would have matched and appearance left without a detection.
        recognised: lost people brought back by the long-term stage.
        spared: detections that could have been compared by appearance and came without an embedding.
    """

    decided: int = 0
    changed: int = 0
    vetoed: int = 0
    recognised: int = 0
    spared: int = 0


class BotSort:
    """A BoT-SORT tracker of one camera. Not thread-safe; ids are its own and start at 1.

    Raises `InvalidConfig` for settings that still say ``auto``: `BotSortConfig.resolved` asks the artifact.

    Attributes:
        config: its settings.
        appearance: what appearance decided so far.
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
        self._native = NativeCore(self) if self.config.core == "native" else None
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next update is frame 1 and ids start at 1 again."""
        self.appearance = AppearanceCounts()
        self.stage_ms = {"camera_motion": 0.0, "associate": 0.0}
        self._table = TrackTable()
        self._rings: EmbeddingRings | None = None
        self._moment = Moment()
        self._next_id = 1
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
    ) -> NDArray[np.int64]:
        """Rows of the detections worth embedding for the next `update`, ascending; changes no state.

        These are all whose embeddings it would read, or, with the settings `economy_…`, as many as are needed.

        Args:
            boxes_xyxy: as for `update`, like all but the last.
            scores: likewise.
            classes: likewise.
            frame: likewise; of `ignored_regions` in shares, which look at its size.
            timestamp_s: likewise.
            at_most: largest number of rows, besides `economy_max_crops`.
        """
        config = self.config
        if at_most is not None and not (is_whole(at_most) and at_most >= 0):
            raise InvalidInput(f"at_most is {at_most!r}: give a whole number from 0 on, or None for any")
        observation = Observation.read(config, boxes_xyxy, scores, classes=classes, size=picture_size(frame))
        if not config.with_reid:
            return np.zeros(0, np.int64)
        embeddable = observation.embeddable(config)
        limits = [limit for limit in (at_most, config.economy_max_crops) if limit is not None]
        if not config.economy_refresh_frames and not limits:
            return embeddable
        moment = self._moment.next(config, timestamp_s)
        within_reach = moment.frame - self._table.last_frame[: self._table.count] <= self._longest_lost() + 1
        return worth_embedding(
            config,
            self._table,
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
        size = picture_size(frame)
        if self._native is not None:
            return self._native.update(
                boxes_xyxy,
                scores,
                classes=classes,
                embeddings=embeddings,
                embedded=embedded,
                frame=frame,
                camera_motion=camera_motion,
                timestamp_s=timestamp_s,
            )
        config, table = self.config, self._table
        observation = Observation.read(config, boxes_xyxy, scores, classes=classes, size=size)
        spared = 0
        if config.with_reid:
            width = table.embedding.shape[1] or config.embedding_dim
            spared = observation.read_embeddings(config, embeddings, embedded, width=width)
        self._check_frame(frame)
        moment = self._moment.next(config, timestamp_s)
        started = perf_counter()
        affine = self._camera_motion(frame, observation.boxes_xyxy, camera_motion)
        camera_done = perf_counter()

        self._moment = moment
        self.appearance.spared += spared
        self._forget()
        if config.with_reid and not table.embedding.shape[1] and observation.embeddings.shape[1]:
            table.set_embedding_dim(observation.embeddings.shape[1])
        confirmed = table.confirmed[: table.count]
        pool, unconfirmed = np.flatnonzero(confirmed), np.flatnonzero(~confirmed)
        kalman.predict_over(table, pool, moment.steps)
        late = self._frames_lost()[pool] > self._longest_lost() + 1
        table.state[pool[late]] = TrackState.LOST  # left to the long-term stage
        pool = pool[~late]
        if affine is not None:
            kalman.move_camera(table, affine)

        pool, high = self._match_by_appearance(observation, pool, observation.high, confirmed=True)
        pool = pool[table.state[pool] == TrackState.TRACKED]
        pool = self._match_by_overlap(observation, pool)
        table.state[pool] = TrackState.LOST
        unconfirmed, high = self._match_by_appearance(observation, unconfirmed, high, confirmed=False)
        high = self._recognise(observation, high, frame)
        self._remove(unconfirmed)
        self._give_birth(observation, high)
        ended = perf_counter()
        self.stage_ms = {"camera_motion": 1e3 * (camera_done - started), "associate": 1e3 * (ended - camera_done)}
        return self._answer()

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

    def _check_frame(self, frame: Picture | None) -> None:
        if frame is None and self.config.long_term_min_cosine is not None and not self.config.long_term_reentry:
            raise InvalidInput("long_term_reentry: false looks where the picture ends: pass frame= to update()")

    def _camera_motion(
        self, frame: Picture | None, boxes_xyxy: NDArray[np.float64], given: ArrayLike | None
    ) -> Affine | None:
        if given is None:
            if isinstance(self._camera, PrecomputedMotion):
                # It is told the frame: the tracker may have been restored, or given the motion of the frames before.
                self._camera.frame = self._moment.number
            return None if self._camera is None else self._camera.estimate(frame, boxes_xyxy)
        affine = number_array(given, "camera_motion")
        sound = affine.shape == (2, 3) and bool((np.abs(affine) <= _LARGEST_MOTION).all())
        if not sound or abs(affine[0, 0] * affine[1, 1] - affine[0, 1] * affine[1, 0]) < 1e-6:
            raise InvalidInput(
                "camera_motion must be an invertible (2, 3) affine, of factors within ±100 and shifts within "
                f"±{MAX_COORDINATE:.0e} pixels, found {affine.tolist()}"
            )
        return affine

    def _match_by_appearance(
        self, observation: Observation, rows: Rows, candidates: Rows, *, confirmed: bool
    ) -> tuple[Rows, Rows]:
        """Associations 1 and 3: match `rows` with `candidates`; return what is left of both."""
        if not rows.size or not candidates.size:
            return rows, candidates
        config, table = self.config, self._table
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
        self._follow(observation, rows[matching.rows], candidates[matching.columns])
        return _without(rows, matching.rows), _without(candidates, matching.columns)

    def _match_by_overlap(self, observation: Observation, rows: Rows) -> Rows:
        """Association 2: match `rows` with the low detections; return the rows left."""
        if not rows.size or not observation.low.size:
            return rows
        distance = self._distance(observation, rows, observation.low)
        matching = match_by_overlap(distance, self.config.second_match_cost)
        self._follow(observation, rows[matching.rows], observation.low[matching.columns])
        return _without(rows, matching.rows)

    def _distance(self, observation: Observation, rows: Rows, candidates: Rows) -> NDArray[np.float64]:
        """``1 - IoU`` of tracks and detections, classes kept apart."""
        distance = iou_distance(self._table.boxes_xyxy(rows), observation.boxes_xyxy[candidates])
        keep_apart(
            distance, self.config.other_class_penalty, self._table.class_id[rows], observation.classes[candidates]
        )
        return distance

    def _recognise(self, observation: Observation, candidates: Rows, frame: Picture | None) -> Rows:
        """Long-term stage: bring lost tracks back by appearance alone; return the candidates left."""
        config, table = self.config, self._table
        candidates_embedded = candidates[observation.embedding_rows[candidates] >= 0]
        lost = np.flatnonzero(table.state[: table.count] == TrackState.LOST)
        if config.long_term_min_cosine is None or self._rings is None or not (lost.size and candidates_embedded.size):
            return candidates
        measured = observation.measured[candidates_embedded]
        embeddings = observation.embeddings[observation.embedding_rows[candidates_embedded]]
        frames_lost = self._moment.frame - table.last_frame[lost]
        predicted, seen = table.position[lost], table.position[lost]
        seen[:, :2] -= table.velocity[lost, :2] * frames_lost[:, None]  # lost tracks go on at their last speed
        allowed = reachable(
            seen,
            predicted,
            measured,
            frames_lost,
            max_speed=config.long_term_max_speed,
            frame_rate=config.frame_rate,
        )
        if frame is not None and not config.long_term_reentry:
            allowed[at_border(seen, width=frame.shape[1], height=frame.shape[0])] = False
        allowed[self._rings.counts(table.id[lost]) < config.long_term_min_embeddings] = False
        if config.other_class_penalty:
            allowed &= table.class_id[lost, None] == observation.classes[candidates_embedded]
        similarity = self._rings.similarity(table.id[lost], embeddings)
        rows, columns = mutual_best(
            similarity, allowed, minimum=config.long_term_min_cosine, margin=config.long_term_margin
        )
        self.appearance.recognised += rows.size
        kalman.start(table, lost[rows], measured[columns])
        self._follow(observation, lost[rows], candidates_embedded[columns])
        return candidates[~np.isin(candidates, candidates_embedded[columns])]

    def _follow(self, observation: Observation, rows: Rows, detections: Rows) -> None:
        """Let tracks take over the detections they were matched with."""
        if not rows.size:
            return
        table = self._table
        kalman.correct(table, rows, observation.measured[detections])
        table.state[rows] = TrackState.TRACKED
        table.confirmed[rows] = True
        self._note(observation, rows, detections)
        has_one = observation.embedding_rows[detections] >= 0
        if has_one.any():
            self._remember(rows[has_one], observation.embeddings[observation.embedding_rows[detections[has_one]]])

    def _note(self, observation: Observation, rows: Rows | slice, detections: Rows) -> None:
        table = self._table
        table.last_frame[rows] = self._moment.frame
        table.score[rows] = observation.scores[detections]
        if self.config.class_vote:
            vote(table, rows, observation.classes[detections], observation.scores[detections])
        else:
            table.class_id[rows] = observation.classes[detections]
        table.detection_index[rows] = detections

    def _remember(self, rows: Rows, embeddings: NDArray[np.float64]) -> None:
        """Move the tracks' appearance towards (R, D) unit embeddings (arXiv 2206.14651, equation 9)."""
        table = self._table
        blend_embeddings(table.embedding, table.has_embedding, rows, embeddings, self.config.ema_weight)
        table.embedded_frame[rows] = self._moment.frame
        if self.config.long_term_min_cosine is not None:
            self._recall(rows, embeddings)

    def _recall(self, rows: Rows, embeddings: NDArray[np.float64]) -> None:
        """Put (R, D) unit embeddings into the tracks' rings."""
        if self._rings is None:
            self._rings = EmbeddingRings(self.config.long_term_history, embeddings.shape[1])
        self._rings.add(self._table.id[rows], embeddings)

    def _remove(self, unconfirmed: Rows) -> None:
        """Drop unconfirmed tracks that were not matched, and those lost for too long."""
        table = self._table
        expired = table.state[: table.count] == TrackState.LOST
        expired &= self._moment.frame - table.last_frame[: table.count] > self._longest_kept()
        expired[unconfirmed] = True
        self._keep(~expired)

    def _forget(self) -> None:
        """Drop tracks that would have expired already, had the frames been there that a jump in time left out."""
        table = self._table
        self._keep(self._moment.frame - table.last_frame[: table.count] <= self._longest_kept() + 1)

    def _frames_lost(self) -> Rows:
        return self._moment.frame - self._table.last_frame[: self._table.count]

    def _longest_kept(self) -> int:
        by_appearance = 0 if self.config.long_term_min_cosine is None else self.config.long_term_lost_frames
        return max(self._longest_lost(), by_appearance)

    def _longest_lost(self) -> int:
        return max(self.config.max_lost_frames, 1)  # whoever got lost in this frame stays for the next

    def _give_birth(self, observation: Observation, candidates: Rows) -> None:
        """Start tracks on unclaimed detections, then drop duplicates of tracked and lost ones."""
        table = self._table
        least = threshold(self.config, "new_track_score", observation.classes[candidates])
        born = candidates[observation.scores[candidates] >= least]
        if born.size:
            where = table.append(born.size)
            rows = np.arange(where.start, where.stop)
            kalman.start(table, where, observation.measured[born])
            table.id[where] = np.arange(self._next_id, self._next_id + born.size)
            table.state[where] = TrackState.TRACKED
            table.confirmed[where] = self._moment.number == 1
            table.start_frame[where] = self._moment.frame
            self._note(observation, where, born)
            self._next_id += int(born.size)
            has_one = observation.embedding_rows[born] >= 0
            if has_one.any():
                self._remember(rows[has_one], observation.embeddings[observation.embedding_rows[born[has_one]]])
        self._drop_duplicates()

    def _drop_duplicates(self) -> None:
        """Of a tracked and a lost track in one place keep the one with the longer life, on a tie the lost one."""
        table = self._table
        tracked = table.state[: table.count] == TrackState.TRACKED
        tracked_rows, lost_rows = (
            np.flatnonzero(tracked),
            np.flatnonzero(~tracked & (self._frames_lost() <= self._longest_lost())),
        )
        if not tracked_rows.size or not lost_rows.size:
            return
        distance = iou_distance(table.boxes_xyxy(tracked_rows), table.boxes_xyxy(lost_rows))
        keep_apart(distance, self.config.other_class_penalty, table.class_id[tracked_rows], table.class_id[lost_rows])
        first, second = np.nonzero(distance < 1 - self.config.duplicate_iou)
        if not first.size:
            return
        life = table.last_frame[: table.count] - table.start_frame[: table.count]
        first, second = tracked_rows[first], lost_rows[second]
        alive = np.ones(table.count, np.bool_)
        alive[np.where(life[first] > life[second], second, first)] = False
        self._keep(alive)

    def _keep(self, alive: NDArray[np.bool_]) -> None:
        if alive.all():
            return
        self._table.keep(alive)
        if self._rings is not None:
            self._rings.keep(self._table.id[: self._table.count])

    def _count(self, matching: Matching) -> None:
        self.appearance.decided += matching.decided
        self.appearance.changed += matching.changed
        self.appearance.vetoed += matching.vetoed

    def _answer(self) -> Tracks:
        table = self._table
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
