"""A ready ONNX file: its reference is the file itself, as ONNX Runtime runs it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from reidkit.export.onnx.adaptation import write_adapted
from reidkit.export.onnx.given import GivenGraph
from reidkit.export.originals.original import Original
from reidkit.export.preprocessing import exported
from reidkit.runtime.artifact.manifest import BackboneInfo, Weights
from reidkit.runtime.artifact.preprocessing import told_preprocessing


def onnx_original(path: Path, *, preprocessing: str | None = None) -> Original:
    """A network that is an ONNX file.

    Args:
        path: the file.
        preprocessing: what its input holds, by name or file; None to read it from the file beside it.

    Raises:
        InvalidFile: it is no ONNX file that maps such crops to embeddings in float32.
        InvalidConfig: the preprocessing is missing or wrong.
        MissingDependency: onnx or onnxruntime is not installed.
    """
    given = GivenGraph.read(path, told_preprocessing(preprocessing, beside=path))
    embed, how = given.embedder(), exported(given.preprocessing)
    dim = embed(np.zeros((1, 3, how.height, how.width), np.uint8)).shape[1]
    weights = Weights(source="file", file=path.name, sha256=given.sha256, licence=None, dropped_keys=[])
    return Original(
        backbone=BackboneInfo(name=path.stem, parameters=given.parameters, weights=weights),
        preprocessing=how,
        reference=f"{path.name} itself in ONNX Runtime",
        libraries=("onnx", "onnxruntime"),
        embed=embed,
        write_onnx=partial(write_adapted, given, dim=dim),
    )
