"""The crops that a network is calibrated with, as it takes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.crops import find_crops, read_crops
from reidkit.runtime.artifact.manifest import Preprocessing

MOST_CROPS = 256
"""Beyond these a range hardly moves: of a folder as many are taken, spread over it, of a chosen set its first ones."""

FEW_CROPS = 64
"""Below these somebody is told that they are few."""


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationSet:
    """Crops to calibrate with.

    Attributes:
        crops: (N, 3, H, W) uint8, in the input's colour order, not normalised.
        source: name of the folder they are from.
    """

    crops: NDArray[np.uint8]
    source: str

    @staticmethod
    def read(folder: Path, preprocessing: Preprocessing) -> CalibrationSet:
        """At most 256 crops of `folder`, as the network takes them.

        Raises:
            InvalidFile: no such folder, no image in it, or a file that is none.
            MissingDependency: OpenCV is not installed.
        """
        return CalibrationSet(read_crops(find_crops(folder, limit=MOST_CROPS), preprocessing), folder.name)

    def digest(self) -> str:
        """SHA-256 of the pixels in their order."""
        digest = hashlib.sha256(repr(self.crops.shape).encode())
        digest.update(np.ascontiguousarray(self.crops).data)
        return digest.hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """What the manifest says of them."""
        return {"source": self.source, "crops": len(self.crops), "crops_sha256": self.digest()}
