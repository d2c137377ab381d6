"""How the camera moved since the last frame: a (2, 3) affine from the previous frame's pixels to this one's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.errors import InvalidFile, InvalidInput, MissingDependency
from reidkit.runtime.tracking.config import BotSortConfig

Affine = NDArray[np.float64]


class CameraMotion(Protocol):
    """An estimator of camera motion; called once a frame, in order."""

    def estimate(self, frame: NDArray[np.uint8] | None) -> Affine:
        """(2, 3) float64 affine, previous to current frame; `frame` is (H, W, 3) uint8 BGR."""

    def reset(self) -> None:
        """Forget the frames seen."""


def camera_motion_of(config: BotSortConfig) -> CameraMotion | None:
    """The estimator that `config` names, None for ``"none"``."""
    if config.camera_motion == "sparse_flow":
        return SparseFlow()
    if config.camera_motion_file is not None:
        return PrecomputedMotion(Path(config.camera_motion_file))
    return None


def identity() -> Affine:
    """The affine of a camera that stands still."""
    return np.eye(2, 3)


class SparseFlow:
    """Sparse optical flow on corners at half size, and a partial affine through them by RANSAC, as the authors do it.

    The first frame, one of another size than the last, one without corners, and one in which fewer than a quarter of
    the corners agree on a motion (a cut, a lens that was covered) give the identity.
    """

    DOWNSCALE = 2
    CORNERS = 1000
    MIN_AGREEING = 0.25

    def __init__(self) -> None:
        try:
            import cv2
        except ImportError as error:
            raise MissingDependency("OpenCV", extra="video", purpose="camera_motion: sparse_flow") from error
        self._cv2: Any = cv2
        self.reset()

    def reset(self) -> None:
        """Forget the last frame."""
        self._last: NDArray[np.uint8] | None = None
        self._corners: NDArray[np.float32] | None = None

    def estimate(self, frame: NDArray[np.uint8] | None) -> Affine:
        """(2, 3) affine since the last frame; see `CameraMotion`."""
        if frame is None:
            raise InvalidInput("camera_motion: sparse_flow looks at the frames: pass frame= to update()")
        cv2 = self._cv2
        grey = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        height, width = grey.shape
        size = max(1, width // self.DOWNSCALE), max(1, height // self.DOWNSCALE)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR)
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
        affine[:, 2] *= (width / size[0], height / size[1])
        result: Affine = affine.astype(np.float64)
        return result


class PrecomputedMotion:
    """Motion from a file of the BoT-SORT authors' format: lines of ``frame h00 h01 h02 h10 h11 h12``, frames from 0."""

    def __init__(self, path: Path) -> None:
        self._affines = _read_affines(path)
        self._path = path
        self.reset()

    def reset(self) -> None:
        """Begin at the first line again."""
        self._frame = 0

    def estimate(self, frame: NDArray[np.uint8] | None = None) -> Affine:
        """The file's next affine; `frame` is not looked at. Raises `InvalidFile` when the file has ended."""
        if self._frame >= len(self._affines):
            raise InvalidFile(
                f"{self._path} has camera motion for {len(self._affines)} frames, the video goes on",
                remedy="use a file of the same video, or camera_motion: sparse_flow",
            )
        self._frame += 1
        affine: Affine = self._affines[self._frame - 1]
        return affine


def _read_affines(path: Path) -> NDArray[np.float64]:
    """(F, 2, 3) affines of a camera motion file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(f"cannot read camera motion from {path} ({error})") from error
    affines: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = [float(value) for value in line.split()]
        except ValueError:
            values = []
        if len(values) != 7 or values[0] != len(affines) or not np.isfinite(values).all():
            raise InvalidFile(
                f"{path}:{number}: expected '{len(affines)} h00 h01 h02 h10 h11 h12', found {line.strip()!r}"
            )
        affines.append(values[1:])
    if not affines:
        raise InvalidFile(f"{path} holds no camera motion")
    return np.array(affines).reshape(-1, 2, 3)
