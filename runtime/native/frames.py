"""A frame as decoders give it, luma and chroma at half the resolution; and which boxes a frame shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy import bool_, float64, uint8
from numpy.typing import NDArray

from reidkit.runtime.errors import InvalidInput

Matrix = Literal["bt601", "bt709"]


@dataclass(frozen=True, slots=True)
class YuvFrame:
    """A picture in YUV 4:2:0, not copied: NV12, I420, or any planes that lie alike. Stands where a BGR frame can.

    Its colours are OpenCV's: the chroma of two by two pixels is theirs alike, without interpolation.

    Attributes:
        y: (H, W) uint8, pixels side by side, rows any distance apart.
        u: ((H + 1) // 2, (W + 1) // 2) uint8, samples side by side or, with `v`, two by two.
        v: the same.
        matrix: ITU-R BT.601, as OpenCV takes it to be, or BT.709, as HD cameras encode.
        full_range: luma is 0…255, not 16…235.
    """

    y: NDArray[uint8]
    u: NDArray[uint8]
    v: NDArray[uint8]
    matrix: Matrix = "bt601"
    full_range: bool = False

    def __post_init__(self) -> None:
        if self.matrix not in get_args(Matrix):
            raise InvalidInput(f"matrix is {self.matrix!r}", remedy=f"give one of {', '.join(get_args(Matrix))}")
        for name, plane in (("y", self.y), ("u", self.u), ("v", self.v)):
            _expect_array(plane, f"plane {name}")
            if plane.ndim != 2 or plane.dtype != uint8:
                raise InvalidInput(f"plane {name} is {plane.shape} {plane.dtype}, not of two dimensions and uint8")

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.y.shape
        return height, width

    @classmethod
    def nv12(cls, picture: NDArray[uint8], *, matrix: Matrix = "bt601", full_range: bool = False) -> YuvFrame:
        """The views of one NV12 array, (H * 3 / 2, W) uint8: luma, then rows of u and v by turns."""
        height = _height_of(picture)
        chroma = picture[height:]
        return cls(picture[:height], chroma[:, 0::2], chroma[:, 1::2], matrix, full_range)

    @classmethod
    def i420(cls, picture: NDArray[uint8], *, matrix: Matrix = "bt601", full_range: bool = False) -> YuvFrame:
        """The views of one I420 array, (H * 3 / 2, W) uint8 without gaps: luma, then the plane of u, then that of v."""
        height = _height_of(picture)
        if not picture.flags.c_contiguous:
            raise InvalidInput("an I420 array has gaps between its rows", remedy="give YuvFrame the three planes")
        u, v = picture[height:].reshape(2, height // 2, picture.shape[1] // 2)
        return cls(picture[:height], u, v, matrix, full_range)


def _height_of(picture: NDArray[uint8]) -> int:
    """Rows of luma in an array with luma above chroma."""
    _expect_array(picture, "a picture in YUV 4:2:0")
    if picture.ndim != 2 or picture.dtype != uint8 or picture.shape[0] % 3 or picture.shape[1] % 2:
        raise InvalidInput(
            f"a picture in YUV 4:2:0 is (H * 3 / 2, W) uint8 with even H and W, found {picture.shape} {picture.dtype}"
        )
    height: int = picture.shape[0] // 3 * 2
    return height


def _expect_array(value: object, name: str) -> None:
    if not isinstance(value, np.ndarray):
        raise InvalidInput(f"{name} is a NumPy array of uint8, found a {type(value).__name__}")


def have_pixels(boxes_xyxy: NDArray[float64], *, height: int, width: int) -> NDArray[bool_]:
    """(N,) bool: which boxes (N, 4) are finite and cover a whole pixel of a frame of that size."""
    corners = np.trunc(np.clip(boxes_xyxy, 0, (width, height, width, height)))
    covered: NDArray[bool_] = np.all(np.isfinite(boxes_xyxy), axis=1)
    covered &= np.all(corners[:, 2:] > corners[:, :2], axis=1)
    return covered
