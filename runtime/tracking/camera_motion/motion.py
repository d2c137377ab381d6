"""What a camera motion estimator is, and the pictures it is given."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.errors import InvalidInput, MissingDependency
from reidkit.runtime.native import YuvFrame
from reidkit.runtime.tracking.arguments import Picture, picture_size

Affine = NDArray[np.float64]
Boxes = NDArray[np.float64]
Grey = NDArray[np.uint8]

NOBODY: Boxes = np.zeros((0, 4))


class CameraMotion(Protocol):
    """An estimator of camera motion; called once a frame, in order."""

    def estimate(self, frame: Picture | None, people_xyxy: Boxes = NOBODY) -> Affine:
        """How the camera moved since the last frame.

        Args:
            frame: (H, W, 3) uint8 BGR, (H, W) uint8 grey, or a `YuvFrame`; it may be reused afterwards.
            people_xyxy: (N, 4) pixels, what moves by itself in this frame and says nothing about the camera.

        Returns:
            (2, 3) float64 affine from the previous frame's pixels to this one's; the identity where there is no
            previous frame, where it had another size, and where the two do not show the same place.

        Raises:
            InvalidInput: the method looks at frames and got none, or got an array that is none.
        """

    def reset(self) -> None:
        """Forget the frames seen."""


def identity() -> Affine:
    """The affine of a camera that stands still."""
    return np.eye(2, 3)


def corners_of(width: int, height: int) -> NDArray[np.float64]:
    """(4, 3) homogeneous positions of the outermost pixels."""
    right, bottom = width - 1, height - 1
    return np.array([[0, 0, 1], [right, 0, 1], [0, bottom, 1], [right, bottom, 1]], np.float64)


def displacement(affine: Affine, *, width: int, height: int) -> float:
    """Pixels by which `affine` moves the corner of a picture that it moves farthest, along x or y."""
    corners = corners_of(width, height)
    return float(np.abs(corners @ affine.T - corners[:, :2]).max())


def load_opencv(method: str) -> Any:
    """The module `cv2`; raises `MissingDependency` without it."""
    try:
        import cv2
    except ImportError as error:
        raise MissingDependency("OpenCV", extra="video", purpose=f"camera_motion: {method}") from error
    return cv2


def grey_of(cv2: Any, frame: Picture | None, method: str) -> Grey:
    """`frame` as (H, W) uint8; errors as for `CameraMotion.estimate`."""
    if frame is None:
        raise InvalidInput(f"camera_motion: {method} looks at the frames: pass frame= to update()")
    picture_size(frame)
    if isinstance(frame, YuvFrame):
        return frame.y
    grey: Grey = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    return grey


def halved(cv2: Any, grey: Grey) -> tuple[Grey, tuple[float, float]]:
    """`grey` at half its width and height, and by how much each shrank (an odd side does not shrink by two exactly)."""
    height, width = grey.shape
    size = max(1, width // 2), max(1, height // 2)
    return cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR), (width / size[0], height / size[1])


def covered(shape: tuple[int, int], people_xyxy: Boxes, shrunk: float | tuple[float, float]) -> NDArray[np.bool_]:
    """(H, W) bool, the pixels of a picture `shrunk` from the frame that people stand in."""
    end = shape[::-1]
    left, top = np.floor(people_xyxy[:, :2] / shrunk).clip(0, end).astype(np.int64).T
    right, bottom = np.ceil(people_xyxy[:, 2:] / shrunk).clip(0, end).astype(np.int64).T
    edges = np.zeros((shape[0] + 1, shape[1] + 1), np.int32)  # their sum from the upper left counts the boxes
    np.add.at(edges, (top, left), 1)
    np.add.at(edges, (bottom, right), 1)
    np.add.at(edges, (top, right), -1)
    np.add.at(edges, (bottom, left), -1)
    inside: NDArray[np.bool_] = edges.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0
    return inside


def mask_of(background: NDArray[np.bool_]) -> Grey:
    """The mask that OpenCV's functions take: 255 where they may look."""
    mask: Grey = background.astype(np.uint8) * np.uint8(255)
    return mask
