"""ONNX Runtime on the processor: opens the artifacts of the target ``onnxruntime``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import read_checked
from reidkit.runtime.engines.engine import EngineBase
from reidkit.runtime.errors import EngineFailure, InvalidInput, MissingDependency

_DTYPES = {"tensor(uint8)": np.uint8, "tensor(float16)": np.float16, "tensor(float)": np.float32}


class OnnxRuntimeEngine(EngineBase):
    """An ONNX graph in ONNX Runtime's CPU provider, all graph optimisations on."""

    def _load(self, folder: Path, *, device: str, threads: int | None) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingDependency(
                "onnxruntime", extra="onnxruntime", purpose=f"opening {self.manifest.name}"
            ) from error
        if device not in ("auto", "cpu"):
            raise InvalidInput(f"the onnxruntime engine has no device '{device}'", remedy="use auto or cpu")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 4
        options.intra_op_num_threads = threads or 0
        model = read_checked(folder, self.manifest, self.manifest.engine_file)
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no base of their own
            raise EngineFailure(
                f"ONNX Runtime {onnxruntime.__version__} refuses {self.manifest.name}: {error}"
            ) from error
        (source,), (sink,) = self._session.get_inputs(), self._session.get_outputs()
        self._names = source.name, [sink.name]
        self._expect_tensors(
            dtype=np.dtype(_DTYPES[source.type]), input_shape=_sizes(source.shape), output_shape=_sizes(sink.shape)
        )

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        source, sinks = self._names
        try:
            answer: NDArray[Any] = self._session.run(sinks, {source: batch})[0]
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
