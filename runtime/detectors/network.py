"""A detection network behind the inference library that is installed: ONNX Runtime, else OpenVINO."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.errors import EngineFailure, InvalidFile, MissingDependency
from reidkit.runtime.inference_libraries import import_onnxruntime, import_openvino, shared_core

Shape = tuple[int | None, ...]


class Network(Protocol):
    """One input tensor, any number of outputs.

    Attributes:
        library: ``"onnxruntime"`` or ``"openvino"``.
        input_shape: None for a dimension that the file leaves open.
        output_shapes: the same for each output.
    """

    library: str
    input_shape: Shape
    output_shapes: list[Shape]

    def run(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs for one input. Raises `EngineFailure`."""

    def close(self) -> None:
        """Give back what the library holds."""


def open_network(path: Path, *, threads: int | None = None) -> Network:
    """The network in an ONNX file, on the processor in float32.

    ONNX Runtime runs it where both libraries are installed. Raises `InvalidFile` or `MissingDependency`.
    """
    if find_spec("onnxruntime"):
        return _OnnxRuntimeNetwork(path, threads)
    if find_spec("openvino"):
        return _OpenVinoNetwork(path, threads)
    raise MissingDependency("onnxruntime or openvino", extra="onnxruntime", purpose="a detector")


class _OnnxRuntimeNetwork:
    library = "onnxruntime"

    def __init__(self, path: Path, threads: int | None) -> None:
        onnxruntime = import_onnxruntime("a detector")
        from onnxruntime.capi import onnxruntime_pybind11_state

        # The library has no common base class for its errors, only this list of them.
        self._errors = tuple(
            error
            for error in vars(onnxruntime_pybind11_state).values()
            if isinstance(error, type) and issubclass(error, Exception)
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 4  # its complaints come back as exceptions
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except self._errors as error:
            raise _unreadable(path, "ONNX Runtime", error) from error
        if len(session.get_inputs()) != 1:
            raise InvalidFile(f"{path} takes {len(session.get_inputs())} inputs, a detector takes one picture")
        self._session: Any = session
        self._input = session.get_inputs()[0].name
        self.input_shape = _known(session.get_inputs()[0].shape)
        self.output_shapes = [_known(output.shape) for output in session.get_outputs()]

    def run(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        try:
            outputs: list[NDArray[np.float32]] = self._session.run(None, {self._input: batch})
        except self._errors as error:
            raise EngineFailure(f"ONNX Runtime failed in the detector ({_first_line(error)})") from error
        return outputs

    def close(self) -> None:
        self._session = None


class _OpenVinoNetwork:
    library = "openvino"

    def __init__(self, path: Path, threads: int | None) -> None:
        openvino = import_openvino("a detector")
        # Some processors would compute in bfloat16 unasked.
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            compiled = shared_core(openvino).compile_model(str(path), "CPU", settings)
        except RuntimeError as error:
            raise _unreadable(path, "OpenVINO", error) from error
        if len(compiled.inputs) != 1:
            raise InvalidFile(f"{path} takes {len(compiled.inputs)} inputs, a detector takes one picture")
        self._request: Any = compiled.create_infer_request()
        self.input_shape = _static(compiled.inputs[0].partial_shape)
        self.output_shapes = [_static(output.partial_shape) for output in compiled.outputs]

    def run(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        try:
            outputs = self._request.infer([batch])
        except RuntimeError as error:
            raise EngineFailure(f"OpenVINO failed in the detector ({_first_line(error)})") from error
        return [np.array(output) for output in outputs.values()]

    def close(self) -> None:
        self._request = None


def _known(shape: list[Any]) -> Shape:
    """ONNX Runtime names open dimensions by a string or None."""
    return tuple(size if isinstance(size, int) else None for size in shape)


def _static(shape: Any) -> Shape:
    return tuple(size.get_length() if size.is_static else None for size in shape)


def _unreadable(path: Path, library: str, error: Exception) -> InvalidFile:
    return InvalidFile(f"{library} cannot read {path} ({_first_line(error)})", remedy="name a detector's .onnx file")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
