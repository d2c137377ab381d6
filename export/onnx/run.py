"""An ONNX file, run as it is: to prove a graph before anything is built from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.export.onnx.graph import INPUT, OUTPUT
from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.inference_libraries import import_onnxruntime


def run_onnx(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A function that maps (N, 3, H, W) uint8 crops to (N, D) float32 embeddings by ONNX Runtime on the processor.

    Raises:
        InvalidFile: ONNX Runtime does not open the file.
        MissingDependency: onnxruntime is not installed.
    """
    session = open_session(path)

    def embed(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        embeddings: NDArray[np.float32] = session.run([OUTPUT], {INPUT: crops})[0]
        return embeddings

    return embed


def open_session(path: Path) -> Any:
    """An `onnxruntime.InferenceSession` without graph optimisations: what the file says, not what is made of it.

    Raises:
        InvalidFile: ONNX Runtime does not open the file.
        MissingDependency: onnxruntime is not installed.
    """
    onnxruntime = import_onnxruntime("Checking an ONNX file", extra="export")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # its warnings are about names and shapes
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        raise InvalidFile(f"ONNX Runtime {onnxruntime.__version__} does not open {path} ({error})") from error
