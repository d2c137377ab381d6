"""Boxes of a frame as the input tensor of an engine: cut, resized, laid out and typed as the manifest says."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.runtime.artifact.manifest import Normalization, Preprocessing
from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.native import CropsWritten, YuvFrame, cut_crops
from reidkit.runtime.native.frames import have_pixels
from reidkit.runtime.native.memory import aligned_empty

Picture: TypeAlias = NDArray[np.uint8] | YuvFrame

_GREY_LEVELS = Normalization(where="runtime", scale=1.0, mean=[0.0] * 3, std=[1.0] * 3)


def crop_shape(how: Preprocessing) -> tuple[int, int, int]:
    """Shape of one crop of the input tensor."""
    return (3, how.height, how.width) if how.layout == "nchw" else (how.height, how.width, 3)


def cut(how: Preprocessing, frame: Picture, boxes_xyxy: ArrayLike, *, color: str) -> NDArray[Any]:
    """The input tensor of boxes in a frame; arguments and errors as for `EngineBase.cut`."""
    expect_color(color)
    if not isinstance(frame, YuvFrame):
        frame = frame_of(frame)
        if not pixels_lie_side_by_side(frame):
            frame = np.ascontiguousarray(frame)
    boxes = checked_boxes(boxes_xyxy, height=frame.shape[0], width=frame.shape[1])
    crops = aligned_empty((len(boxes), *crop_shape(how)), how.dtype)
    cut_into(how, frame, boxes, crops, color=color)
    return crops


def cut_into(
    how: Preprocessing,
    frame: Picture,
    boxes_xyxy: NDArray[np.float64],
    out: NDArray[Any],
    *,
    color: str,
    then: CropsWritten | None = None,
) -> None:
    """The same into `out`, (N, *crop_shape) of the manifest's dtype; `then` and errors as for `cut_crops`."""
    applied = how.normalization if how.normalization.where == "runtime" else _GREY_LEVELS
    cut_crops(
        frame,
        boxes_xyxy,
        out,
        swap_colors=how.color != ("bgr" if isinstance(frame, YuvFrame) else color),
        kernel=how.resize.kernel,
        antialias=how.resize.antialias,
        layout=how.layout,
        scale=applied.scale,
        mean=applied.mean,
        std=applied.std,
        then=then,
    )


def input_tensor(how: Preprocessing, crops: NDArray[Any]) -> NDArray[Any]:
    """Crops of grey levels 0..255 in the manifest's layout, as the engine takes them.

    Where the runtime normalises, `crops` must be float32 and is overwritten.
    """
    if how.normalization.where == "runtime":
        channels = (3, 1, 1) if how.layout == "nchw" else (3,)
        crops *= np.float32(how.normalization.scale)
        crops -= np.asarray(how.normalization.mean, np.float32).reshape(channels)
        crops /= np.asarray(how.normalization.std, np.float32).reshape(channels)
    return crops.astype(how.dtype, copy=False)


def frame_of(frame: Any) -> NDArray[np.uint8]:
    """A frame as an array over its own memory, of whatever speaks the buffer protocol or DLPack."""
    try:
        if not hasattr(frame, "__array_interface__") and hasattr(frame, "__dlpack__"):
            frame = np.from_dlpack(frame)
        picture: NDArray[Any] = np.asarray(frame)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise InvalidInput(f"a {type(frame).__name__} is no frame: {error}", remedy="give an array") from error
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)):
        raise InvalidInput(f"a frame is (H, W, 3) uint8, or (H, W) if grey, found {picture.dtype} {picture.shape}")
    if not picture.size:
        raise InvalidInput(f"a frame of shape {picture.shape} has no pixels", remedy="leave it out")
    return picture


def pixels_lie_side_by_side(frame: NDArray[np.uint8]) -> bool:
    """Whether the native code can read the frame where it lies; only rows may be any distance apart."""
    return frame.strides[1:] in ((3, 1), (1,))


def expect_color(color: str) -> None:
    """Refuse an order of channels that is none."""
    if color not in ("bgr", "rgb"):
        raise InvalidInput(f"color={color!r}", remedy="give 'bgr' or 'rgb'; a grey frame is (H, W) and needs neither")


def checked_boxes(boxes_xyxy: ArrayLike, *, height: int, width: int) -> NDArray[np.float64]:
    """The boxes as (N, 4) float64, each with at least one whole pixel in the frame."""
    try:
        boxes = np.ascontiguousarray(boxes_xyxy, np.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InvalidInput(f"boxes_xyxy are (N, 4) numbers, found {boxes_xyxy!r:.80}: {error}") from error
    if not boxes.size:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InvalidInput(f"boxes_xyxy are (N, 4), found {boxes.shape}")
    bad = np.flatnonzero(~have_pixels(boxes, height=height, width=width)).tolist()
    if bad:
        raise InvalidInput(
            f"boxes {bad} have no pixel in the {width}x{height} frame; the first is {boxes[bad[0]].tolist()}",
            remedy="drop them before they are embedded",
        )
    return boxes
