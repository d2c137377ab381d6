"""ncnn on the processor: opens the artifacts of the target ``ncnn``."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import read_checked
from reidkit.runtime.engines.engine import EngineBase
from reidkit.runtime.errors import ArtifactInvalid, EngineFailure, InvalidInput, MissingDependency


def load_network(ncnn: ModuleType, structure: bytes, weights: bytes, *, half: bool, keep_all: bool = False) -> Any:
    """An ``ncnn.Net``, to be run in any number of threads, each crop in one.

    Args:
        ncnn: the library.
        structure: text of the ``.param`` file.
        weights: content of the ``.bin`` file.
        half: keep weights and activations in float16 where the processor converts them. Always said to ncnn, which
            else does so, and on ARM computes in float16 too, for a float32 network. Computed is in float32.
        keep_all: keep every tensor, to be asked for after the one that is given, instead of the last ones.

    Raises:
        ValueError: ncnn does not take them; it says more on stderr.
    """
    network = ncnn.Net()
    options = network.opt
    options.num_threads = 1
    options.use_vulkan_compute = options.use_bf16_storage = options.use_fp16_arithmetic = False
    options.use_fp16_packed = options.use_fp16_storage = half
    options.lightmode = not keep_all
    text = structure.decode()
    layers = {line.split()[0] for line in text.splitlines()[2:] if line.strip()}
    if unknown := sorted(layer for layer in layers if ncnn.layer_to_index(layer) < 0):
        raise ValueError(f"it has no layer {', '.join(unknown)}")
    # A file in memory, for `load_model_mem` leaves the network with pointers to what Python frees (ncnn 1.0.20261020).
    with os.fdopen(os.memfd_create("weights"), "wb") as file:
        file.write(weights)
        file.flush()
        if network.load_param_mem(text) or network.load_model(f"/proc/self/fd/{file.fileno()}"):
            raise ValueError("it cannot load it")
    return network


class NcnnEngine(EngineBase):
    """An ncnn network on the processor, in the precision that its manifest names.

    ncnn's pictures have no batch: a batch is as many runs, `threads` of them at once, each in one thread. ncnn's own
    threads share the work of a layer and spin while they wait for each other: beside anything else that computes, an
    OSNet x0.25 took 5 to 15 times as long with two of them as with one (ncnn 1.0.20261020).
    """

    def _load(self, folder: Path, *, device: str, threads: int | None) -> None:
        try:
            import ncnn
        except ModuleNotFoundError as error:
            raise MissingDependency("ncnn", extra="ncnn", purpose=f"Opening {self.manifest.name}") from error
        if device not in ("auto", "cpu"):
            raise InvalidInput(f"the ncnn engine has no device '{device}'", remedy="use auto or cpu")
        built = self.manifest.precision.built
        if built not in ("fp32", "fp16", "int8"):
            raise ArtifactInvalid(
                f"{self.manifest.name} was built in {built}, this engine computes in fp32, fp16 and int8",
                remedy="export it again, or install a newer reidkit",
            )
        structure_file = self.manifest.engine_file
        weights_file = str(PurePosixPath(structure_file).with_suffix(".bin"))
        structure, weights = (read_checked(folder, self.manifest, name) for name in (structure_file, weights_file))
        try:
            self._network = load_network(ncnn, structure, weights, half=built == "fp16")
        except ValueError as error:
            raise EngineFailure(f"ncnn {ncnn.__version__} refuses {self.manifest.name}: {error}") from error
        inputs, outputs = self._network.input_names(), self._network.output_names()
        # The file names its tensors and is silent about their sizes.
        self._expect_tensors(
            [(str(self._dtype), [None, *self._crop_shape])] * len(inputs), [[None, self.embedding_dim]] * len(outputs)
        )
        self._picture, self._input, self._output = ncnn.Mat, inputs[0], outputs[0]
        self._pool = ThreadPoolExecutor(threads or ncnn.get_physical_big_cpu_count(), "ncnn")

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        crops = batch.astype(np.float32, copy=False)
        return np.stack(list(self._pool.map(self._embed_one, crops)))

    def _release(self) -> None:
        self._pool.shutdown()
        del self._pool, self._network

    def _embed_one(self, crop: NDArray[np.float32]) -> NDArray[np.float32]:
        """Its embedding, (D,)."""
        extractor = self._network.create_extractor()
        # Cloned, for a picture over NumPy's memory has no reference count, at which layers that work in place look.
        status = extractor.input(self._input, self._picture(crop).clone())
        if not status:
            status, embedding = extractor.extract(self._output)
        if status:
            raise EngineFailure(f"ncnn failed on a crop of {self.manifest.name} with status {status}")
        return np.array(embedding).ravel()  # some graphs leave the axis of the batch


ENGINE = NcnnEngine
