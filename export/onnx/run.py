"""An ONNX file, run as it is: to prove a graph before anything is built from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.export.onnx.graph import INPUT, OUTPUT
from reidkit.runtime.errors import MissingDependency


def run_onnx(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A function that maps (N, 3, H, W) uint8 crops to (N, D) float32 embeddings by ONNX Runtime on the processor.

    Graph optimisations are off: this is what the file says, not what a compiler makes of it.

    Raises:
        MissingDependency: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingDependency("onnxruntime", extra="export", purpose="Checking an ONNX file") from error
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def embed(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        embeddings: NDArray[np.float32] = session.run([OUTPUT], {INPUT: crops})[0]
        return embeddings

    return embed
