"""What callers hand over, checked at the door: an array, a picture, a time; or a typed error that says what came."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.native import YuvFrame

Picture: TypeAlias = NDArray[np.uint8] | YuvFrame


def array_of(values: ArrayLike, name: str, wanted: str) -> NDArray[Any]:
    """`values` as an array of the type that they have.

    Raises `InvalidInput` where NumPy makes none of them: rows of several lengths, a tensor that NumPy cannot read.
    """
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        is_tensor = hasattr(values, "detach")
        raise InvalidInput(
            f"{name} must be {wanted}, found {_kind_of(values)} ({error})",
            remedy="pass tensor.detach().float().cpu().numpy()" if is_tensor else "give rows of one length",
        ) from error


def number_array(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """`values` as contiguous float64. Raises `InvalidInput` if they are not numbers."""
    array = array_of(values, name, "an array of numbers")
    if array.ndim == 0:
        raise InvalidInput(f"{name} must be an array of numbers, found {values!r}")
    if array.dtype.kind not in "fiu" and array.size:
        raise InvalidInput(f"{name} must be an array of numbers, found dtype {array.dtype}")
    return np.ascontiguousarray(array, np.float64)


def picture_size(frame: Picture | None) -> tuple[int, int] | None:
    """Width and height of a picture, None where there is none. Raises `InvalidInput` for what is no picture."""
    if frame is None:
        return None
    if isinstance(frame, YuvFrame):
        height, width = frame.shape
        return width, height
    if not isinstance(frame, np.ndarray):
        raise InvalidInput(
            f"frame must be (H, W, 3) BGR or (H, W) grey uint8, found {_kind_of(frame)}",
            remedy="pass the decoded picture as a NumPy array",
        )
    is_picture = frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 3)
    if frame.dtype != np.uint8 or frame.size == 0 or not is_picture:
        raise InvalidInput(f"frame must be (H, W, 3) BGR or (H, W) grey uint8, found {frame.shape} {frame.dtype}")
    return frame.shape[1], frame.shape[0]


def seconds(value: Any, name: str) -> float:
    """A time, which may be endless or no number. Raises `InvalidInput` for what is no time at all."""
    try:
        if isinstance(value, (str, bytes, bool)):
            raise TypeError("not a number")
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"{name} must be a number of seconds, found {value!r}") from error


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number to reckon with; True and False are none, nor is one beyond float64."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e300 < value < 1e300


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number; True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _kind_of(values: object) -> str:
    """Its type, with what it is an array or a tensor of."""
    dtype = getattr(values, "dtype", None)
    return type(values).__name__ if dtype is None else f"{type(values).__name__} of {dtype}"
