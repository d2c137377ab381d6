"""A network of five kilobytes: one convolution and one linear layer, in ONNX, in torch and in NumPy.

    (N, 3, 32, 16) uint8 ── /255 ── conv 4x4, stride 4 ── ReLU ── flatten ── linear ── (N, 8) float32

The file lies beside this one, so that a box without the onnx package can build it. ``write`` made it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact import Golden
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
from reidkit.runtime.errors import MissingDependency
from reidkit.targets.target import BuiltEngine, Target

ONNX_FILE = Path(__file__).with_name("tiny.onnx")
HEIGHT, WIDTH, CHANNELS, DIM = 32, 16, 4, 8
BATCH = Batch(dynamic=True, max=4, buckets=[])
_PATCH = 4


def golden(count: int = 3) -> Golden:
    """Crops that differ, and the embeddings that NumPy finds."""
    levels = 127.5 + 127.5 * np.sin(np.arange(count * HEIGHT * WIDTH * 3) ** 1.3)
    crops = levels.reshape(count, HEIGHT, WIDTH, 3).astype(np.uint8)
    return Golden(crops=crops, embeddings=embeddings_of(crops))


def embeddings_of(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 8) float32 embeddings of (N, 32, 16, 3) uint8 crops, in float64 on the way."""
    kernel, linear = _weights()
    rows, columns = HEIGHT // _PATCH, WIDTH // _PATCH
    patches = crops.reshape(len(crops), rows, _PATCH, columns, _PATCH, 3) / 255
    planes = np.maximum(np.einsum("nrycxk,okyx->norc", patches, kernel), 0)
    embeddings: NDArray[np.float32] = (planes.reshape(len(crops), -1) @ linear).astype(np.float32)
    return embeddings


def manifest(target: Target, built: BuiltEngine, files: dict[str, FileRecord]) -> Manifest:
    """What the network, as `target` built it, says of itself."""
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=f"tiny-{target.name}",
        created="",
        reidkit_version="",
        backbone=BackboneInfo(
            name="tiny",
            parameters=sum(weights.size for weights in _weights()),
            weights=Weights(source="random", file=None, sha256=None, licence=None, dropped_keys=[]),
        ),
        preprocessing=Preprocessing(
            height=HEIGHT,
            width=WIDTH,
            color="rgb",
            layout="nchw",
            dtype="uint8",
            resize=Resize(kernel="bilinear", antialias=False),
            normalization=Normalization(where="graph", scale=1 / 255, mean=[0.0] * 3, std=[1.0] * 3),
        ),
        embedding=Embedding(dim=DIM, l2="runtime"),
        batch=BATCH,
        precision=PrecisionInfo(requested=str(built.precision_built), built=str(built.precision_built)),
        target=target.name,
        engine=target.engine,
        engine_file=built.engine_file,
        toolchain=built.toolchain,
        built_on={},
        calibration=None,
        parity={},
        gates={},
        thresholds=None,
        files=files,
    )


def program(batch: int | None) -> Any:
    """What torch exports of the network, for `batch` crops or any number. Raises `MissingDependency` without torch."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingDependency("torch", extra="export", purpose="Exporting a program") from error
    kernel, linear = (torch.from_numpy(weights.astype(np.float32)) for weights in _weights())

    class Network(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            planes = torch.nn.functional.conv2d(images.float() / 255, kernel, stride=_PATCH).relu()
            return planes.flatten(1) @ linear

    crops = torch.zeros(batch or 2, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    open_sizes = None if batch else ({0: torch.export.Dim("batch", min=1)},)
    return torch.export.export(Network().eval(), (crops,), dynamic_shapes=open_sizes)


def write(path: Path) -> None:
    """Write the network as ONNX. Raises `MissingDependency` without the onnx package."""
    try:
        from onnx import TensorProto, checker, helper, numpy_helper, save_model
    except ModuleNotFoundError as error:
        raise MissingDependency("onnx", extra="export", purpose="Writing an ONNX file") from error
    kernel, linear = _weights()
    constants = {"scale": np.full(1, 1 / 255), "kernel": kernel, "linear": linear}
    nodes = [
        helper.make_node("Cast", ["images"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["levels", "scale"], ["pixels"]),
        helper.make_node("Conv", ["pixels", "kernel"], ["planes"], strides=[_PATCH, _PATCH]),
        helper.make_node("Relu", ["planes"], ["lit"]),
        helper.make_node("Flatten", ["lit"], ["flat"]),
        helper.make_node("MatMul", ["flat", "linear"], ["embeddings"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", DIM])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model, full_check=True)
    save_model(model, path)


def _weights() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The convolution's (4, 3, 4, 4) and the linear layer's (128, 8), the same wherever they are reckoned."""
    shapes = (CHANNELS, 3, _PATCH, _PATCH), (CHANNELS * HEIGHT * WIDTH // _PATCH**2, DIM)
    kernel, linear = (np.sin(np.arange(np.prod(shape)) ** 1.1).reshape(shape) for shape in shapes)
    return kernel, linear
