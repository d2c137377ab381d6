"""Camera motion by sparse optical flow, as the BoT-SORT authors estimate it (arXiv 2206.14651, section 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.tracking.arguments import Picture
from reidkit.runtime.tracking.camera_motion.motion import (
    NOBODY,
    Affine,
    Boxes,
    Grey,
    grey_of,
    halved,
    identity,
    load_opencv,
)


class SparseFlow:
    """Sparse optical flow on corners at half size, and a partial affine through them by RANSAC, as the authors do it.

    The first frame, one of another size than the last, one without corners, and one in which fewer than a quarter of
    the corners agree on a motion (a cut, a lens that was covered) give the identity. People are not masked out.
    """

    CORNERS = 1000
    MIN_AGREEING = 0.25

    def __init__(self) -> None:
        self._cv2 = load_opencv("sparse_flow")
        self.reset()

    def reset(self) -> None:
        """Forget the last frame."""
        self._last: Grey | None = None
        self._corners: NDArray[np.float32] | None = None

    def estimate(self, frame: Picture | None, people_xyxy: Boxes = NOBODY) -> Affine:
        """(2, 3) affine since the last frame; see `CameraMotion`."""
        cv2 = self._cv2
        grey, shrunk = halved(cv2, grey_of(cv2, frame, "sparse_flow"))
        last, corners = self._last, self._corners
        self._last = grey
        self._corners = cv2.goodFeaturesToTrack(grey, self.CORNERS, 0.01, 1, blockSize=3)
        if last is None or corners is None or last.shape != grey.shape:
            return identity()
        moved, found, _ = cv2.calcOpticalFlowPyrLK(last, grey, corners, None)
        kept = found.ravel() == 1
        if np.count_nonzero(kept) < 5:
            return identity()
        cv2.setRNGSeed(0)  # RANSAC draws from a global generator: without this a rerun may differ
        affine, agreeing = cv2.estimateAffinePartial2D(corners[kept], moved[kept], method=cv2.RANSAC)
        if affine is None or np.count_nonzero(agreeing) < self.MIN_AGREEING * len(corners):
            return identity()
        affine[:, 2] *= shrunk
        result: Affine = affine.astype(np.float64)
        return result
