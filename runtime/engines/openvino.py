"""OpenVINO: opens the artifacts of the target ``openvino``."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import read_checked
from reidkit.runtime.engines.engine import EngineBase
from reidkit.runtime.errors import ArtifactInvalid, EngineFailure, InvalidInput, MissingDependency

# Left to itself the CPU plug-in computes a float32 model in bfloat16 wherever the processor can: cosine 0.964 for an
# OSNet (OpenVINO 2026.4).
_PRECISION_HINTS = {"fp32": "f32"}


class OpenVinoEngine(EngineBase):
    """An OpenVINO IR in the precision that its manifest names.

    Device ``auto`` is the processor, where the artifact's parity was measured; ``gpu``, ``npu`` and the like are
    OpenVINO's names in any case.

    A batch is run as its powers of two, 7 as 4 + 2 + 1, each compiled when it is first met: with the size left open
    the CPU plug-in fuses less and an OSNet takes 1.4 times as long (OpenVINO 2026.4).
    """

    def _load(self, folder: Path, *, device: str, threads: int | None) -> None:
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise MissingDependency("openvino", extra="openvino", purpose=f"Opening {self.manifest.name}") from error
        self._core = openvino.Core()
        self._device = "CPU" if device == "auto" else device.upper()
        if self._device not in self._core.available_devices:
            raise InvalidInput(
                f"OpenVINO {openvino.__version__} finds no device '{device}' here",
                remedy=f"use auto or one of {', '.join(self._core.available_devices).lower()}",
            )
        self._options = {"INFERENCE_PRECISION_HINT": self._precision_hint(), "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = str(threads)
        graph_file = self.manifest.engine_file
        graph = read_checked(folder, self.manifest, graph_file)
        weights = read_checked(folder, self.manifest, str(PurePosixPath(graph_file).with_suffix(".bin")))
        try:
            self._model = self._core.read_model(graph, weights)
        except RuntimeError as error:
            raise EngineFailure(f"OpenVINO {openvino.__version__} refuses {self.manifest.name}: {error}") from error
        self._expect_tensors(
            [(tensor.element_type.to_dtype().name, _sizes(tensor.partial_shape)) for tensor in self._model.inputs],
            [_sizes(tensor.partial_shape) for tensor in self._model.outputs],
        )
        self._requests: dict[int, Any] = {}

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        answers = []
        while rest := len(batch):
            size = 1 << (rest.bit_length() - 1)
            # Shared: the request reads `batch` where it lies and answers with a view of its own memory.
            try:
                answer = self._request(size).infer([batch[:size]], share_inputs=True, share_outputs=True)
            except RuntimeError as error:
                raise EngineFailure(f"OpenVINO cannot run {size} crops of {self.manifest.name}: {error}") from error
            answers.append(answer[0])
            batch = batch[size:]
        return np.concatenate(answers)

    def _release(self) -> None:
        del self._requests, self._model, self._core

    def _request(self, size: int) -> Any:
        if size not in self._requests:
            self._model.reshape([size, *self._crop_shape])
            compiled = self._core.compile_model(self._model, self._device, self._options)
            self._requests[size] = compiled.create_infer_request()
        return self._requests[size]

    def _precision_hint(self) -> str:
        built = self.manifest.precision.built
        if built not in _PRECISION_HINTS:
            raise ArtifactInvalid(
                f"{self.manifest.name} was built in {built}, this engine computes in {', '.join(_PRECISION_HINTS)}",
                remedy="export it again, or install a newer reidkit",
            )
        return _PRECISION_HINTS[built]


def _sizes(shape: Any) -> list[int | None]:
    """An OpenVINO partial shape whose open sizes are None."""
    return [size.get_length() if size.is_static else None for size in shape]


ENGINE = OpenVinoEngine
