"""LiteRT: opens the artifacts of the target ``litert``, on XNNPACK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import read_checked
from reidkit.runtime.box.processor import usable_processors
from reidkit.runtime.engines.engine import EngineBase
from reidkit.runtime.errors import ArtifactInvalid, EngineFailure, InvalidInput, MissingDependency


class LiteRtEngine(EngineBase):
    """A ``.tflite`` model with a signature for each batch size that it was built for.

    A batch is run as the largest of these sizes that fit into it, 7 as 4 + 1 + 1 + 1. Left to itself LiteRT computes
    in one thread: without `threads` it is given as many as there are processors.
    """

    def _load(self, folder: Path, *, device: str, threads: int | None) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ModuleNotFoundError as error:
            raise MissingDependency(
                "ai-edge-litert", extra="litert", purpose=f"Opening {self.manifest.name}"
            ) from error
        if device not in ("auto", "cpu"):
            raise InvalidInput(f"the litert engine has no device '{device}'", remedy="use auto or cpu")
        model = read_checked(folder, self.manifest, self.manifest.engine_file)
        try:
            interpreter = Interpreter(model_content=model, num_threads=threads or usable_processors())
            signatures = [interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()]
        except (ValueError, RuntimeError) as error:
            raise EngineFailure(f"LiteRT refuses {self.manifest.name}: {error}") from error
        self._runners = dict(self._runner(signature) for signature in signatures)
        batch = self.manifest.batch
        if lacking := sorted(({1} if batch.dynamic else {*batch.buckets}) - self._runners.keys()):
            raise ArtifactInvalid(
                f"the model in {self.manifest.name} has no signature for batches of {', '.join(map(str, lacking))}",
                remedy="export the artifact again",
            )

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        answers = []
        while rest := len(batch):
            size = max(size for size in self._runners if size <= rest)
            try:
                answer = self._runners[size](batch[:size])
            except (ValueError, RuntimeError) as error:
                raise EngineFailure(f"LiteRT cannot run {size} crops of {self.manifest.name}: {error}") from error
            answers.append(answer)
            batch = batch[size:]
        return np.concatenate(answers)

    def _release(self) -> None:
        del self._runners

    def _runner(self, signature: Any) -> tuple[int, Callable[[NDArray[Any]], NDArray[Any]]]:
        """A signature's batch size, and a function that runs it; its tensors are those of the manifest."""
        inputs, outputs = signature.get_input_details(), signature.get_output_details()
        self._expect_tensors(
            [(np.dtype(tensor["dtype"]).name, [None, *tensor["shape"][1:].tolist()]) for tensor in inputs.values()],
            [[None, *tensor["shape"][1:].tolist()] for tensor in outputs.values()],
        )
        ((taken, tensor),), (given,) = inputs.items(), outputs

        def run(batch: NDArray[Any]) -> NDArray[Any]:
            answer: NDArray[Any] = signature(**{taken: batch})[given]
            return answer

        return int(tensor["shape"][0]), run


ENGINE = LiteRtEngine
