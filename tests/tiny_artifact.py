"""A real artifact in miniature: a one-convolution network, built by a real target, opened by a real engine.

Its reference embeddings come from ONNX's own evaluator, which shares no code with the engines under test.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_manifest import DIM, HEIGHT, MEAN, STD, WIDTH, Tiny, tiny_manifest, tiny_weights
from tiny_program import tiny_program

from reidkit.calibration.street import render_crops
from reidkit.runtime.artifact import (
    Golden,
    Manifest,
    Recipe,
    publication,
    record_files,
    vouch,
    write_golden,
    write_manifest,
    write_recipe,
)
from reidkit.runtime.engines import engines
from reidkit.targets import BuildJob, Precision, find_target

onnx = pytest.importorskip("onnx", reason="small artifacts are built from ONNX: install the extra 'export'")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402


def tiny_artifact(parent: Path, tiny: Tiny | None = None, *, name: str = "tiny", vouched: bool = True) -> Path:
    """Export the miniature into `parent` and return its folder; native code in it counts as built here if `vouched`."""
    tiny = tiny or Tiny()
    target = find_target(tiny.target)
    folder = parent / name
    with publication(folder) as new:
        with tempfile.TemporaryDirectory() as elsewhere:
            built = target.build(tiny_job(tiny, Path(elsewhere), into=new))
        _write_golden(new, tiny)
        manifest = tiny_manifest(
            tiny, engine=target.engine, engine_file=built.engine_file, files=record_files(new), name=name
        )
        write_manifest(new, manifest)
    if vouched and engines()[target.engine].load().runs_native_code:
        vouch(manifest)
    return folder


def tiny_job(tiny: Tiny, folder: Path, *, into: Path, precision: Precision = Precision.FP32) -> BuildJob:
    """The job to build the miniature: its graph in `folder`, or its program, as the target wants it."""
    graph = folder / "graph.onnx"
    feeds_onnx = find_target(tiny.target).consumes == "onnx"
    if feeds_onnx:
        onnx.save_model(tiny_onnx(tiny), graph)
    return BuildJob(
        onnx_path=graph,
        folder=into,
        precision=precision,
        batch=tiny.batch,
        program=None if feeds_onnx else tiny_program(tiny),
    )


def tiny_bundle(parent: Path, tiny: Tiny | None = None, *, options: dict[str, str] | None = None) -> Path:
    """The same, with the engine still to be built."""
    tiny = tiny or Tiny()
    folder = parent / "tiny"
    with publication(folder) as new:
        onnx.save_model(tiny_onnx(tiny), new / "graph.onnx")
        write_recipe(new, Recipe(graph="graph.onnx", options=options or {}))
        _write_golden(new, tiny)
        engine = find_target(tiny.target).engine
        write_manifest(new, tiny_manifest(tiny, engine=engine, engine_file="", files=record_files(new)))
    return folder


def altered(folder: Path, **fields: Any) -> Path:
    """Change fields of an artifact's manifest, or its files, and make all digests right again."""
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
    write_manifest(folder, replace(manifest, **{"files": record_files(folder), **fields}))
    return folder


def input_tensor(tiny: Tiny, crops: NDArray[np.uint8]) -> NDArray[np.generic]:
    """(N, H, W, 3) uint8 crops as the miniature takes them."""
    tensor = crops.transpose(0, 3, 1, 2) if tiny.layout == "nchw" else crops
    if tiny.where == "runtime":
        channels = (3, 1, 1) if tiny.layout == "nchw" else (3,)
        tensor = (tensor / 255 - np.reshape(MEAN, channels)) / np.reshape(STD, channels)
    return np.ascontiguousarray(tensor, tiny.dtype)


def reference_embeddings(tiny: Tiny, batch: NDArray[np.generic]) -> NDArray[np.float32]:
    """(N, D) embeddings by ONNX's reference evaluator, one crop at a time, whatever batch the graph asks for."""
    evaluator = ReferenceEvaluator(tiny_onnx(tiny))
    return np.concatenate([evaluator.run(None, {"images": crop[None]})[0] for crop in batch])


def _write_golden(folder: Path, tiny: Tiny) -> None:
    crops = render_crops(3, seed=5, height=HEIGHT, width=WIDTH)
    write_golden(folder, Golden(crops=crops, embeddings=reference_embeddings(tiny, input_tensor(tiny, crops))))


def tiny_onnx(tiny: Tiny) -> onnx.ModelProto:
    """Normalisation, convolution, ReLU, average over the picture, linear layer; seeded weights."""
    kernel, linear = tiny_weights()
    channels = (1, 3, 1, 1)
    constants = {
        "scale": np.full(1, 1 / 255, np.float32),
        "mean": np.reshape(MEAN, channels).astype(np.float32),
        "std": np.reshape(STD, channels).astype(np.float32),
        "kernel": kernel,
        "linear": linear,
        "picture": np.array([1, 2, 3], np.int64),
    }
    nodes = [helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT)]
    pixels = "float"
    if tiny.layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [pixels], ["planes"], perm=[0, 3, 1, 2]))
        pixels = "planes"
    if tiny.where == "graph":
        nodes += [
            helper.make_node("Mul", [pixels, "scale"], ["scaled"]),
            helper.make_node("Sub", ["scaled", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "std"], ["normal"]),
        ]
    nodes += [
        helper.make_node("Conv", ["normal" if tiny.where == "graph" else pixels, "kernel"], ["conv"], strides=[2, 2]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("MatMul", ["flat", "linear"], ["plain"]),
        helper.make_node("ReduceMean", ["float", "picture"], ["light"], keepdims=0),
        helper.make_node("Unsqueeze", ["light", "one"], ["lights"]),
        {
            "ordinary": helper.make_node("Identity", ["plain"], ["embeddings"]),
            "zero": helper.make_node("Mul", ["plain", "lights"], ["embeddings"]),
            "nan": helper.make_node("Mul", ["plain", "ratio"], ["embeddings"]),
        }[tiny.black],
    ]
    if tiny.black == "nan":
        nodes.insert(-1, helper.make_node("Div", ["lights", "lights"], ["ratio"]))
    constants["one"] = np.array([1], np.int64)
    size = "batch" if tiny.batch.dynamic else tiny.batch.max
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(tiny.dtype))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", dtype, [size, *tiny.crop_shape])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, [size, DIM])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model
