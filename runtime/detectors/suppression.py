"""Of boxes that overlap, the best one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def suppress(
    boxes_xyxy: NDArray[np.float64], scores: NDArray[np.float64], classes: NDArray[np.int64], *, max_iou: float
) -> NDArray[np.int64]:
    """Rows to keep, best score first: greedy non-maximum suppression within each class.

    Args:
        boxes_xyxy: (N, 4) float64, pixels.
        scores: (N,) float64; of equal scores the first row wins.
        classes: (N,) int64.
        max_iou: a box is dropped if a better one of its class overlaps it more than this.
    """
    x1, y1, x2, y2 = boxes_xyxy.T
    areas = (x2 - x1) * (y2 - y1)
    left = np.argsort(-scores, kind="stable")
    kept = []
    while left.size:
        best, others = left[0], left[1:]
        kept.append(best)
        width = np.minimum(x2[best], x2[others]) - np.maximum(x1[best], x1[others])
        height = np.minimum(y2[best], y2[others]) - np.maximum(y1[best], y1[others])
        intersection = np.maximum(width, 0) * np.maximum(height, 0)
        rival = (intersection > max_iou * (areas[best] + areas[others] - intersection)) & (
            classes[others] == classes[best]
        )
        left = others[~rival]
    return np.array(kept, dtype=np.int64)
