"""An ONNX file that somebody gives us: read, and refused unless it is a float32 network from crops to embeddings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.export.onnx.run import open_session
from reidkit.export.preprocessing import model_input
from reidkit.runtime.artifact.manifest import Preprocessing
from reidkit.runtime.errors import InvalidFile, MissingDependency

BATCH = 8
ONE_FILE = 2**31
"""Bytes that a protobuf, hence an ONNX file with its weights inside, cannot reach."""

QUANTIZED = ("QLinear", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")
"""Beginnings of the names of operators that compute in integers."""


@dataclass(frozen=True, slots=True, eq=False)
class GivenGraph:
    """An ONNX file with one input and one output, and what its input holds.

    Attributes:
        path: where it was read from.
        sha256: digest of the file, with those that hold its tensors behind it in the order of their names.
        model: the `onnx.ModelProto` with all its tensors.
        preprocessing: what its input holds.
        input: the input's name.
        output: the output's name.
        batch: how many crops it takes; None for any number.
    """

    path: Path
    sha256: str
    model: Any
    preprocessing: Preprocessing
    input: str
    output: str
    batch: int | None

    @staticmethod
    def read(path: Path, preprocessing: Preprocessing) -> GivenGraph:
        """Read the file; `preprocessing` says what its input holds.

        Raises:
            InvalidFile: it is no ONNX file, incomplete, not in float32, or its input or output is not as it should be.
            MissingDependency: onnx is not installed.
        """
        model, files = _load(path)
        _refuse_other_precisions(path, model)
        weights = {tensor.name for tensor in model.graph.initializer}
        taken = _only(path, "input", [tensor for tensor in model.graph.input if tensor.name not in weights])
        given = _only(path, "output", model.graph.output)
        batch = _batch(path, taken, preprocessing)
        return GivenGraph(path, _digest(files), model, preprocessing, taken.name, given.name, batch)

    @property
    def parameters(self) -> int:
        """How many floating-point numbers it holds."""
        import onnx

        kind = onnx.TensorProto.FLOAT
        return sum(prod(tensor.dims) for tensor in self.model.graph.initializer if tensor.data_type == kind)

    def embedder(self) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
        """A function from (N, 3, H, W) uint8 crops, in the input's colour order, to (N, D) float32 embeddings.

        The crops are normalised by NumPy and the file is run by ONNX Runtime as it stands: the reference for all that
        is made of it. It raises `InvalidFile` where the file cannot be run, or gives something else.
        """
        session, size = open_session(self.path), self.batch or BATCH

        def embed(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.concatenate([embed_some(crops[start : start + size]) for start in range(0, len(crops), size)])

        def embed_some(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
            missing = size - len(crops) if self.batch else 0
            whole = np.concatenate([crops, np.repeat(crops[-1:], missing, axis=0)])
            tensor = model_input(whole, self.preprocessing, color=self.preprocessing.color)
            try:
                (found,) = session.run([self.output], {self.input: tensor})
            except Exception as error:  # ONNX Runtime's have no base of their own
                raise InvalidFile(f"{self.path} cannot be run on {tensor.shape} ({_last_line(error)})") from error
            if found.ndim != 2 or len(found) != len(whole) or found.dtype != np.float32:
                raise InvalidFile(
                    f"{self.path}: output {self.output} is {found.dtype} {found.shape} for {len(whole)} crops",
                    remedy="it has to be float32 (N, D), one embedding a crop; onnx.utils.extract_model cuts graphs",
                )
            embeddings: NDArray[np.float32] = found[: len(crops)]
            return embeddings

        return embed


def _load(path: Path) -> tuple[Any, list[Path]]:
    """The model with all its tensors, and the files it consists of."""
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # which onnx is made with
    except ModuleNotFoundError as error:
        raise MissingDependency("onnx", extra="export", purpose="Reading an ONNX file") from error
    if not path.is_file():
        raise InvalidFile(f"there is no ONNX file {path}")
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
        tensors = [entry for tensor in model.graph.initializer for entry in tensor.external_data]
        files = [path, *(path.parent / name for name in sorted({e.value for e in tensors if e.key == "location"}))]
        if sum(file.stat().st_size for file in files) >= ONE_FILE:
            raise InvalidFile(f"{path} has more than 2 GiB of weights, which one ONNX file cannot hold")
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
    except OSError as error:
        raise InvalidFile(f"{path} cannot be read: {error.filename or path} ({error.strerror or error})") from error
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise InvalidFile(f"{path} is no ONNX file, or it is damaged ({_last_line(error)})") from error
    return model, files


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _refuse_other_precisions(path: Path, model: Any) -> None:
    """What is built from the file is called fp32, so it has to be."""
    import onnx

    halves = {onnx.TensorProto.FLOAT16: "float16", onnx.TensorProto.BFLOAT16: "bfloat16"}
    kinds = {halves[tensor.data_type] for tensor in model.graph.initializer if tensor.data_type in halves}
    operators = {node.op_type for node in model.graph.node if node.op_type.startswith(QUANTIZED)}
    if found := sorted(kinds | operators):
        raise InvalidFile(
            f"{path} does not compute in float32: it has {', '.join(found)}",
            remedy="give the float32 network it was made from: reidkit lowers the precision itself, and proves it",
        )


def _only(path: Path, what: str, tensors: Sequence[Any]) -> Any:
    if len(tensors) != 1:
        names = ", ".join(tensor.name for tensor in tensors)
        raise InvalidFile(
            f"{path} has {len(tensors)} {what}s ({names}), a backbone has one",
            remedy="cut the graph with onnx.utils.extract_model",
        )
    return tensors[0]


def _batch(path: Path, taken: Any, how: Preprocessing) -> int | None:
    """How many crops the input takes, None for any number. Raises `InvalidFile` if it does not take such crops."""
    import onnx

    kind = taken.type.tensor_type
    dtype = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.UINT8: "uint8"}.get(kind.elem_type)
    if dtype is None:
        name = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
        raise InvalidFile(f"{path}: input {taken.name} is {name}", remedy="it has to be float32, or uint8 pixels")
    found = [size.dim_value or None for size in kind.shape.dim]
    wanted = (3, how.height, how.width) if how.layout == "nchw" else (how.height, how.width, 3)
    fits = len(found) == 4 and all(size in (None, expected) for size, expected in zip(found[1:], wanted, strict=True))
    if not fits or dtype != how.dtype:
        shape = ", ".join("any" if size is None else str(size) for size in found)
        raise InvalidFile(
            f"{path}: input {taken.name} is {dtype} ({shape}), the preprocessing says {how.dtype} "
            f"({', '.join(map(str, ('any', *wanted)))})",
            remedy="correct the preprocessing",
        )
    return found[0]


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
