"""The manifest of a miniature artifact, for tests that need no inference library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.manifest import (
    SCHEMA_VERSION,
    BackboneInfo,
    Batch,
    Embedding,
    FileRecord,
    Manifest,
    Normalization,
    PrecisionInfo,
    Preprocessing,
    Resize,
    Weights,
)

HEIGHT, WIDTH, DIM = 32, 16, 12
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """What kind of miniature.

    Attributes:
        black: what a black crop gives: an embedding like any other, NaN, or zeros.
        batch: sizes it takes.
        layout, dtype, where: of the input, and who normalises it.
    """

    target: str = "onnxruntime"
    black: Literal["ordinary", "nan", "zero"] = "ordinary"
    batch: Batch = Batch(dynamic=True, max=4, buckets=[])  # noqa: RUF009 - frozen
    layout: Literal["nchw", "nhwc"] = "nchw"
    color: Literal["rgb", "bgr"] = "rgb"
    dtype: Literal["uint8", "float16", "float32"] = "uint8"
    where: Literal["graph", "runtime"] = "graph"

    @property
    def crop_shape(self) -> tuple[int, int, int]:
        return (3, HEIGHT, WIDTH) if self.layout == "nchw" else (HEIGHT, WIDTH, 3)


def tiny_weights() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The convolution's (8, 3, 3, 3) and the linear layer's (8, DIM), seeded."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32), rng.normal(0, 0.5, (8, DIM)).astype(np.float32)


def tiny_manifest(
    tiny: Tiny, *, engine: str, engine_file: str, files: dict[str, FileRecord], name: str = "tiny"
) -> Manifest:
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=name,
        created="2026-01-01T00:00:00+00:00",
        reidkit_version="0.1.0",
        backbone=BackboneInfo(
            name="tiny",
            parameters=320,
            weights=Weights(source="random", file=None, sha256=None, licence=None, dropped_keys=[]),
        ),
        preprocessing=Preprocessing(
            height=HEIGHT,
            width=WIDTH,
            color=tiny.color,
            layout=tiny.layout,
            dtype=tiny.dtype,
            resize=Resize(kernel="bilinear", antialias=False),
            normalization=Normalization(where=tiny.where, scale=1 / 255, mean=MEAN, std=STD),
        ),
        embedding=Embedding(dim=DIM, l2="runtime"),
        batch=tiny.batch,
        precision=PrecisionInfo(requested="fp32", built="fp32"),
        target=tiny.target,
        engine=engine,
        engine_file=engine_file,
        toolchain={"onnx": "1.21.0"},
        built_on={"system": "test"},
        calibration=None,
        parity={},
        gates={},
        thresholds=None,
        files=files,
    )
