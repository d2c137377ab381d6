"""ONNX Runtime on the processor or through another execution provider: opens the artifacts of ``onnxruntime``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import read_checked
from reidkit.runtime.cache import cache_folder
from reidkit.runtime.engines._execution_providers import Device, find_device
from reidkit.runtime.engines.engine import EngineBase
from reidkit.runtime.errors import EngineFailure
from reidkit.runtime.inference_libraries import import_onnxruntime

DTYPES = {"tensor(uint8)": "uint8", "tensor(float16)": "float16", "tensor(float)": "float32"}


class OnnxRuntimeEngine(EngineBase):
    """An ONNX graph in ONNX Runtime, all graph optimisations on.

    A batch is read where it lies, and the rows are written into memory of the engine's own. Threads wait without
    turning a processor between two batches.

    Attributes:
        providers: what ONNX Runtime took the session to, the first one first; the processor is always the last.
        nodes_by_provider: how many of the graph's nodes each has; empty on the processor alone, or where the library
            (before 1.24) does not tell.
    """

    def _load(self, folder: Path, *, device: str, threads: int | None) -> None:
        onnxruntime = import_onnxruntime(f"Opening {self.manifest.name}")
        found = find_device(
            device,
            onnxruntime.get_available_providers(),
            self.manifest,
            threads=threads,
            cache=cache_folder("onnxruntime", self.manifest.files[self.manifest.engine_file].sha256[:16]),
        )
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 4
        options.intra_op_num_threads = found.session_threads
        options.enable_mem_pattern = found.memory_pattern
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # A graph may keep tensors in files of their own: from here alone, not from the working directory.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        if not found.is_processor:
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        model = read_checked(folder, self.manifest, self.manifest.engine_file)
        try:
            # Without its fallback, which takes a session to the processor and says so on standard output.
            self._session = onnxruntime.InferenceSession(
                model, options, providers=list(found.providers), enable_fallback=0
            )
        except Exception as error:  # its exceptions have no base of their own
            raise EngineFailure(
                f"ONNX Runtime {onnxruntime.__version__} refuses {self.manifest.name} on {found.name}: {error}"
            ) from error
        self._expect_device(found)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._expect_tensors(
            [(DTYPES.get(tensor.type, tensor.type), _sizes(tensor.shape)) for tensor in inputs],
            [_sizes(tensor.shape) for tensor in outputs],
        )
        self._input, self._output = inputs[0].name, outputs[0].name
        self._rows = np.empty((self.max_batch, self.embedding_dim), DTYPES.get(outputs[0].type, "float32"))
        self._binding = self._session.io_binding()
        self._bound: tuple[int, int] | None = None  # address and crops of the batch it reads

    def _expect_device(self, device: Device) -> None:
        """See that the graph really runs where it was to, and keep what was found."""
        self.device = device.name
        self.providers = tuple(self._session.get_providers())
        self.nodes_by_provider: dict[str, int] = {}
        self.execution = {"providers": list(self.providers), "nodes_by_provider": self.nodes_by_provider}
        if device.is_processor:
            return
        if hasattr(self._session, "get_provider_graph_assignment_info"):
            for part in self._session.get_provider_graph_assignment_info():
                count = self.nodes_by_provider.get(part.ep_name, 0)
                self.nodes_by_provider[part.ep_name] = count + len(part.get_nodes())
        if device.provider != self.providers[0] or device.provider not in (self.nodes_by_provider or self.providers):
            nodes = "".join(f", {count} nodes on {name}" for name, count in self.nodes_by_provider.items())
            raise EngineFailure(
                f"{self.manifest.name} was to run on {self.device}, ONNX Runtime runs nothing of it there "
                f"({' and '.join(self.providers)}{nodes})",
                remedy="open it on another device, or see what that one needs: its driver, its libraries",
            )

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        rows = self._rows[: len(batch)]
        place = batch.ctypes.data, len(batch)
        if place != self._bound:
            self._binding.bind_input(self._input, "cpu", 0, batch.dtype, batch.shape, batch.ctypes.data)
            self._binding.bind_output(self._output, "cpu", 0, rows.dtype, rows.shape, rows.ctypes.data)
            self._bound = place
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # as above
            raise EngineFailure(
                f"ONNX Runtime failed on {len(batch)} crops of {self.manifest.name}: {error}"
            ) from error
        return rows

    def _release(self) -> None:
        del self._binding, self._session, self._rows


def _sizes(shape: list[int | str | None]) -> list[int | None]:
    """A shape whose open sizes, which ONNX may name, are None."""
    return [size if isinstance(size, int) else None for size in shape]


ENGINE = OnnxRuntimeEngine
