"""An original that is exported many times: what is asked of it twice is computed once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.export.originals.original import Original


def kept(original: Original, folder: Path) -> Original:
    """The same, which keeps its ONNX graph in `folder`, and its embeddings and programs in memory."""
    graph = folder / "original.onnx"

    def write_onnx(path: Path) -> None:
        if not graph.exists():
            original.write_onnx(graph)
        shutil.copyfile(graph, path)

    @cache
    def embedded(crops: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return original.embed(np.frombuffer(crops, np.uint8).reshape(shape).copy())

    return replace(
        original,
        embed=lambda crops: embedded(crops.tobytes(), crops.shape).copy(),
        write_onnx=write_onnx,
        program=original.program and cache(original.program),
    )
