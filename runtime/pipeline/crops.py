"""Crops as an engine takes them, cut from the frame they stand in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.manifest import Preprocessing
from reidkit.runtime.native import cut_crops


def have_pixels(boxes_xyxy: NDArray[np.float64], *, height: int, width: int) -> NDArray[np.bool_]:
    """(N,) bool: which boxes (N, 4) cover at least one whole pixel of a frame of that size."""
    corners = np.trunc(np.clip(boxes_xyxy, 0, (width, height, width, height)))
    covered: NDArray[np.bool_] = np.all(corners[:, 2:] > corners[:, :2], axis=1)
    return covered


def cut_for(how: Preprocessing, frame: NDArray[np.uint8], boxes_xyxy: NDArray[np.float64]) -> NDArray[Any]:
    """The boxes (N, 4) of a BGR frame (H, W, 3) as one input batch of the engine whose preprocessing that is."""
    size = (how.height, how.width)
    shape = (3, *size) if how.layout == "nchw" else (*size, 3)
    kind = np.uint8 if how.dtype == "uint8" else np.float32
    batch = np.empty((len(boxes_xyxy), *shape), dtype=kind)
    cut_crops(
        frame,
        boxes_xyxy,
        batch,
        swap_colors=how.color == "rgb",
        antialias=how.resize.antialias,
        layout=how.layout,
    )
    if how.normalization.where == "runtime":
        channels = (3, 1, 1) if how.layout == "nchw" else (3,)
        batch *= np.float32(how.normalization.scale)
        batch -= np.array(how.normalization.mean, dtype=np.float32).reshape(channels)
        batch /= np.array(how.normalization.std, dtype=np.float32).reshape(channels)
    return batch.astype(how.dtype, copy=False)
