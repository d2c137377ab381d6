"""Which crops are worth embedding: those whose embedding may change a decision, and those of tracks seen long ago.

```
 detection ─► one track overlaps it best by a margin, and is itself overlapped by no other so well?
                │ yes: overlap decides, with an embedding or without          │ no: ambiguous, embed
                ▼
              that track's appearance is older than `economy_refresh_frames`? ─ yes: stale, embed
                │ no
                ▼ spare it
```

Where a budget leaves room for some only, the ambiguous go before the stale, and of both the oldest appearances first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.native import iou_distance
from reidkit.runtime.tracking.classes import keep_apart
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.moment import Moment
from reidkit.runtime.tracking.observation import Observation
from reidkit.runtime.tracking.table import Rows, TrackTable
from reidkit.runtime.tracking.tracks import TrackState


def worth_embedding(
    config: BotSortConfig,
    table: TrackTable,
    observation: Observation,
    candidates: Rows,
    *,
    tracks: Rows,
    moment: Moment,
    at_most: int | None,
) -> Rows:
    """The rows of `candidates` to embed, ascending.

    Args:
        config: its `economy_…` settings.
        table: the tracks as the last update left them.
        observation: the detections.
        candidates: (K,) rows of detections that may carry an embedding.
        tracks: (T,) rows of the tracks that these detections may be matched with.
        moment: of the update that these detections are for.
        at_most: largest number of rows; None for any.
    """
    clear, age = _clear_and_age(config, table, observation, candidates, tracks, moment)
    chosen = np.flatnonzero(~clear | (age >= config.economy_refresh_frames))
    if at_most is not None and chosen.size > at_most:
        by_need = np.lexsort((-age[chosen], clear[chosen]))
        chosen = np.sort(chosen[by_need[:at_most]])
    return candidates[chosen]


def _clear_and_age(
    config: BotSortConfig, table: TrackTable, observation: Observation, candidates: Rows, tracks: Rows, moment: Moment
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """(K,) whether overlap alone will do, and (K,) frames since the appearance of the likeliest track was renewed."""
    if not tracks.size or not candidates.size:
        return np.zeros(candidates.size, np.bool_), np.full(candidates.size, np.inf)
    distance = iou_distance(_boxes_ahead(table, tracks, moment.steps), observation.boxes_xyxy[candidates])
    keep_apart(distance, config.other_class_penalty, table.class_id[tracks], observation.classes[candidates])
    overlap = 1 - distance
    best, columns = overlap.argmax(axis=0), np.arange(candidates.size)
    leading, others = overlap[best, columns], overlap[best]
    overlap[best, columns] = others[columns, columns] = 0
    rival = np.maximum(overlap.max(axis=0), others.max(axis=1))
    likeliest = tracks[best]
    limit = np.where(table.confirmed[likeliest], config.match_cost, config.unconfirmed_match_cost)
    matching = leading * (observation.scores[candidates] if config.fuse_score else 1) > 1 - limit
    clear = matching & (leading - rival >= config.economy_margin) & (table.state[likeliest] == TrackState.TRACKED)
    known = matching & table.has_embedding[likeliest]
    return clear, np.where(known, moment.frame - table.embedded_frame[likeliest], np.inf)


def _boxes_ahead(table: TrackTable, rows: Rows, steps: float) -> NDArray[np.float64]:
    """(R, 4) boxes where the tracks will be after `steps` frames, at their present sizes."""
    boxes = table.boxes_xyxy(rows)
    boxes += np.tile(steps * table.velocity[rows, :2], 2)
    return boxes
