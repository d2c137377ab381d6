"""TensorRT: opens the engines of the target ``tensorrt``. **Not run on a device**."""

from __future__ import annotations

from reidkit.runtime.engines._tensorrt import TensorRtBase


class TensorRtEngine(TensorRtBase):
    """An engine of TensorRT 10.3 or later, on a Jetson or a desktop GPU."""

    library = "tensorrt"


ENGINE = TensorRtEngine
