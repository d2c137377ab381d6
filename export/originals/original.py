"""The seam between where a network comes from and what is made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.export import ExportedProgram

from reidkit.runtime.artifact.manifest import BackboneInfo, EnsembleInfo, Preprocessing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Original:
    """A network before anything is built from it, and the reference for whatever is.

    Attributes:
        backbone: its name, its size and where its weights are from, for the manifest.
        ensemble: its parts, for the manifest, where it has several.
        preprocessing: what its graph takes: uint8, nchw, normalised in the graph.
        reference: what computes `embed`, for messages and the manifest.
        libraries: what `write_onnx` works with; the manifest records their versions.
        embed: (N, 3, H, W) uint8 crops in the input's colour order -> (N, D) float32 raw embeddings, for any N >= 1.
        write_onnx: writes the graph that computes the same, checked and in one file, with `INPUT` and `OUTPUT` of
            `reidkit.export.onnx`; raises `ExportFailure` where it cannot.
        program: traces in torch what computes the same for exactly so many crops, or for any number of None, uint8 in
            and float32 out; None where there is no torch module. Raises `ExportFailure` where it cannot.
    """

    backbone: BackboneInfo
    ensemble: EnsembleInfo | None = None
    preprocessing: Preprocessing
    reference: str
    libraries: tuple[str, ...]
    embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    write_onnx: Callable[[Path], None]
    program: Callable[[int | None], ExportedProgram] | None = None
