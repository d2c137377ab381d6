"""The parts in C++: crops cut out of a frame, detections assigned to tracks.

    frame ──► cut_crops ──► an engine's input          costs ──► assign ──► matched rows and columns

Both work without the GIL, give the same bits on every machine and never write outside what the caller owns. The
kernels use the best instruction set of the processor; `REIDKIT_CPU=scalar|neon|avx2|avx512` forces one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from numpy import float16, float32, float64, int64, uint8
from numpy.typing import NDArray

from reidkit.runtime.errors import ExtensionMissing, InvalidInput
from reidkit.runtime.native.frames import YuvFrame

try:
    from reidkit.runtime.native import _native

    # Who may touch which rows of a batch, and whom to tell that they are written: `CropBatcher` is their face.
    BatchRing = _native.BatchRing
    CropsWritten = _native.CropsWritten

    # Float32 rows brought to length 1 in place, and whether each has one: what `Engine.embed` ends with.
    make_unit = _native.make_unit

    # BoT-SORT's frame over a table's memory, and what its two cores share: `BotSort` is their face.
    TrackerCore = _native.TrackerCore
    blend_embeddings = _native.blend_embeddings
    cosines = _native.cosines
    iou_distance = _native.iou_distance
    unit_embeddings = _native.unit_embeddings
except ImportError as error:
    raise ExtensionMissing(
        f"reidkit's compiled extension cannot be loaded ({error})",
        remedy="install a wheel made for this Python and processor, or build it with a C++20 compiler: pip install .",
    ) from error
except AttributeError as error:
    raise ExtensionMissing(
        f"reidkit's compiled extension is older than this reidkit ({error})", remedy="build it again: pip install ."
    ) from error

__all__ = [
    "BatchRing",
    "CropsWritten",
    "TrackerCore",
    "YuvFrame",
    "assign",
    "blend_embeddings",
    "cosines",
    "cut_crops",
    "instruction_set",
    "iou_distance",
    "make_unit",
    "unit_embeddings",
]


def cut_crops(
    frame: NDArray[uint8] | YuvFrame,
    boxes_xyxy: NDArray[float32] | NDArray[float64],
    out: NDArray[uint8] | NDArray[float16] | NDArray[float32],
    *,
    swap_colors: bool,
    antialias: bool,
    kernel: Literal["bilinear", "bicubic"] = "bilinear",
    layout: Literal["nchw", "nhwc"] = "nchw",
    scale: float = 1.0,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    letterbox: tuple[int, int, int] | None = None,
    then: CropsWritten | None = None,
) -> None:
    """Every box of a frame, resized into `out`.

    A box covers the pixels of its coordinates clipped to the frame and truncated, as in BoT-SORT. `antialias` gives
    exactly the levels of Pillow's BILINEAR or BICUBIC; without it they are OpenCV's INTER_LINEAR or INTER_CUBIC, within
    one.

    Args:
        frame: (H, W, 3) uint8, or (H, W) uint8 grey; rows may lie any distance apart, pixels side by side. Or a
            `YuvFrame`, whose colours are in the order blue, green, red.
        boxes_xyxy: (N, 4) float, in pixels.
        out: (N, 3, h, w) or (N, h, w, 3), C-contiguous: uint8 grey levels rounded to nearest, or float16 or float32
            ``(level * scale - mean) / std``, whose levels are 0…255, not rounded if OpenCV's bilinear. Written only if
            all arguments are sound.
        swap_colors: reverse the channels, BGR to RGB or back.
        antialias: when shrinking, average over all pixels instead of the nearest ones.
        kernel: of two taps or four, more when antialiased.
        layout: of `out`.
        scale: of floats only, as are `mean` and `std`.
        mean: by channel of `out`.
        std: by channel of `out`.
        letterbox: keep the boxes' shape: as large as fits, centred; around them these grey levels, by channel of `out`.
        then: what a `BatchRing` has written; it is told so before this thread waits for the GIL.

    Raises:
        InvalidInput: an array has the wrong shape, type or strides, or a box is not finite or covers no pixel.
    """
    if isinstance(frame, YuvFrame):
        pixels, chroma, bt709, full_range = frame.y, (frame.u, frame.v), frame.matrix == "bt709", frame.full_range
    else:
        pixels, chroma, bt709, full_range = frame, None, False, False
    try:
        _native.cut_crops(
            pixels,
            boxes_xyxy,
            out,
            chroma=chroma,
            bt709=bt709,
            full_range=full_range,
            swap_colors=swap_colors,
            kernel=kernel,
            antialias=antialias,
            layout=layout,
            gain=_by_channel(scale / s for s in std),
            offset=_by_channel(-m / s for m, s in zip(mean, std, strict=True)),
            letterbox=letterbox,
            then=then,
        )
    except ValueError as error:
        raise InvalidInput(f"no crops were cut: {error}") from error
    except TypeError as error:
        raise InvalidInput(
            f"frame is {_described(frame)}, boxes_xyxy is {_described(boxes_xyxy)}, out is {_described(out)}, "
            f"mean is {mean!r}, std is {std!r}, letterbox is {letterbox!r}",
            remedy="give (H, W, 3) uint8, (N, 4) float, C-contiguous writable uint8, float16 or float32 of four "
            "dimensions, and three numbers by channel",
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
    """What the kernels were chosen for: ``scalar`` (plain C++), ``neon``, ``avx2`` or ``avx512``.

    Raises:
        InvalidInput: `REIDKIT_CPU` asks for a set that is unknown or that this processor lacks.
    """
    try:
        return _native.instruction_set()
    except ValueError as error:
        raise InvalidInput(str(error)) from error


def _by_channel(values: Iterable[float]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third


def _described(array: object) -> str:
    if not hasattr(array, "dtype") or not hasattr(array, "shape"):
        return f"a {type(array).__name__}"
    flags = getattr(array, "flags", None)
    return f"{array.shape} {array.dtype}" + ("" if flags is None or flags.c_contiguous else " (not C-contiguous)")
