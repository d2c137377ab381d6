"""The parts in C++: crops cut out of a frame, detections assigned to tracks.

    frame ──► cut_crops ──► an engine's input          costs ──► assign ──► matched rows and columns

Both work without the GIL, give the same bits on every machine and never write outside what the caller owns. The
kernels use the best instruction set of the processor; `REIDKIT_CPU=scalar|avx2|avx512` forces one.
"""

from __future__ import annotations

from typing import Literal

from numpy import float32, float64, int64, uint8
from numpy.typing import NDArray

from reidkit.runtime.errors import ExtensionMissing, InvalidInput

try:
    from reidkit.runtime.native import _native
except ImportError as error:
    raise ExtensionMissing(
        f"reidkit's compiled extension cannot be loaded ({error})",
        remedy="install a wheel made for this Python and processor, or build it with a C++20 compiler: pip install .",
    ) from error

__all__ = ["assign", "cut_crops", "instruction_set"]


def cut_crops(
    frame: NDArray[uint8],
    boxes_xyxy: NDArray[float32] | NDArray[float64],
    out: NDArray[uint8] | NDArray[float32],
    *,
    swap_colors: bool,
    antialias: bool,
    layout: Literal["nchw", "nhwc"] = "nchw",
) -> None:
    """Every box of a frame, resized into `out`.

    A box covers the pixels of its coordinates clipped to the frame and truncated, as in BoT-SORT. Bilinear, as OpenCV's
    INTER_LINEAR; with `antialias` as Pillow's BILINEAR. Both within one grey level of theirs.

    Args:
        frame: (H, W, 3) uint8; rows may lie any distance apart, pixels side by side.
        boxes_xyxy: (N, 4) float, in pixels.
        out: (N, 3, h, w) or (N, h, w, 3), uint8 rounded to nearest or float32 in 0…255 not rounded; C-contiguous.
            Written only if all arguments are sound.
        swap_colors: reverse the channels, BGR to RGB or back.
        antialias: when shrinking, average over all pixels instead of the nearest four.
        layout: of `out`.

    Raises:
        InvalidInput: an array has the wrong shape, type or strides, or a box is not finite or covers no pixel.
    """
    try:
        _native.cut_crops(frame, boxes_xyxy, out, swap_colors=swap_colors, antialias=antialias, layout=layout)
    except ValueError as error:
        raise InvalidInput(f"no crops were cut: {error}") from error
    except TypeError as error:
        raise InvalidInput(
            f"frame is {_described(frame)}, boxes_xyxy is {_described(boxes_xyxy)}, out is {_described(out)}",
            remedy="give (H, W, 3) uint8, (N, 4) float, and C-contiguous writable uint8 or float32 of four dimensions",
        ) from error


def assign(cost: NDArray[float64], limit: float) -> tuple[NDArray[int64], NDArray[int64]]:
    """The cheapest assignment of rows to columns: matched rows in rising order, and their columns.

    A pair may match if its cost is below `limit`; a row left alone costs `limit`. Costs are rounded to multiples of
    2⁻⁴⁰, then all is exact: of several optima it is the lexicographically first one, where the first row takes the
    lowest column it can have, being alone comes last, and so on row by row.

    Args:
        cost: (N, M) float64, any strides, within ±2²⁰; +inf never matches.
        limit: within ±2²⁰.

    Returns:
        rows (K,) int64 and columns (K,) int64.

    Raises:
        InvalidInput: `cost` has another shape or type, or it or `limit` has a NaN or a value out of range.

    >>> rows, columns = assign(np.array([[0.3, 0.2], [np.inf, 0.1], [0.9, 0.9]]), limit=0.8)
    >>> rows.tolist(), columns.tolist()
    ([0, 1], [0, 1])
    """
    try:
        return _native.assign(cost, limit)
    except ValueError as error:
        raise InvalidInput(f"nothing was assigned: {error}") from error
    except TypeError as error:
        raise InvalidInput(
            f"cost is {_described(cost)}, limit is {limit!r}", remedy="give (N, M) float64 and a number"
        ) from error


def instruction_set() -> str:
    """What the kernels were chosen for: ``scalar`` (SSE2 or NEON), ``avx2`` or ``avx512``.

    Raises:
        InvalidInput: `REIDKIT_CPU` asks for a set that is unknown or that this processor lacks.
    """
    try:
        return _native.instruction_set()
    except ValueError as error:
        raise InvalidInput(str(error)) from error


def _described(array: object) -> str:
    if not hasattr(array, "dtype") or not hasattr(array, "shape"):
        return f"a {type(array).__name__}"
    flags = getattr(array, "flags", None)
    return f"{array.shape} {array.dtype}" + ("" if flags is None or flags.c_contiguous else " (not C-contiguous)")
