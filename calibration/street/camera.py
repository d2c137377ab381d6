"""A camera that looks at the street: where a place on the ground appears in the picture, and how large.

The world is measured in metres: `x` to the right, `z` into the picture, height above the ground. The camera stands at
x = z = 0 and keeps its picture plane upright (its horizon is shifted instead, as architects do), so that what stands
upright is upright in the picture, and a turn of the camera changes a column of the picture as one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.street.body import wave

CameraMotion = Literal["still", "pan"]
Floats = NDArray[np.float64]

_FOCAL = 1.25  # in heights of the picture
_HORIZON = 0.3  # likewise, below its top
_EYE_M = 3.4
_PAN = 0.13  # tangent of half the largest turn
_PAN_S = 11.0


class Projected(NamedTuple):
    """Places on the ground as the camera sees them.

    Attributes:
        x, y: (N,) pixels.
        depth_m: (N,) distance along the camera's axis.
        pixels_per_m: (N,) size there.
    """

    x: Floats
    y: Floats
    depth_m: Floats
    pixels_per_m: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A pinhole camera.

    Attributes:
        width, height: of the picture, in pixels.
        focal: in pixels.
        center_x, horizon_y: where its axis, which is level, meets the picture.
        eye_m: height above the ground.
        cosine, sine: of its turn to the right.
    """

    width: int
    height: int
    focal: float
    center_x: float
    horizon_y: float
    eye_m: float = _EYE_M
    cosine: float = 1.0
    sine: float = 0.0

    @staticmethod
    def facing_street(width: int, height: int) -> Camera:
        """The street's camera, not turned."""
        return Camera(
            width=width, height=height, focal=_FOCAL * height, center_x=width / 2, horizon_y=_HORIZON * height
        )

    def turned(self, half_tangent: float) -> Camera:
        """This camera after a turn to the right, told by the tangent of half the angle."""
        square = half_tangent * half_tangent
        return replace(self, cosine=(1 - square) / (1 + square), sine=2 * half_tangent / (1 + square))

    def at(self, time_s: float, motion: CameraMotion) -> Camera:
        """The camera at a time of its motion: `pan` sweeps slowly from side to side, by an unsteady hand."""
        if motion == "still":
            return self
        sweep = wave(time_s / _PAN_S - 0.25)
        tremble = wave(time_s / 1.7) + 0.6 * wave(time_s / 0.9 + 0.3)
        return self.turned(_PAN * (sweep + 0.008 * tremble))

    def farthest(self, motion: CameraMotion) -> Camera:
        """The camera where it is turned most to the right; its motion is the same to both sides."""
        return self if motion == "still" else self.turned(_PAN * 1.02)

    def straight(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Where the unturned camera sees what this one sees at pixels (w,) by (h, 1): (w,) and (h, w)."""
        across = (x - self.center_x) / self.focal
        depth = self.cosine - self.sine * across
        straight_x = self.center_x + self.focal * (self.cosine * across + self.sine) / depth
        return straight_x, self.horizon_y + (y - self.horizon_y) / depth

    def from_straight(self, x: float, y: float) -> tuple[float, float]:
        """Where this camera sees what the unturned one sees at a pixel."""
        across = (x - self.center_x) / self.focal
        depth = self.cosine + self.sine * across
        turned_x = self.center_x + self.focal * (self.cosine * across - self.sine) / depth
        return turned_x, self.horizon_y + (y - self.horizon_y) / depth

    def place(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Where the unturned camera sees a point at height `y`."""
        scale = self.focal / z
        return self.center_x + x * scale, self.horizon_y + (self.eye_m - y) * scale

    def project(self, x: Floats, z: Floats) -> Projected:
        """Places (N,) on the ground, which must lie before the camera."""
        depth = self.sine * x + self.cosine * z
        scale = self.focal / depth
        across = (self.cosine * x - self.sine * z) * scale
        return Projected(self.center_x + across, self.horizon_y + self.eye_m * scale, depth, scale)
