"""Which people of a frame are to be embedded, and their embeddings as a tracker takes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.detectors import Detections
from reidkit.runtime.tracking import BotSort
from reidkit.runtime.video.sources import Frame


def rows_to_embed(tracker: BotSort, frame: Frame, seen: Detections, *, at_most: int | None = None) -> NDArray[np.int64]:
    """Rows of the detections that the tracker wants to be embedded, ascending; arguments as for `BotSort.wanted`."""
    return tracker.wanted(
        seen.boxes_xyxy,
        seen.scores,
        classes=seen.classes,
        frame=frame.image,
        timestamp_s=frame.timestamp_s,
        at_most=at_most,
    )


def spared(tracker: BotSort, frame: Frame, seen: Detections, rows: NDArray[np.int64]) -> int:
    """How many boxes of the frame would be embedded besides `rows`, were it not for the settings `economy_…`."""
    if not tracker.config.is_economical:
        return 0
    every = tracker.wanted(seen.boxes_xyxy, seen.scores, classes=seen.classes, frame=frame.image, economical=False)
    return len(every) - len(rows)


def in_their_rows(
    found: NDArray[np.float32], rows: NDArray[np.int64], *, of: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Embeddings (K, D) of some rows as (N, D), zeros elsewhere, and which rows (N,) those are; `of` is N."""
    embeddings = np.zeros((of, found.shape[1]), np.float32)
    embedded = np.zeros(of, np.bool_)
    embeddings[rows], embedded[rows] = found, True
    return embeddings, embedded
