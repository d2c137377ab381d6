"""OpenVINO: opens the artifacts of the target ``openvino``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import read_checked
from reidkit.runtime.cache import cache_folder
from reidkit.runtime.engines.engine import EngineBase
from reidkit.runtime.errors import ArtifactInvalid, EngineFailure, InvalidInput, MissingDependency

PROCESSOR = Path("/proc/cpuinfo")

_BF16_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}
"""Of x86 and ARM processors that multiply in bfloat16."""


def precision_hint(built: str, *, device: str, capabilities: Sequence[str], processor: Path = PROCESSOR) -> str | None:
    """In what numbers OpenVINO is to compute, always said to it; None for a device that cannot.

    Left to itself the CPU plug-in computes a float32 model in bfloat16 wherever the processor can: cosine 0.964 for an
    OSNet. Asked for f16, it takes bfloat16 in silence on a processor without float16 (OpenVINO 2026.4).

    Args:
        built: the artifact's precision. One in fp16 is computed in float32 where the device has no float16.
        device: OpenVINO's name of it.
        capabilities: what OpenVINO says that it can.
        processor: Linux's account of the processor: OpenVINO names BF16 also where it would be emulated.
    """
    if built == "fp16":
        return "f16" if "FP16" in capabilities else "f32"
    if built == "bf16":
        emulated = device == "CPU" and processor.exists() and _BF16_FLAGS.isdisjoint(processor.read_text().split())
        return "bf16" if "BF16" in capabilities and not emulated else None
    return "f32" if built == "fp32" else None


class OpenVinoEngine(EngineBase):
    """An OpenVINO IR in the precision that its manifest names.

    Device ``auto`` is the processor, where the artifact's parity was measured; ``gpu``, ``npu`` and the like are
    OpenVINO's names in any case.

    A batch is run as its powers of two, 7 as 4 + 2 + 1, each compiled when it is first met: with the size left open
    the CPU plug-in fuses less and an OSNet takes 1.4 times as long (OpenVINO 2026.4). What was compiled is kept in the
    cache, and loaded from there the next time.

    Attributes:
        inference_precision: what it computes in here: ``"f32"``, ``"f16"`` or ``"bf16"``.
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
        self.inference_precision = self._precision_hint()
        self._options = {"INFERENCE_PRECISION_HINT": self.inference_precision, "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = str(threads)
        graph_file = self.manifest.engine_file
        weights_file = str(PurePosixPath(graph_file).with_suffix(".bin"))
        graph, weights = (read_checked(folder, self.manifest, name) for name in (graph_file, weights_file))
        self._options["CACHE_DIR"] = str(self._compiled(graph_file, weights_file))
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
            taken = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
            if taken != self.inference_precision:
                raise EngineFailure(
                    f"{self.manifest.name} was to be computed in {self.inference_precision}, OpenVINO takes {taken}",
                    remedy="export it in fp32",
                )
            self._requests[size] = compiled.create_infer_request()
        return self._requests[size]

    def _precision_hint(self) -> str:
        built = self.manifest.precision.built
        if built not in ("fp32", "fp16", "bf16"):
            raise ArtifactInvalid(
                f"{self.manifest.name} was built in {built}, this engine computes in fp32, fp16 and bf16",
                remedy="export it again, or install a newer reidkit",
            )
        capabilities = self._core.get_property(self._device, "OPTIMIZATION_CAPABILITIES")
        hint = precision_hint(built, device=self._device, capabilities=capabilities)
        if hint is None:
            raise EngineFailure(
                f"{self.manifest.name} computes in {built}, which this {self._device} does not",
                remedy="open it on another box, or export it in fp32",
            )
        return hint

    def _compiled(self, *files: str) -> Path:
        """Where OpenVINO keeps what it compiles of these files of the artifact; it adds its version and its options."""
        digests = "".join(self.manifest.files[name].sha256 for name in files)
        return cache_folder("openvino", hashlib.sha256(digests.encode()).hexdigest()[:16])


def _sizes(shape: Any) -> list[int | None]:
    """An OpenVINO partial shape whose open sizes are None."""
    return [size.get_length() if size.is_static else None for size in shape]


ENGINE = OpenVinoEngine
