"""The long-term stage: lost people are brought back by appearance alone, before new ids are given. See `long_term`."""

from __future__ import annotations

import numpy as np

from reidkit.runtime.tracking import kalman
from reidkit.runtime.tracking.long_term import at_border, mutual_best, reachable
from reidkit.runtime.tracking.observation import Observation
from reidkit.runtime.tracking.state import TrackerState
from reidkit.runtime.tracking.table import Rows
from reidkit.runtime.tracking.tracks import TrackState


def recognise(state: TrackerState, observation: Observation, candidates: Rows, *, size: tuple[int, int] | None) -> Rows:
    """Let lost tracks take over the detections in which they are recognised.

    Args:
        state: of the tracker, whose `moment` is this frame's.
        observation: the frame's detections.
        candidates: (K,) rows of those that nobody has claimed.
        size: width and height of the picture, if known; needed by ``long_term_reentry: false``.

    Returns:
        The candidates left.
    """
    config, table, rings = state.config, state.table, state.rings
    embedded = candidates[observation.embedding_rows[candidates] >= 0]
    lost = np.flatnonzero(table.state[: table.count] == TrackState.LOST)
    if config.long_term_min_cosine is None or rings is None or not (lost.size and embedded.size):
        return candidates
    measured = observation.measured[embedded]
    frames_lost = state.frames_lost()[lost]
    predicted, seen = table.position[lost], table.position[lost]
    seen[:, :2] -= table.velocity[lost, :2] * frames_lost[:, None]  # lost tracks go on at their last speed
    allowed = reachable(
        seen, predicted, measured, frames_lost, max_speed=config.long_term_max_speed, frame_rate=config.frame_rate
    )
    if size is not None and not config.long_term_reentry:
        allowed[at_border(seen, width=size[0], height=size[1])] = False
    allowed[rings.counts(table.id[lost]) < config.long_term_min_embeddings] = False
    if config.other_class_penalty:
        allowed &= table.class_id[lost, None] == observation.classes[embedded]
    similarity = rings.similarity(table.id[lost], observation.embeddings[observation.embedding_rows[embedded]])
    rows, columns = mutual_best(
        similarity, allowed, minimum=config.long_term_min_cosine, margin=config.long_term_margin
    )
    state.appearance.recognised += rows.size
    kalman.start(table, lost[rows], measured[columns])
    state.follow(observation, lost[rows], embedded[columns])
    return candidates[~np.isin(candidates, embedded[columns])]
