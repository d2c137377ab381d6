"""ONNX Runtime on the processor: opens the artifacts of the target ``onnxruntime``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import read_checked
from reidkit.runtime.engines.engine import EngineBase
from reidkit.runtime.errors import EngineFailure, InvalidInput, MissingDependency

_DTYPES = {"tensor(uint8)": "uint8", "tensor(float16)": "float16", "tensor(float)": "float32"}


class OnnxRuntimeEngine(EngineBase):
    """An ONNX graph in ONNX Runtime's CPU provider, all graph optimisations on."""

    def _load(self, folder: Path, *, device: str, threads: int | None) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingDependency(
                "onnxruntime", extra="onnxruntime", purpose=f"Opening {self.manifest.name}"
            ) from error
        if device not in ("auto", "cpu"):
            raise InvalidInput(f"the onnxruntime engine has no device '{device}'", remedy="use auto or cpu")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 4
        options.intra_op_num_threads = threads or 0
        # A graph may keep tensors in files of their own: from here alone, not from the working directory.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        model = read_checked(folder, self.manifest, self.manifest.engine_file)
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no base of their own
            raise EngineFailure(
                f"ONNX Runtime {onnxruntime.__version__} refuses {self.manifest.name}: {error}"
            ) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._expect_tensors(
            [(_DTYPES.get(tensor.type, tensor.type), _sizes(tensor.shape)) for tensor in inputs],
            [_sizes(tensor.shape) for tensor in outputs],
        )
        self._input, self._outputs = inputs[0].name, [outputs[0].name]

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        try:
            answer: NDArray[Any] = self._session.run(self._outputs, {self._input: batch})[0]
        except Exception as error:  # as above
            raise EngineFailure(
                f"ONNX Runtime failed on {len(batch)} crops of {self.manifest.name}: {error}"
            ) from error
        return answer

    def _release(self) -> None:
        del self._session


def _sizes(shape: list[int | str | None]) -> list[int | None]:
    """A shape whose open sizes, which ONNX may name, are None."""
    return [size if isinstance(size, int) else None for size in shape]


ENGINE = OnnxRuntimeEngine
