"""A camera that looks at the street: where a place on the ground appears in the picture, and how large.

The world is measured in metres: `x` along the street, `z` across it, height above the ground. The first camera stands
at x = z = 0 and sees x to its right and z into the picture; the second one stands opposite and looks back aslant.
A camera keeps its picture plane upright (its horizon is shifted instead, as architects do), so that what stands
upright is upright in the picture, and a turn of the camera changes a column of the picture as one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.street.body import wave
from reidkit.calibration.street.light import PLAIN, Response

CameraMotion = Literal["still", "pan"]
Floats = NDArray[np.float64]
Number = TypeVar("Number", float, Floats)

_PAN = 0.13  # tangent of half the largest turn
_PAN_S = 11.0
_FARTHEST = 2.5  # metres along the street for one across it: nobody walks where it is seen more aslant


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


class Sight(NamedTuple):
    """The wedge of ground that a camera sees.

    Attributes:
        x, z: where the camera stands.
        side: 1 if it looks to where z grows, else -1.
        middle, reach: metres along the street, for one across it, to the wedge's middle and from there to its edges.
    """

    x: float
    z: float
    side: int
    middle: float
    reach: float

    def away(self, z: float) -> float:
        """How far across the street from the camera a place is."""
        return self.side * (z - self.z)

    def at(self, z: float, part: float) -> float:
        """The x that is seen, at `z`, that part of the way from the wedge's middle, 0, to its edges, -1 and 1."""
        return self.x + (self.middle + part * self.reach) * self.away(z)

    def aside(self, x: float, z: float) -> float:
        """How far from the wedge's middle a place is seen; 1 is at its edge. The inverse of `at`, without a sign."""
        return abs((x - self.x) / self.away(z) - self.middle) / self.reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A pinhole camera.

    Attributes:
        width, height: of the picture, in pixels.
        focal: in pixels.
        center_x, horizon_y: where its axis, which is level, meets the picture.
        eye_m: height above the ground.
        x, z: where it stands.
        ahead: (x, z) where it looks when it is not turned, of length 1.
        response: how it renders light.
        cosine, sine: of its turn to the right.
    """

    width: int
    height: int
    focal: float
    center_x: float
    horizon_y: float
    eye_m: float
    x: float = 0.0
    z: float = 0.0
    ahead: tuple[float, float] = (0.0, 1.0)
    response: Response = PLAIN
    cosine: float = 1.0
    sine: float = 0.0

    @staticmethod
    def facing_street(width: int, height: int) -> Camera:
        """The street's first camera, not turned."""
        return Camera(
            width=width,
            height=height,
            focal=1.25 * height,
            center_x=width / 2,
            horizon_y=0.3 * height,
            eye_m=3.4,
        )

    @staticmethod
    def from_opposite(width: int, height: int) -> Camera:
        """The second camera, not turned: higher, of a longer lens, against the sun; darker, cooler and flatter."""
        return Camera(
            width=width,
            height=height,
            focal=1.4 * height,
            center_x=width / 2,
            horizon_y=0.06 * height,
            eye_m=4.5,
            x=2.5,
            z=20.8,
            ahead=(-28 / 53, -45 / 53),
            response=Response((0.78, 0.93, 1.09), 0.78),
        )

    def sight(self, motion: CameraMotion) -> Sight:
        """The ground that it sees in the course of its motion."""
        edge, _ = self.farthest(motion).straight(np.array([self.width]), np.zeros((1, 1)))
        half = float(edge[0] - self.center_x) / self.focal
        side = 1 if self.ahead[1] > 0 else -1
        rays = (self.ray(-half), self.ray(half))
        slopes = (ray_x / max(side * ray_z, 1e-3) for ray_x, ray_z in rays)
        left, right = sorted(min(max(slope, -_FARTHEST), _FARTHEST) for slope in slopes)
        return Sight(self.x, self.z, side, (left + right) / 2, (right - left) / 2)

    def ray(self, across: Number) -> tuple[Number, Number]:
        """How x and z change for each metre ahead of the unturned camera, so far across for it to the right."""
        ahead_x, ahead_z = self.ahead
        return across * ahead_z + ahead_x, ahead_z - across * ahead_x

    def local(self, x: Number, z: Number) -> tuple[Number, Number]:
        """A place as metres to the right of the unturned camera, and metres ahead of it."""
        (ahead_x, ahead_z), x, z = self.ahead, x - self.x, z - self.z
        return x * ahead_z - z * ahead_x, x * ahead_x + z * ahead_z

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

    def scale(self, x: float, z: float) -> float:
        """Pixels for a metre at a place, as the unturned camera sees it."""
        return self.focal / self.local(x, z)[1]

    def place(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Where the unturned camera sees a point at height `y`."""
        right, ahead = self.local(x, z)
        scale = self.focal / ahead
        return self.center_x + right * scale, self.horizon_y + (self.eye_m - y) * scale

    def project(self, x: Floats, z: Floats) -> Projected:
        """Places (N,) on the ground, which must lie before the camera."""
        right, ahead = self.local(x, z)
        depth = self.sine * right + self.cosine * ahead
        scale = self.focal / depth
        across = (self.cosine * right - self.sine * ahead) * scale
        return Projected(self.center_x + across, self.horizon_y + self.eye_m * scale, depth, scale)

    def image_to_ground(self) -> Floats:
        """(3, 3) what takes a pixel (x, y, 1) below the horizon to the ground there, (x, z, 1) times a factor."""
        (ahead_x, ahead_z), cosine, sine = self.ahead, self.cosine, self.sine
        seen = np.array([[1, 0, -self.center_x], [0, 0, self.focal], [0, 1 / self.eye_m, -self.horizon_y / self.eye_m]])
        unturned = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
        placed = np.array([[ahead_z, ahead_x, self.x], [-ahead_x, ahead_z, self.z], [0, 0, 1]])
        return np.asarray(placed @ unturned @ seen)
