"""OpenVINO: opens the artifacts of the target ``openvino``."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import read_checked
from reidkit.runtime.engines.engine import EngineBase
from reidkit.runtime.errors import ArtifactInvalid, EngineFailure, InvalidInput, MissingDependency

# Left to itself the CPU plug-in computes a float32 model in bfloat16 wherever the processor can (cosine 0.964 for an
# OSNet, OpenVINO 2026.4).
_PRECISION_HINTS = {"fp32": "f32"}


class OpenVinoEngine(EngineBase):
    """An OpenVINO IR with a dynamic batch, in the precision that its manifest names.

    Device ``auto`` is the processor, where the artifact's parity was measured; ``gpu``, ``npu`` and the like are
    OpenVINO's names in any case.
    """

    def _load(self, folder: Path, *, device: str, threads: int | None) -> None:
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise MissingDependency("openvino", extra="openvino", purpose=f"opening {self.manifest.name}") from error
        core = openvino.Core()
        name = "CPU" if device == "auto" else device.upper()
        if name not in core.available_devices:
            raise InvalidInput(
                f"OpenVINO {openvino.__version__} finds no device '{device}' here",
                remedy=f"use auto or one of {', '.join(core.available_devices).lower()}",
            )
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": self._precision_hint(), "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        graph_file = self.manifest.engine_file
        graph = read_checked(folder, self.manifest, graph_file)
        weights = read_checked(folder, self.manifest, str(PurePosixPath(graph_file).with_suffix(".bin")))
        try:
            compiled = core.compile_model(core.read_model(graph, weights), name, options)
            self._request = compiled.create_infer_request()
        except RuntimeError as error:
            raise EngineFailure(f"OpenVINO {openvino.__version__} refuses {self.manifest.name}: {error}") from error
        source, sink = compiled.input(0), compiled.output(0)
        self._expect_tensors(
            dtype=source.element_type.to_dtype(),
            input_shape=_sizes(source.partial_shape),
            output_shape=_sizes(sink.partial_shape),
        )

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        try:
            # Shared: the request reads `batch` where it is and answers with a view of its own memory.
            answer: NDArray[Any] = self._request.infer([batch], share_inputs=True, share_outputs=True)[0]
        except RuntimeError as error:
            raise EngineFailure(f"OpenVINO failed on {len(batch)} crops of {self.manifest.name}: {error}") from error
        return answer

    def _release(self) -> None:
        del self._request

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
