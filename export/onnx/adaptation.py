"""A given ONNX graph made one of ours: behind its preprocessing, in our opset or a later one, for any number of crops.

    images uint8 ─ Cast ─ Mul ─ Add ─ Transpose ─ the given graph ─ embeddings      each only where it is wanted

Nothing of what the graph computes is changed, which is not believed but proved: the result is judged against the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from reidkit.export.onnx.given import GivenGraph
from reidkit.export.onnx.graph import INPUT, OPSET, OUTPUT
from reidkit.export.onnx.run import run_onnx
from reidkit.export.preprocessing import gain_and_offset
from reidkit.runtime.artifact.manifest import Preprocessing
from reidkit.runtime.errors import ExportFailure

PREFIX = "given/"
"""Before every name of the given graph, so that ours are free."""

TRIED = 3
"""Crops given to the result at once, to see that it takes any number of them."""


def write_adapted(given: GivenGraph, path: Path, *, dim: int) -> None:
    """Write the graph of `given` to `path`: uint8 crops in, raw embeddings of width `dim` out.

    Raises:
        ExportFailure: its opset cannot be converted, or its number of crops cannot be freed.
    """
    import onnx

    model = _at_our_opset(given)
    if given.batch:
        _free_reshapes(model, given.batch)
    graph = onnx.compose.add_prefix(model, PREFIX, inplace=True).graph
    height, width = given.preprocessing.height, given.preprocessing.width
    constants, front = _front(given.preprocessing, PREFIX + given.input)
    back = onnx.helper.make_node("Identity", [PREFIX + given.output], [OUTPUT])
    float32, uint8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
    adapted = onnx.helper.make_model(
        onnx.helper.make_graph(
            [*front, *graph.node, back],
            "graph",
            [onnx.helper.make_tensor_value_info(INPUT, uint8, ["batch", 3, height, width])],
            [onnx.helper.make_tensor_value_info(OUTPUT, float32, ["batch", dim])],
            [*constants, *graph.initializer],
            sparse_initializer=graph.sparse_initializer,
        ),
        functions=model.functions,
        opset_imports=model.opset_import,
        ir_version=max(model.ir_version, onnx.helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True)),
    )
    try:
        onnx.checker.check_model(adapted, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportFailure(f"{given.path} does not become valid ONNX ({_last_line(error)})") from error
    onnx.save_model(adapted, path)
    try:
        run_onnx(path)(np.zeros((TRIED, 3, height, width), np.uint8))
    except Exception as error:  # ONNX Runtime's have no base of their own
        path.unlink()
        made = f"is made for {given.batch} at a time and " if given.batch else ""
        raise ExportFailure(
            f"{given.path} {made}cannot be made to take {TRIED} crops ({_last_line(error)})",
            remedy="export it again with a dynamic batch",
        ) from error


def _at_our_opset(given: GivenGraph) -> Any:
    """A copy of the model in the opset of all our graphs, or in its own where that is later."""
    import onnx

    opset = next((o.version for o in given.model.opset_import if o.domain in ("", "ai.onnx")), OPSET)
    if opset >= OPSET:
        return onnx.ModelProto.FromString(given.model.SerializeToString())
    try:
        return onnx.version_converter.convert_version(given.model, OPSET)
    except (onnx.version_converter.ConvertError, RuntimeError) as error:
        raise ExportFailure(
            f"{given.path} is in opset {opset} and cannot be converted to {OPSET} ({_last_line(error)})",
            remedy=f"export it again in opset {OPSET} or later",
        ) from error


def _front(how: Preprocessing, into: str) -> tuple[list[Any], list[Any]]:
    """Constants and nodes that make of our input the tensor called `into`."""
    import onnx

    constants: list[Any] = []
    nodes: list[Any] = []

    def append(operator: str, *constant: str, **attributes: Any) -> None:
        source = nodes[-1].output[0] if nodes else INPUT
        nodes.append(onnx.helper.make_node(operator, [source, *constant], [f"images_{len(nodes)}"], **attributes))

    if how.dtype == "float32":
        append("Cast", to=onnx.TensorProto.FLOAT)
    if how.normalization.where == "runtime":
        gain, offset = gain_and_offset(how.normalization)
        constants = [onnx.numpy_helper.from_array(gain, "gain"), onnx.numpy_helper.from_array(offset, "offset")]
        append("Mul", "gain")
        append("Add", "offset")
    if how.layout == "nhwc":
        append("Transpose", perm=(0, 2, 3, 1))
    if not nodes:
        append("Identity")
    nodes[-1].output[0] = into
    return constants, nodes


def _free_reshapes(model: Any, batch: int) -> None:
    """Let every Reshape to a constant shape copy the number of crops from its input.

    An exporter that traced `batch` crops writes their number into the shape. Where the input has as many rows, 0 means
    the same and is right for any number.
    """
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    rows = {tensor.name: _rows(tensor) for tensor in (*graph.input, *graph.value_info, *graph.output)}
    shapes = dict(_constants(model.graph))
    for index, node in enumerate(model.graph.node):
        shape = shapes.get(node.input[1]) if node.op_type == "Reshape" else None
        if shape is None or shape[:1] != [batch] or rows.get(node.input[0]) != batch or 0 in shape:
            continue
        name = f"freed_shape_{index}"
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, *shape[1:]], np.int64), name))
        node.input[1] = name
        del node.attribute[:]  # allowzero, which a shape without zeros can have


def _rows(tensor: Any) -> int | None:
    """The first dimension of a tensor, None where it has none or it is not known."""
    shape = tensor.type.tensor_type.shape.dim
    return shape[0].dim_value or None if shape else None


def _constants(graph: Any) -> Iterator[tuple[str, list[int]]]:
    """Constant vectors of integers by name: candidates for shapes."""
    import onnx

    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensors[node.output[0]] = node.attribute[0].t
    for name, tensor in tensors.items():
        if tensor.data_type == onnx.TensorProto.INT64 and len(tensor.dims) == 1:
            yield name, onnx.numpy_helper.to_array(tensor).tolist()


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
