"""What a detector sees in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Boxes of one frame, one row each.

    Attributes:
        boxes_xyxy: (N, 4) float64, pixels of the frame; may reach beyond its edges.
        scores: (N,) float64, confidence in [0, 1].
        classes: (N,) int64, the detector's class index (COCO's: 0 is a person).
    """

    boxes_xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    @staticmethod
    def none() -> Detections:
        """A frame in which nobody was seen."""
        return Detections(np.empty((0, 4)), np.empty(0), np.empty(0, dtype=np.int64))
