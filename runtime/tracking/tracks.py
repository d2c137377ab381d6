"""What a tracker returns: `Tracks`, arrays over the people of one frame, and `Track`, a view of one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class TrackState(IntEnum):
    """Where a track is in its life; a removed one is no longer kept."""

    TRACKED = 1
    LOST = 2


@dataclass(frozen=True, slots=True)
class Track:
    """One person in one frame.

    Attributes:
        id: number of the person, unique within a tracker, from 1.
        box_xyxy: (4,) float64, filtered box in pixels.
        score: score of the detection that was matched last.
        class_id: class of that detection.
        detection_index: row of this frame's detections that it was matched with, -1 where none.
        confirmed: seen in more than one frame, or born in the first.
    """

    id: int
    box_xyxy: NDArray[np.float64]
    score: float
    class_id: int
    detection_index: int
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Tracks:
    """The people of one frame, by ascending id; iterating yields `Track` views.

    Attributes:
        ids: (T,) int64.
        boxes_xyxy: (T, 4) float64, filtered boxes in pixels.
        scores: (T,) float64.
        classes: (T,) int64.
        detection_index: (T,) int64, rows of this frame's detections, -1 where none.
        confirmed: (T,) bool.
    """

    ids: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    detection_index: NDArray[np.int64]
    confirmed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Track:
        return Track(
            id=int(self.ids[row]),
            box_xyxy=self.boxes_xyxy[row],
            score=float(self.scores[row]),
            class_id=int(self.classes[row]),
            detection_index=int(self.detection_index[row]),
            confirmed=bool(self.confirmed[row]),
        )

    def renamed(self, ids: NDArray[np.int64]) -> Tracks:
        """The same people under other ids, (T,) int64, each at most once; ascending by those."""
        order = np.argsort(ids)
        return Tracks(
            ids=ids[order],
            boxes_xyxy=self.boxes_xyxy[order],
            scores=self.scores[order],
            classes=self.classes[order],
            detection_index=self.detection_index[order],
            confirmed=self.confirmed[order],
        )

    def __iter__(self) -> Iterator[Track]:
        return (self[row] for row in range(len(self)))
