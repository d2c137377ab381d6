"""OpenVINO: opens the artifacts of the target ``openvino``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path, PurePosixPath
from platform import machine
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import read_checked
from reidkit.runtime.box.processor import usable_processors
from reidkit.runtime.cache import cache_folder
from reidkit.runtime.engines import _compiled
from reidkit.runtime.engines.engine import EngineBase
from reidkit.runtime.errors import ArtifactInvalid, EngineFailure, InvalidInput
from reidkit.runtime.inference_libraries import import_openvino, shared_core

PROCESSOR = Path("/proc/cpuinfo")

PERFORMANCE, LATENCY, THROUGHPUT = "performance", "latency", "throughput"
"""What the manifest's toolchain says, and may say, of how a batch is to be run."""

_ARM = {"aarch64", "arm64"}
_BF16_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}
"""Of x86 and ARM processors that multiply in bfloat16."""


def precision_hint(built: str, *, device: str, capabilities: Sequence[str], processor: Path = PROCESSOR) -> str | None:
    """In what numbers OpenVINO is to compute, always said to it; None for a device that cannot.

    Left to itself the CPU plug-in computes a float32 model in bfloat16 wherever the processor can: cosine 0.964 for an
    OSNet. Asked for f16, it takes bfloat16 in silence on a processor without float16 (OpenVINO 2026.4).

    Args:
        built: the artifact's precision. One in fp16 is computed in float32 where the device has no float16, and so is
            whatever the graph of one in int8 leaves in float32.
        device: OpenVINO's name of it.
        capabilities: what OpenVINO says that it can.
        processor: Linux's account of the processor: OpenVINO names BF16 also where it would be emulated.
    """
    if built == "fp16":
        return "f16" if "FP16" in capabilities else "f32"
    if built == "bf16":
        emulated = device == "CPU" and processor.exists() and _BF16_FLAGS.isdisjoint(processor.read_text().split())
        return "bf16" if "BF16" in capabilities and not emulated else None
    return "f32" if built in ("fp32", "int8") else None


class OpenVinoEngine(EngineBase):
    """An OpenVINO IR in the precision that its manifest names.

    Device ``auto`` is the processor, where the artifact's parity was measured; ``gpu``, ``npu`` and the like are
    OpenVINO's names in any case.

    A batch is run as its powers of two, 7 as 4 + 2 + 1, each compiled when it is first met: with the size left open
    the CPU plug-in fuses less and an OSNet takes 1.4 times as long (OpenVINO 2026.4). What was compiled is kept in the
    cache, and loaded from there the next time.

    Attributes:
        inference_precision: what it computes in here: ``"f32"``, ``"f16"`` or ``"bf16"``.
        streams: parts of a batch that are under way at once. One, with all threads for it, unless the artifact was
            exported for throughput: then one for each thread of the processor, and one still on another device.
    """

    def _load(self, folder: Path, *, device: str, threads: int | None) -> None:
        openvino = import_openvino(f"Opening {self.manifest.name}")
        self._core = shared_core(openvino)
        self._device = "CPU" if device == "auto" else device.upper()
        if not _has(self._core.available_devices, self._device):
            raise InvalidInput(
                f"OpenVINO {openvino.__version__} finds no device '{device}' here",
                remedy=f"use auto or one of {', '.join(self._core.available_devices).lower()}",
            )
        self.device = self._device.lower()
        self.inference_precision = self._precision_hint()
        self.streams = self._wanted_streams(threads)
        self.execution = {"inference_precision": self.inference_precision, "streams": self.streams}
        self._options = {"INFERENCE_PRECISION_HINT": self.inference_precision, "PERFORMANCE_HINT": "LATENCY"}
        if self.streams > 1:
            self._options |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": str(self.streams)}
        if threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = str(threads)
        if self.manifest.precision.built == "int8" and machine() in _ARM:
            self.sizes_to_prove = [1 << power for power in range(self.max_batch.bit_length())]
        graph_file = self.manifest.engine_file
        weights_file = str(PurePosixPath(graph_file).with_suffix(".bin"))
        graph, weights = (read_checked(folder, self.manifest, name) for name in (graph_file, weights_file))
        self._cache = self._cache_of(graph_file, weights_file)
        try:
            self._model = self._core.read_model(graph, weights)
        except RuntimeError as error:
            raise EngineFailure(f"OpenVINO {openvino.__version__} refuses {self.manifest.name}: {error}") from error
        self._expect_tensors(
            [(tensor.element_type.to_dtype().name, _sizes(tensor.partial_shape)) for tensor in self._model.inputs],
            [_sizes(tensor.partial_shape) for tensor in self._model.outputs],
        )
        self._compiled: dict[int, Any] = {}
        self._requests: dict[tuple[int, int], Any] = {}

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        sizes = parts(len(batch), streams=self.streams)
        pieces = [batch[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]
        # Shared: a request reads `batch` where it lies and answers with a view of its own memory.
        try:
            requests = [self._request(size, sizes[:turn].count(size)) for turn, size in enumerate(sizes)]
            if self.streams == 1:
                answers = [
                    request.infer([piece], share_inputs=True, share_outputs=True)[0]
                    for request, piece in zip(requests, pieces, strict=True)
                ]
            else:
                for request, piece in zip(requests, pieces, strict=True):
                    request.start_async([piece], share_inputs=True)
                for request in requests:
                    request.wait()
                answers = [request.get_output_tensor().data for request in requests]
        except RuntimeError as error:
            raise EngineFailure(f"OpenVINO cannot run {len(batch)} crops of {self.manifest.name}: {error}") from error
        return np.concatenate(answers)

    def _release(self) -> None:
        del self._requests, self._compiled, self._model, self._core

    def _request(self, size: int, nth: int = 0) -> Any:
        """What runs `size` crops, the `nth` time that a batch has so many."""
        if (size, nth) not in self._requests:
            if size not in self._compiled:
                self._compiled[size] = self._compile(size)
            self._requests[size, nth] = self._compiled[size].create_infer_request()
        return self._requests[size, nth]

    def _compile(self, size: int) -> Any:
        cache = _compiled.sound(self._cache / str(size))
        self._model.reshape([size, *self._crop_shape])
        options = {**self._options, **({"CACHE_DIR": str(cache)} if cache else {})}
        compiled = self._core.compile_model(self._model, self._device, options)
        if cache:
            _compiled.record(cache)
        taken = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if taken != self.inference_precision:
            raise EngineFailure(
                f"{self.manifest.name} was to be computed in {self.inference_precision}, OpenVINO takes {taken}",
                remedy="export it in fp32",
            )
        return compiled

    def _wanted_streams(self, threads: int | None) -> int:
        if self.manifest.toolchain.get(PERFORMANCE) != THROUGHPUT or self._device != "CPU":
            return 1
        return min(threads or usable_processors(), self.max_batch)

    def _precision_hint(self) -> str:
        built = self.manifest.precision.built
        if built not in ("fp32", "fp16", "bf16", "int8"):
            raise ArtifactInvalid(
                f"{self.manifest.name} was built in {built}, this engine computes in fp32, fp16, bf16 and int8",
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

    def _cache_of(self, *files: str) -> Path:
        """Where OpenVINO keeps what it compiles of these files of the artifact; it adds its version and its options."""
        digests = "".join(self.manifest.files[name].sha256 for name in files)
        return cache_folder("openvino", hashlib.sha256(digests.encode()).hexdigest()[:16])


def parts(count: int, *, streams: int) -> list[int]:
    """Powers of two that add up to `count`, the largest first, none larger than a stream's share.

    >>> parts(7, streams=1), parts(7, streams=2), parts(8, streams=3)
    ([4, 2, 1], [4, 2, 1], [2, 2, 2, 2])
    """
    share = -(-count // streams)
    found = []
    while count:
        found.append(1 << (min(count, share).bit_length() - 1))
        count -= found[-1]
    return found


def _has(available: Sequence[str], device: str) -> bool:
    """Whether a device is there by its name; of several GPUs, ``GPU.0`` and ``GPU.1``, ``GPU`` is the first."""
    return any(device in (name, name.partition(".")[0]) for name in available)


def _sizes(shape: Any) -> list[int | None]:
    """An OpenVINO partial shape whose open sizes are None."""
    return [size.get_length() if size.is_static else None for size in shape]


ENGINE = OpenVinoEngine
