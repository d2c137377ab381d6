"""What a tracker knows from one frame to the next, and the steps by which either of its cores goes on from there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.native import blend_embeddings
from reidkit.runtime.tracking import kalman
from reidkit.runtime.tracking.classes import vote
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.long_term import EmbeddingRings
from reidkit.runtime.tracking.moment import Moment
from reidkit.runtime.tracking.observation import Observation
from reidkit.runtime.tracking.table import Rows, TrackTable
from reidkit.runtime.tracking.tracks import TrackState


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


class TrackerState:
    """All that a tracker remembers but its camera estimator.

    Attributes:
        config: the tracker's settings.
        table: the tracks.
        rings: their past embeddings, None before the first or without a long-term stage.
        moment: of the update that is going on, or was the last.
        next_id: of the next person.
        appearance: what it decided so far.
    """

    def __init__(self, config: BotSortConfig) -> None:
        self.config = config
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.table = TrackTable()
        self.rings: EmbeddingRings | None = None
        self.moment = Moment()
        self.next_id = 1
        self.appearance = AppearanceCounts()

    @property
    def longest_lost(self) -> int:
        """Frames for which a lost track is looked for by overlap."""
        return max(self.config.max_lost_frames, 1)  # whoever got lost in this frame stays for the next

    @property
    def longest_kept(self) -> int:
        """Frames for which it is kept at all."""
        by_appearance = 0 if self.config.long_term_min_cosine is None else self.config.long_term_lost_frames
        return max(self.longest_lost, by_appearance)

    def frames_lost(self) -> NDArray[np.int64]:
        """(T,) frames since each track was seen."""
        return self.moment.frame - self.table.last_frame[: self.table.count]

    def follow(self, observation: Observation, rows: Rows, detections: Rows) -> None:
        """Let tracks take over the detections they were matched with."""
        if not rows.size:
            return
        table = self.table
        kalman.correct(table, rows, observation.measured[detections])
        table.state[rows] = TrackState.TRACKED
        table.confirmed[rows] = True
        self._note(observation, rows, detections)
        self._blend(observation, rows, detections)

    def begin(self, observation: Observation, detections: Rows) -> None:
        """Start tracks on detections, confirmed at once in the first frame."""
        table, count = self.table, detections.size
        where = table.append(count)
        rows = np.arange(where.start, where.stop)
        kalman.start(table, where, observation.measured[detections])
        table.id[where] = np.arange(self.next_id, self.next_id + count)
        table.state[where] = TrackState.TRACKED
        table.confirmed[where] = self.moment.number == 1
        table.start_frame[where] = self.moment.frame
        self._note(observation, where, detections)
        self.next_id += int(count)
        self._blend(observation, rows, detections)

    def keep(self, alive: NDArray[np.bool_]) -> None:
        """Forget the tracks where `alive`, (T,), is False."""
        if alive.all():
            return
        self.table.keep(alive)
        self.forget_rings()

    def forget_rings(self) -> None:
        """Forget the past embeddings of whoever is no longer in the table."""
        if self.rings is not None:
            self.rings.keep(self.table.id[: self.table.count])

    def recall(self, observation: Observation, rows: Rows, detections: Rows) -> None:
        """Put the embeddings that tracks were given into their rings."""
        self._recall(*_embedded(observation, rows, detections))

    def _note(self, observation: Observation, rows: Rows | slice, detections: Rows) -> None:
        table = self.table
        table.last_frame[rows] = self.moment.frame
        table.score[rows] = observation.scores[detections]
        if self.config.class_vote:
            vote(table, rows, observation.classes[detections], observation.scores[detections])
        else:
            table.class_id[rows] = observation.classes[detections]
        table.detection_index[rows] = detections

    def _blend(self, observation: Observation, rows: Rows, detections: Rows) -> None:
        """Move the tracks' appearance towards their detections' (arXiv 2206.14651, equation 9)."""
        table = self.table
        rows, embeddings = _embedded(observation, rows, detections)
        if not rows.size:
            return
        blend_embeddings(table.embedding, table.has_embedding, rows, embeddings, self.config.ema_weight)
        table.embedded_frame[rows] = self.moment.frame
        if self.config.long_term_min_cosine is not None:
            self._recall(rows, embeddings)

    def _recall(self, rows: Rows, embeddings: NDArray[np.float64]) -> None:
        if not rows.size:
            return
        if self.rings is None:
            self.rings = EmbeddingRings(self.config.long_term_history, embeddings.shape[1])
        self.rings.add(self.table.id[rows], embeddings)


def _embedded(observation: Observation, rows: Rows, detections: Rows) -> tuple[Rows, NDArray[np.float64]]:
    """Those of the tracks whose detections have an embedding, and (R, D) unit embeddings."""
    embedding_rows = observation.embedding_rows[detections]
    has_one = embedding_rows >= 0
    return rows[has_one], observation.embeddings[embedding_rows[has_one]]
