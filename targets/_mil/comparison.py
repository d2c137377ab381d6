"""Whether a saved program is the network that torch exported: its operators, shapes, types and weights.

Numbers on crops are another check's affair. This one finds what they may hide: a weight that hardly any crop excites, a
batch size that is missing, a type that is not what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.engines.coreml import taken_by
from reidkit.runtime.errors import ExportFailure
from reidkit.targets.target import Precision

Matrix = NDArray[np.floating[Any]]

_LARGEST_RESIDUE = {Precision.FP32: 1e-5, Precision.FP16: 2.0**-10, Precision.INT8: 2.0**-6}
"""Of a weight, as a share of the largest of its product: a rounding of each type, and some."""


def expect_same(specification: Any, function: Any, program: Any, *, precision: Precision, sizes: list[int]) -> None:
    """Hold a saved program to the exported one that it was made of.

    Args:
        specification: the package's, with the inputs and outputs that Core ML shows.
        function: of `read_package`.
        program: the `torch.export.ExportedProgram`.
        precision: what it was to be built in.
        sizes: the batch sizes it was to be built for.

    Raises:
        ExportFailure: something differs; the message says what.
    """
    _, found, _ = taken_by(specification.description)
    _expect("takes batches of", found or [1], sizes)
    kind = "fp32" if precision is Precision.FP32 else "fp16"
    ours, theirs = list(_products(function)), list(_products_of_torch(program))
    _expect("has so many products:", len(ours), len(theirs))
    for (name, given, matrix), other in zip(ours, theirs, strict=True):
        _expect(f"computes {name} in", given, kind)
        _expect(f"has {name} of shape", matrix.shape, other.shape)
        _expect_scaled(name, matrix, other, _LARGEST_RESIDUE[precision])


def _expect(what: str, found: object, asked: object) -> None:
    if found != asked:
        raise ExportFailure(f"Core ML's program {what} {found}, not {asked}", remedy="build it for another target")


def _expect_scaled(name: str, found: Matrix, asked: Matrix, limit: float) -> None:
    """Raise unless each row of `found` is that row of `asked` times something: a norm behind may be folded into it."""
    found, asked = found.astype(np.float64), asked.astype(np.float64)
    square = (asked * asked).sum(axis=1)
    scale = (found * asked).sum(axis=1) / np.where(square > 0, square, 1)
    residue = np.abs(found - scale[:, None] * asked)
    largest = np.abs(found).max(initial=0)
    if not residue.max(initial=0) <= limit * largest:
        row, column = np.unravel_index(residue.argmax(), residue.shape)
        raise ExportFailure(
            f"weight {column} of filter {row} of {name} in Core ML's program is off by {residue.max() / largest:.2g} "
            f"of the largest, at most {limit:.2g} is rounding",
            remedy="the package was altered, or coremltools converts this network wrongly",
        )


def _products(function: Any) -> Iterator[tuple[str, str, Matrix]]:
    """Each convolution and linear layer of a MIL function: its name, what it gives, and weights, a row an output."""
    from coremltools.converters.mil.mil import types

    for operation in function.operations:
        if operation.op_type in ("conv", "linear"):
            kind = types.builtin_to_string(operation.outputs[0].dtype)
            yield operation.name, kind, _rows(_value(operation.weight))


def _value(weight: Any) -> Matrix:
    """A constant, or what a compressed one stands for."""
    value: Matrix = weight.op.materialized_val_inference() if weight.val is None else weight.val
    return value


def _products_of_torch(program: Any) -> Iterator[Matrix]:
    """The weights of each product with parameters of an exported program, a row an output."""
    parameters = _parameters(program)
    for node in program.graph.nodes:
        name = str(node.target).removesuffix(".default")
        if name in ("aten.conv2d", "aten.convolution", "aten.linear"):
            yield _rows(parameters[node.args[1].name])
        elif name in ("aten.matmul", "aten.mm") and node.args[1].name in parameters:
            yield parameters[node.args[1].name].T


def _parameters(program: Any) -> Mapping[str, Matrix]:
    """Parameters, buffers and constants by the name of the node that stands for each."""
    signature = program.graph_signature
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    tensors = {**program.constants, **program.state_dict}
    return {node: tensors[name].detach().numpy() for node, name in names.items()}


def _rows(weights: Matrix) -> Matrix:
    return weights.reshape(len(weights), -1)
