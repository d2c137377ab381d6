"""Camera motion that costs what the camera makes of it: little while it stands, the full accuracy when it moves.

```
 frame ─► grey, working size ─► still? align with the picture it has stood on ── yes ─► identity
                                              │ no
                                              └─► corners, coarse flow, RANSAC ─► align with the last picture
```
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reidkit.runtime.tracking.arguments import Picture
from reidkit.runtime.tracking.camera_motion.alignment import Landmarks, View
from reidkit.runtime.tracking.camera_motion.motion import (
    NOBODY,
    Affine,
    Boxes,
    Grey,
    displacement,
    grey_of,
    identity,
    load_opencv,
    mask_of,
)


class AutoMotion:
    """Shift, turn and zoom to a tenth of a pixel, of what is no person.

    While the camera stands, each frame is aligned with one and the same picture, so that nothing adds up; a motion
    that moves no corner of the frame by `STILL` pixels is none. A frame of another size, one without texture, and one
    of another place (a cut, a covered lens) begin anew and give the identity.

    Args:
        pixels: size of the picture that is worked on: the frame, halved until it has no more than this.
        points: landmarks that are looked for in it.
    """

    STILL = 0.1  # pixels of the frame
    MIN_AGREEING = 0.6  # of the landmarks, for a camera that stands; else it is looked at closely
    COARSE_PIXELS = 70_000
    COARSE_CORNERS = 150
    MIN_FOLLOWED = 0.25  # of the corners, for two pictures to show the same place
    MIN_CORNERS = 8
    MAX_ZOOM = 2.0  # in one frame, either way

    def __init__(self, *, pixels: int, points: int) -> None:
        self._cv2 = load_opencv("auto")
        self._pixels, self._points = pixels, points
        self.reset()

    def reset(self) -> None:
        """Forget the frames seen."""
        self._size: tuple[int, ...] = ()
        self._last: View | None = None
        self._stands_on: Landmarks | None = None

    def estimate(self, frame: Picture | None, people_xyxy: Boxes = NOBODY) -> Affine:
        """(2, 3) affine since the last frame; see `CameraMotion`."""
        grey = grey_of(self._cv2, frame, "auto")
        if grey.shape != self._size:
            self.reset()
            self._size = grey.shape
        picture, shrunk = _shrink(self._cv2, grey, self._pixels)
        view = View.of(self._cv2.GaussianBlur(picture, (5, 5), 0), people_xyxy, shrunk)
        last, self._last = self._last, view
        if last is None:
            return identity()
        if self._stands_on is not None:
            found = self._stands_on.align(view, identity())
            if found.settled and found.agreeing >= self.MIN_AGREEING:
                return self._settled(found.affine, self._stands_on, shrunk)
        landmarks = Landmarks(self._cv2, last, count=self._points)
        coarse = self._follow_corners(last, view)
        if coarse is None:
            self._stands_on = None
            return identity()
        return self._settled(landmarks.align(view, coarse).affine, landmarks, shrunk)

    def _settled(self, affine: Affine, landmarks: Landmarks, shrunk: int) -> Affine:
        """The motion in pixels of the frame; one too small to count leaves the camera standing on `landmarks`."""
        full = _enlarged(affine, shrunk)
        if displacement(full, width=self._size[1], height=self._size[0]) < self.STILL:
            self._stands_on = landmarks
            return identity()
        self._stands_on = None
        return full

    def _follow_corners(self, last: View, view: View) -> Affine | None:
        """The motion to a few pixels of the working size, however far; None where most corners are not found again."""
        cv2 = self._cv2
        before, shrunk = _shrink(cv2, last.picture, self.COARSE_PIXELS)
        after, _ = _shrink(cv2, view.picture, self.COARSE_PIXELS)
        background = cv2.resize(mask_of(~last.people), before.shape[::-1], interpolation=cv2.INTER_NEAREST)
        apart = max(3, before.shape[1] // 60)
        corners = cv2.goodFeaturesToTrack(before, self.COARSE_CORNERS, 0.01, apart, mask=background, blockSize=3)
        if corners is None or len(corners) < self.MIN_CORNERS:
            return None
        moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, winSize=(15, 15), maxLevel=4)
        kept = found.ravel() == 1
        if np.count_nonzero(kept) < self.MIN_CORNERS:
            return None
        cv2.setRNGSeed(0)  # RANSAC draws from a global generator: without this a rerun may differ
        affine, agreeing = cv2.estimateAffinePartial2D(
            corners[kept], moved[kept], method=cv2.RANSAC, ransacReprojThreshold=1.0
        )
        if affine is None or np.count_nonzero(agreeing) < max(self.MIN_CORNERS, self.MIN_FOLLOWED * len(corners)):
            return None
        zoom = float(np.hypot(*affine[:, 0]))
        return _enlarged(affine, shrunk) if 1 / self.MAX_ZOOM < zoom < self.MAX_ZOOM else None


def _shrink(cv2: Any, grey: Grey, pixels: int) -> tuple[Grey, int]:
    """`grey`, halved until it has no more than `pixels`, and how many times it is smaller then.

    An odd last row or column is left out, so that a pixel is exactly four of the pixels before.
    """
    shrunk = 1
    while grey.size > pixels and min(grey.shape) > 1:
        height, width = grey.shape[0] // 2, grey.shape[1] // 2
        grey = cv2.resize(grey[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
        shrunk *= 2
    return grey, shrunk


def _enlarged(affine: Affine, shrunk: int) -> Affine:
    """An affine between shrunk pictures as one between the pictures; pixel 0 lies in the middle of `shrunk` pixels."""
    full = affine.astype(np.float64)
    middle = np.full(2, (shrunk - 1) / 2)
    full[:, 2] = shrunk * full[:, 2] + middle - full[:, :2] @ middle
    return full
