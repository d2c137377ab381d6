"""Camera motion that was worked out before, from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.tracking.arguments import Picture
from reidkit.runtime.tracking.camera_motion.motion import NOBODY, Affine, Boxes


class PrecomputedMotion:
    """Motion from a file of the BoT-SORT authors' format: lines of ``frame h00 h01 h02 h10 h11 h12``, frames from 0.

    Attributes:
        frame: whose motion is told next.
    """

    def __init__(self, path: Path) -> None:
        self._affines = _read_affines(path)
        self._path = path
        self.reset()

    def reset(self) -> None:
        """Begin at the first line again."""
        self.frame = 0

    def estimate(self, frame: Picture | None = None, people_xyxy: Boxes = NOBODY) -> Affine:
        """The file's next affine; nothing is looked at. Raises `InvalidFile` when the file has ended."""
        if self.frame >= len(self._affines):
            raise InvalidFile(
                f"{self._path} has camera motion for {len(self._affines)} frames, the video goes on",
                remedy="use a file of the same video, or camera_motion: sparse_flow",
            )
        self.frame += 1
        affine: Affine = self._affines[self.frame - 1]
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
