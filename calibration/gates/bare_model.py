"""A bare model file, wrapped as an artifact, so that whatever judges artifacts judges it too.

Its golden embeddings are its own, so it can only be held to a reference that is named.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import numpy as np

from reidkit.calibration.gates.embedder import Embedder
from reidkit.calibration.street import render_crops
from reidkit.runtime.artifact import Golden, Manifest, record_files, sha256_of, write_golden, write_manifest
from reidkit.runtime.artifact.manifest import (
    SCHEMA_VERSION,
    BackboneInfo,
    Batch,
    Embedding,
    PrecisionInfo,
    Preprocessing,
    Weights,
)
from reidkit.runtime.engines import EngineBase, engines
from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.inference_libraries import import_onnxruntime, import_openvino, shared_core

ENGINES = {".onnx": "onnxruntime", ".xml": "openvino"}
_MOST_AT_ONCE = 8
_GOLDEN_CROPS = 4


def wrap_model(path: Path, preprocessing: Preprocessing, *, precision: str, folder: Path) -> Path:
    """The artifact made of a model file in `folder`; its name is the file's.

    Args:
        path: an ``.onnx`` file without external data, or an OpenVINO ``.xml`` with its ``.bin`` beside it.
        preprocessing: what its input holds.
        precision: what it computes in, as its owner says.
        folder: where the artifact's own folder is made.

    Raises:
        InvalidFile: it is none of these, damaged, or does not map such crops to embeddings.
        MissingDependency: the library that runs it is not installed.
        NonFiniteEmbedding: it answers rendered crops with NaN or infinity.
        ArtifactInvalid: its input is another than the preprocessing says.
        EngineFailure: its library cannot run it.
    """
    parts = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    if missing := [part for part in parts if not part.is_file()]:
        raise InvalidFile(f"there is no model file {missing[0]}")
    batch, dim = (_onnx_sizes if path.suffix == ".onnx" else _ir_sizes)(path)
    artifact = folder / path.name
    artifact.mkdir()
    for part in parts:
        shutil.copyfile(part, artifact / f"engine{part.suffix}")
    weights = Weights(
        source="file", file=path.name, sha256="+".join(map(sha256_of, parts)), licence=None, dropped_keys=[]
    )
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=path.name,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        reidkit_version=version("reidkit"),
        backbone=BackboneInfo(name=path.stem, parameters=0, weights=weights),
        preprocessing=preprocessing,
        embedding=Embedding(dim=dim, l2="runtime"),
        batch=Batch(dynamic=batch is None, max=batch or _MOST_AT_ONCE, buckets=[] if batch is None else [batch]),
        precision=PrecisionInfo(requested=precision, built=precision),
        target=ENGINES[path.suffix],
        engine=ENGINES[path.suffix],
        engine_file=f"engine{path.suffix}",
        toolchain={},
        built_on={},
        calibration=None,
        parity={},
        gates={},
        thresholds=None,
        files=record_files(artifact),
    )
    kind: type[EngineBase] = engines()[manifest.engine].load()
    crops = render_crops(_GOLDEN_CROPS, seed=0, height=preprocessing.height, width=preprocessing.width)
    with kind(manifest, artifact, device="auto", threads=None) as engine:
        embedder = Embedder.of(engine)
        embeddings = embedder.embed(embedder.cut_whole(list(crops[..., ::-1])))
    golden = crops if preprocessing.color == "rgb" else np.ascontiguousarray(crops[..., ::-1])
    write_golden(artifact, Golden(crops=golden, embeddings=embeddings))
    write_manifest(artifact, replace(manifest, files=record_files(artifact)))
    return artifact


def _onnx_sizes(path: Path) -> tuple[int | None, int]:
    """How many crops an ONNX file takes at once, None for any number, and the width of its embedding."""
    onnxruntime = import_onnxruntime(f"Opening {path}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its warnings are about names and shapes
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        raise InvalidFile(f"ONNX Runtime {onnxruntime.__version__} does not open {path} ({error})") from error
    shapes = [
        [size if isinstance(size, int) else None for size in tensors[0].shape] if len(tensors) == 1 else []
        for tensors in (session.get_inputs(), session.get_outputs())
    ]
    return _sizes(path, *shapes)


def _ir_sizes(path: Path) -> tuple[int | None, int]:
    """The same of an OpenVINO IR."""
    openvino = import_openvino(f"Opening {path}")
    try:
        model = shared_core(openvino).read_model(path)
    except RuntimeError as error:
        raise InvalidFile(f"OpenVINO {openvino.__version__} does not open {path} ({error})") from error
    shapes = [
        [None if size.is_dynamic else size.get_length() for size in tensors[0].partial_shape]
        if len(tensors) == 1
        else []
        for tensors in (model.inputs, model.outputs)
    ]
    return _sizes(path, *shapes)


def _sizes(path: Path, taken: list[int | None], given: list[int | None]) -> tuple[int | None, int]:
    if len(taken) != 4 or len(given) != 2 or given[1] is None:
        raise InvalidFile(
            f"{path} maps {taken or 'several tensors'} to {given or 'several tensors'}, a backbone maps a batch of "
            "pictures to (N, D), D told",
            remedy="cut the graph, or export it with reid-export --onnx",
        )
    return taken[0], given[1]
