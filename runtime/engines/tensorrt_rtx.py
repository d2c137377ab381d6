"""TensorRT-RTX: opens the engines of the target ``tensorrt_rtx``. **Not run on a device**."""

from __future__ import annotations

from reidkit.runtime.engines._tensorrt import TensorRtBase


class TensorRtRtxEngine(TensorRtBase):
    """An engine of TensorRT-RTX, which finishes it for the GPU at hand when it is first run."""

    library = "tensorrt_rtx"


ENGINE = TensorRtRtxEngine
