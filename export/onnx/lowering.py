"""A float32 graph, typed anew: what gains by half precision computes in it, what suffers by it stays in float32.

    images ─ normalisation ─ Cast ─ convolutions ─ Cast ─ means, norms, softmax ─ Cast ─ products ─ Cast ─ embeddings
    uint8       float32              float16                   float32                  float16          float32

Products (convolutions, matrices) compute in float16. What sums over many, divides by a deviation or takes powers stays
in float32, with all that is not known here. Whatever merely scales, adds or moves goes with its inputs. Weights are
rounded here, once, so that every library has the same numbers.

This is done on the graph and not on the module in torch: a softmax there may be a function call, which no module's type
reaches, and a network of one's own or a given ONNX file is served by the same list of operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.export.onnx.graph import INPUT
from reidkit.export.onnx.run import open_session
from reidkit.runtime.errors import ExportFailure
from reidkit.targets import Precision

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Computed in float16: here the time goes, and libraries add their products up in float32."""

FOLLOWERS = frozenset(
    {
        *("Add", "Sub", "Mul", "Div", "Neg", "Min", "Max", "Where"),
        *("Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Erf", "Gelu"),
        *("MaxPool", "AveragePool", "Identity", "Concat", "Split", "Slice", "Gather", "Pad", "Expand", "Tile"),
        *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"),
    }
)
"""Computed in float16 where one of their inputs is, else in float32."""

KEPT = ("backbone.join",)
"""Modules that stay in float32 whatever they hold: the join of an ensemble."""

LARGEST = float(np.finfo(np.float16).max)
"""65504; what is beyond becomes infinite."""

_SCALAR_ERROR = 2.0**-7
"""A scalar that float16 alters by more than this share, such as an epsilon, keeps its node in float32."""

_AT_ONCE = 8
"""Crops in which activations are looked through at a time."""


def lower(path: Path, precision: Precision, *, crops: NDArray[np.uint8]) -> None:
    """Rewrite the float32 graph at `path` in a lower precision, input and output as they are; ONNX's checker looks on.

    Args:
        path: one of `write_onnx` or `write_adapted`; rewritten in place.
        precision: what its products are to compute in: fp16. Convolutions in bf16 have no kernel in ONNX Runtime, so
            nothing could be said of such a graph.
        crops: (N, 3, H, W) uint8, on which no activation may be beyond what float16 holds.

    Raises:
        ExportFailure: no graph is written in that precision; an activation or a weight is beyond it, and the message
            names its module; or the graph holds what cannot be typed anew.
    """
    import onnx

    if precision is not Precision.FP16:
        raise ExportFailure(f"no graphs are written in {precision}", remedy="export with --precision fp32 or fp16")
    model = onnx.load_model(path)
    try:
        plan = _Plan.of(model)
        _expect_no_overflow(model, plan, crops)
        _rewrite(model, plan)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ExportFailure(f"this graph cannot be typed in fp16 ({reason})") from error
    onnx.save_model(model, path)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """Which type each node computes in.

    Attributes:
        weights: float32 initializers by name.
        floats: names of all float32 tensors but the initializers.
        halved: outputs that become float16.
        nodes: indices of the nodes that compute in float16.
    """

    weights: dict[str, NDArray[np.float32]]
    floats: frozenset[str]
    halved: frozenset[str]
    nodes: frozenset[int]

    @staticmethod
    def of(model: Any) -> _Plan:
        """The plan for a checked `onnx.ModelProto`, whose nodes are in topological order."""
        import onnx

        graph, float32 = model.graph, onnx.TensorProto.FLOAT
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        typed = {value.name: value.type for value in (*inferred.input, *inferred.value_info, *inferred.output)}
        weights = {
            tensor.name: onnx.numpy_helper.to_array(tensor)
            for tensor in graph.initializer
            if tensor.data_type == float32
        }
        halved: set[str] = set()
        nodes: set[int] = set()
        for index, node in enumerate(graph.node):
            if unknown := [name for name in node.output if name and name not in typed]:
                raise ExportFailure(
                    f"the type of {unknown[0]}, which {node.op_type} gives, is not known",
                    remedy="export in fp32, or give a graph of ONNX's own operators without functions",
                )
            if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
                raise ExportFailure(f"{node.op_type} {node.name} holds a graph of its own", remedy="export in fp32")
            follows = node.op_type in FOLLOWERS and not halved.isdisjoint(node.input)
            if (
                (node.op_type in PRODUCTS or follows)
                and typed[node.output[0]].tensor_type.elem_type == float32
                and not node.name.startswith(KEPT)
                and all(_survives(weights[name]) for name in node.input if name in weights)
            ):
                nodes.add(index)
                halved.update(node.output)
        floats = {name for name, kind in typed.items() if kind.tensor_type.elem_type == float32}
        return _Plan(weights, frozenset(floats), frozenset(halved), frozenset(nodes))


def _survives(weight: NDArray[np.float32]) -> bool:
    """Whether a constant means the same in float16; of a tensor, one element too small means nothing."""
    if weight.size != 1:
        return True
    with np.errstate(over="ignore"):
        rounded = weight.astype(np.float16).astype(np.float32)
    return bool(np.isfinite(rounded).all() and (np.abs(rounded - weight) <= _SCALAR_ERROR * np.abs(weight)).all())


def _expect_no_overflow(model: Any, plan: _Plan, crops: NDArray[np.uint8]) -> None:
    """Raise `ExportFailure` if a weight, or an activation on one of `crops`, is too large for float16."""
    import onnx

    for index in sorted(plan.nodes):
        node = model.graph.node[index]
        for name in plan.weights.keys() & set(node.input):
            _expect_in_range(node, "a weight", float(np.abs(plan.weights[name]).max(initial=0)))
    inputs = {name for index in plan.nodes for name in model.graph.node[index].input}
    at_risk = plan.halved | (plan.floats & inputs)
    owners = {name: node for node in model.graph.node for name in node.output if name in at_risk}
    probe = onnx.ModelProto.FromString(model.SerializeToString())
    for name in owners:
        probe.graph.node.append(onnx.helper.make_node("Abs", [name], [f"{name}/size"]))
        probe.graph.node.append(onnx.helper.make_node("ReduceMax", [f"{name}/size"], [f"{name}/most"], keepdims=0))
        probe.graph.output.append(onnx.helper.make_tensor_value_info(f"{name}/most", onnx.TensorProto.FLOAT, []))
    with TemporaryDirectory() as folder:
        path = Path(folder, "probe.onnx")
        onnx.save_model(probe, path)
        session = open_session(path)
    for start in range(0, len(crops), _AT_ONCE):
        found = session.run([f"{name}/most" for name in owners], {INPUT: crops[start : start + _AT_ONCE]})
        for node, most in zip(owners.values(), found, strict=True):
            _expect_in_range(node, "an activation", float(most))


def _expect_in_range(node: Any, what: str, size: float) -> None:
    if not size <= LARGEST:
        raise ExportFailure(
            f"{what} of {node.name.rpartition('/')[0] or node.name} ({node.op_type}) is as large as {size:.6g}, "
            f"half precision ends at {LARGEST:g}",
            remedy="export with --precision fp32, or bf16 where the target has it",
        )


def _rewrite(model: Any, plan: _Plan) -> None:
    """Type the graph as planned, with a Cast wherever a tensor is read in another type than it is written in."""
    import onnx

    graph = model.graph
    casts: dict[str, Any] = {}
    rounded: dict[str, Any] = {}
    nodes: list[Any] = []

    def cast(name: str, kind: int, renamed: str) -> str:
        if renamed not in casts:
            casts[renamed] = onnx.helper.make_node("Cast", [name], [renamed], name=f"cast/{renamed}", to=kind)
            nodes.append(casts[renamed])
        return renamed

    def in_half(name: str) -> str:
        if name in plan.weights:
            rounded[name] = onnx.numpy_helper.from_array(plan.weights[name].astype(np.float16), _half(name))
            return _half(name)
        is_wide = name in plan.floats and name not in plan.halved
        return cast(name, onnx.TensorProto.FLOAT16, _half(name)) if is_wide else name

    def in_full(name: str) -> str:
        return cast(name, onnx.TensorProto.FLOAT, f"{name}/float32") if name in plan.halved else name

    for index, node in enumerate(graph.node):
        inputs = [(in_half if index in plan.nodes else in_full)(name) for name in node.input]
        node.input[:] = inputs
        nodes.append(node)
    for output in graph.output:
        if output.name in plan.halved:  # written under another name, so that the graph's own is float32
            for node in nodes:
                node.input[:] = [_half(name) if name == output.name else name for name in node.input]
                node.output[:] = [_half(name) if name == output.name else name for name in node.output]
            cast(_half(output.name), onnx.TensorProto.FLOAT, output.name)
    used = {name for node in nodes for name in node.input}
    initializers = [tensor for tensor in (*graph.initializer, *rounded.values()) if tensor.name in used]
    kept = [value for value in graph.value_info if value.name not in plan.halved]
    for field, items in {"node": nodes, "initializer": initializers, "value_info": kept}.items():
        graph.ClearField(field)
        getattr(graph, field).extend(items)


def _half(name: str) -> str:
    return f"{name}/float16"
