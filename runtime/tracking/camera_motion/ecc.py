"""Camera motion by enhanced correlation (Evangelidis, Psarakis, "Parametric Image Alignment Using ECC", 2008)."""

from __future__ import annotations

import numpy as np

from reidkit.runtime.tracking.arguments import Picture
from reidkit.runtime.tracking.camera_motion.motion import (
    NOBODY,
    Affine,
    Boxes,
    Grey,
    covered,
    grey_of,
    halved,
    identity,
    load_opencv,
    mask_of,
)


class EccMotion:
    """The shift and turn that maximise the correlation of two whole frames at half size; it knows no zoom.

    For small motions only, and some ten times as dear as `AutoMotion`. Frames between which it finds no correlation
    (black, flat, a cut) give the identity.
    """

    ITERATIONS = 100
    PRECISION = 1e-5  # of the correlation coefficient
    SMOOTHING = 5  # pixels, width of the Gaussian that OpenCV applies first

    def __init__(self) -> None:
        self._cv2 = load_opencv("ecc")
        self.reset()

    def reset(self) -> None:
        """Forget the last frame."""
        self._last: Grey | None = None

    def estimate(self, frame: Picture | None, people_xyxy: Boxes = NOBODY) -> Affine:
        """(2, 3) affine since the last frame; see `CameraMotion`."""
        cv2 = self._cv2
        grey, shrunk = halved(cv2, grey_of(cv2, frame, "ecc"))
        last, self._last = self._last, grey
        if last is None or last.shape != grey.shape:
            return identity()
        mask = mask_of(~covered(grey.shape, people_xyxy, shrunk))
        criteria = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, self.ITERATIONS, self.PRECISION
        try:
            _, affine = cv2.findTransformECC(
                last, grey, np.eye(2, 3, dtype=np.float32), cv2.MOTION_EUCLIDEAN, criteria, mask, self.SMOOTHING
            )
        except cv2.error as error:
            if error.code != cv2.Error.StsNoConv:
                raise
            return identity()
        result: Affine = affine.astype(np.float64)
        result[:, 2] *= shrunk
        return result if np.isfinite(result).all() else identity()
