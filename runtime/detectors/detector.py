"""The seam between a detector and everything that uses one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.detectors.detections import Detections


class Detector(Protocol):
    """Finds people in a frame.

    A file of this folder assigns its class to ``DETECTOR``. That is called as ``DETECTOR(path, threads=threads)``
    and raises `InvalidFile` for a file that holds no such network.

    Attributes:
        library: what computes it, e.g. ``"onnxruntime"``.
    """

    library: str

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """The people in `frame` (H, W, 3) uint8 BGR, best score first, unlikely ones included."""

    def close(self) -> None:
        """Give back what the inference library holds."""
