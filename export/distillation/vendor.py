"""A vendor's model file as a teacher: what its input wants to be is told beside it, as the file itself rarely does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.export.preprocessing import model_input
from reidkit.runtime.artifact.digests import sha256_of
from reidkit.runtime.artifact.manifest import Preprocessing
from reidkit.runtime.errors import EngineFailure, InvalidFile
from reidkit.runtime.inference_libraries import import_openvino, shared_core

BATCH = 16
REQUESTS = 2


class VendorModel:
    """A `Teacher` from an OpenVINO IR or an ONNX file, run by OpenVINO, in bfloat16 where the processor has it."""

    def __init__(self, path: Path, preprocessing: Preprocessing) -> None:
        openvino = import_openvino(f"Asking {path.name}")
        parts = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
        if missing := [part for part in parts if not part.is_file()]:
            raise InvalidFile(f"there is no teacher file {missing[0]}")
        core = shared_core(openvino)
        self.name = path.name
        self.size = (preprocessing.height, preprocessing.width)
        self.precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
        self.sha256 = "+".join(sha256_of(part) for part in parts)
        self.identity = f"{self.sha256} {preprocessing} {self.precision}"
        self._preprocessing = preprocessing
        how = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": REQUESTS,
        }
        try:
            model = core.read_model(path)
            model.reshape([BATCH, 3, *self.size])
            self._queue = openvino.AsyncInferQueue(core.compile_model(model, "CPU", how), REQUESTS)
        except RuntimeError as error:
            raise InvalidFile(
                f"OpenVINO cannot run {path} on {self.size[0]}x{self.size[1]} crops ({_last_line(error)})",
                remedy="check the file and --teacher-preprocessing",
            ) from error

    def embed(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3, *size) float32 RGB in 0…255 -> (N, E) float32 raw embeddings."""
        answers: dict[int, NDArray[np.float32]] = {}

        def keep(request: Any, start: int) -> None:
            answers[start] = request.get_output_tensor(0).data.reshape(BATCH, -1).astype(np.float32)

        self._queue.set_callback(keep)
        try:
            for start in range(0, len(crops), BATCH):
                batch = model_input(crops[start : start + BATCH], self._preprocessing, color="rgb")
                padding = np.zeros((BATCH - len(batch), *batch.shape[1:]), np.float32)
                self._queue.start_async({0: np.concatenate([batch, padding])}, start)
            self._queue.wait_all()
        except RuntimeError as error:
            raise EngineFailure(f"OpenVINO failed while asking {self.name} ({_last_line(error)})") from error
        return np.concatenate([answers[start] for start in sorted(answers)])[: len(crops)]

    def close(self) -> None:
        """See `Teacher.close`; OpenVINO does so once nobody holds this object."""


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
