"""Camera motion by matched ORB features (Rublee et al., "ORB: an efficient alternative to SIFT or SURF", 2011)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.tracking.arguments import Picture
from reidkit.runtime.tracking.camera_motion.motion import (
    NOBODY,
    Affine,
    Boxes,
    covered,
    grey_of,
    halved,
    identity,
    load_opencv,
    mask_of,
)


class OrbMotion:
    """ORB features of the background at half size, matched both ways, and a partial affine through them by RANSAC.

    It bears any motion that leaves half of the picture in sight, at an accuracy of about a pixel. Frames with too few
    features, and those of which fewer than a quarter of the matches agree, give the identity.
    """

    FEATURES = 1000
    MIN_MATCHES = 8
    MIN_SIDE = 64  # pixels; OpenCV's pyramid of a smaller picture ends in an error
    MIN_AGREEING = 0.25

    def __init__(self) -> None:
        self._cv2 = load_opencv("orb")
        self._orb = self._cv2.ORB_create(nfeatures=self.FEATURES)
        self._matcher = self._cv2.BFMatcher(self._cv2.NORM_HAMMING, crossCheck=True)
        self.reset()

    def reset(self) -> None:
        """Forget the last frame."""
        self._last: tuple[tuple[int, int], NDArray[np.float32], Any] | None = None

    def estimate(self, frame: Picture | None, people_xyxy: Boxes = NOBODY) -> Affine:
        """(2, 3) affine since the last frame; see `CameraMotion`."""
        cv2 = self._cv2
        grey, shrunk = halved(cv2, grey_of(cv2, frame, "orb"))
        if min(grey.shape) < self.MIN_SIDE:
            self.reset()
            return identity()
        keypoints, descriptors = self._orb.detectAndCompute(grey, mask_of(~covered(grey.shape, people_xyxy, shrunk)))
        points = np.array([keypoint.pt for keypoint in keypoints], np.float32).reshape(-1, 2)
        last, self._last = self._last, (grey.shape, points, descriptors)
        if last is None or last[0] != grey.shape or last[2] is None or descriptors is None:
            return identity()
        matches = self._matcher.match(last[2], descriptors)
        if len(matches) < self.MIN_MATCHES:
            return identity()
        before = last[1][[match.queryIdx for match in matches]]
        after = points[[match.trainIdx for match in matches]]
        cv2.setRNGSeed(0)  # RANSAC draws from a global generator: without this a rerun may differ
        affine, agreeing = cv2.estimateAffinePartial2D(before, after, method=cv2.RANSAC)
        if affine is None or np.count_nonzero(agreeing) < max(self.MIN_MATCHES, self.MIN_AGREEING * len(matches)):
            return identity()
        result: Affine = affine.astype(np.float64)
        result[:, 2] *= shrunk
        return result
