"""Explicit Q/DQ: eight bits written into the graph, for every library to read alike.

x ────── Q ─ DQ ─┐
                 Conv ─ Relu ─ …        what a product takes is rounded to the grid of its range; its weight lies
w (s8) ───── DQ ─┘                      in s8, with a scale for each output channel; its bias stays float
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.quantization.layout import Grid, Layout
from reidkit.calibration.quantization.network import Array, Network, Product
from reidkit.calibration.quantization.ranges import Ranges
from reidkit.runtime.errors import ExportFailure

HALF = "/float16"
"""Ends the name of a tensor that `reidkit.export.onnx.lower` casts: its range is that of the tensor without it."""

HALF_SCALES_OPSET = 19
"""The first in which Q and DQ take scales in float16."""

_LARGEST = 127
_BIAS_BITS = 30


@dataclass(frozen=True, slots=True, eq=False)
class EightBits:
    """A weight on its grid: ``integers * scales`` along an axis."""

    integers: NDArray[np.int8]
    scales: NDArray[np.floating[Any]]
    axis: int

    @staticmethod
    def of(weight: Array, axis: int, kind: Any = np.float32, least: Array | float = 0.0) -> EightBits:
        """The nearest integers, with a scale of type `kind`, no less than `least`, for each channel along `axis`."""
        others = tuple(index for index in range(weight.ndim) if index != axis)
        largest = np.abs(weight).max(axis=others, keepdims=True)
        shape = [-1 if index == axis else 1 for index in range(weight.ndim)]
        scales = np.where(largest > 0, np.maximum(largest / _LARGEST, np.reshape(least, shape)), 1).astype(kind)
        # One that was rounded down would clip what it is the scale of.
        scales = np.where(scales.astype(np.float32) * _LARGEST < largest, np.nextafter(scales, kind(np.inf)), scales)
        integers = np.clip(np.round(weight / scales.astype(np.float32)), -_LARGEST, _LARGEST).astype(np.int8)
        return EightBits(integers, scales.reshape(-1), axis)

    def rounded(self) -> Array:
        """The weight as it is now."""
        shape = [1] * self.integers.ndim
        shape[self.axis] = -1
        weight: Array = self.integers.astype(np.float32) * self.scales.astype(np.float32).reshape(shape)
        return weight


def quantized_weights(network: Network, products: Collection[str]) -> dict[str, Array]:
    """The weights of `products` as eight bits will have them, by the product's name."""
    chosen = {name: network.products[name] for name in products}
    return {name: EightBits.of(network.weight(product), product.out_axis).rounded() for name, product in chosen.items()}


def quantized(network: Network, ranges: Ranges, *, layout: Layout, observer: str, products: Collection[str]) -> Any:
    """The graph with eight bits in it, an `onnx.ModelProto` that ONNX's checker has seen in full.

    Args:
        network: in float32, or partly in float16 as `reidkit.export.onnx.lower` types it; not changed. A product in
            float16 gets scales in float16.
        ranges: of the network in float32.
        layout: of the activations.
        observer: whose verdict on ranges to take.
        products: names of those to quantise.

    Raises:
        ExportFailure: the checker refuses the graph.
    """
    import onnx

    writer, points = _Writer(), _points(network, layout, products)
    model = onnx.ModelProto.FromString(network.model.SerializeToString())
    for node in model.graph.node:
        product = network.products.get(node.output[0])
        kind = network.kind(product) if product is not None else np.float32
        for index, name in enumerate(node.input):
            if node.output[0] in points.get(name, ()):
                kept = ranges.tensors[name.removesuffix(HALF)].kept(observer)
                node.input[index] = writer.on_grid(name, layout.grid(*kept), kind)
        if product is not None and node.output[0] in products:
            kept = ranges.tensors[product.source.removesuffix(HALF)].kept(observer)
            least = _least_scales(network, product, layout.grid(*kept).scale)
            bits = EightBits.of(network.weight(product), product.out_axis, kind, least)
            node.input[1] = writer.weight(product.name, bits)
        writer.nodes.append(node)
    return _assembled(model, writer)


class _Writer:
    """Nodes of the new graph, and constants that are new in it."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def on_grid(self, name: str, grid: Grid, kind: Any) -> str:
        """The tensor `name`, rounded to the grid; the pair that does it is written once."""
        if f"{name}/scale" not in self.constants:
            zero_point = np.int8(grid.zero_point) if grid.signed else np.uint8(grid.zero_point)
            parameters = self._keep(name, np.asarray(grid.scale, kind), np.asarray(zero_point))
            self._append("QuantizeLinear", [name, *parameters], f"{name}/integers")
            self._append("DequantizeLinear", [f"{name}/integers", *parameters], f"{name}/grid")
        return f"{name}/grid"

    def weight(self, name: str, bits: EightBits) -> str:
        """The weight of the product `name`."""
        name = f"{name}/weight"
        self.constants[f"{name}/integers"] = bits.integers
        parameters = self._keep(name, bits.scales, np.zeros(bits.scales.shape, np.int8))
        return self._append("DequantizeLinear", [f"{name}/integers", *parameters], f"{name}/grid", axis=bits.axis)

    def _keep(self, name: str, scale: NDArray[Any], zero_point: NDArray[Any]) -> list[str]:
        names = [f"{name}/scale", f"{name}/zero_point"]
        self.constants.update(zip(names, (scale, zero_point), strict=True))
        return names

    def _append(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        import onnx

        self.nodes.append(onnx.helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output


def _least_scales(network: Network, product: Product, step: float) -> Array | float:
    """Weight scales with which the bias is a 31-bit integer, for an input in steps of `step`.

    ONNX Runtime (1.32, `WeightBiasQuantization`) makes it one in silence, on a scale that is the product of both, and
    wraps around: for a channel whose weights are next to nothing beside its bias.
    """
    bias = network.constant(product.node.input[2]) if len(product.node.input) > 2 else None
    return 0.0 if bias is None else np.abs(bias.astype(np.float32)) / np.float32(step * 2.0**_BIAS_BITS)


def _points(network: Network, layout: Layout, products: Collection[str]) -> dict[str, set[str]]:
    """Tensors to be rounded, each with the outputs of the nodes that read it rounded."""
    points: dict[str, set[str]] = {}
    for name in products:
        points.setdefault(network.products[name].source, set()).add(name)
    if layout.on_both_sides:
        for name in map(network.settled, products):
            points[name] = {output for reader in network.consumers[name] for output in reader.output}
    return points


def _assembled(model: Any, writer: _Writer) -> Any:
    """`model` with the writer's nodes, its constants and no others."""
    import onnx

    graph = model.graph
    used = {name for node in writer.nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    kept += [onnx.numpy_helper.from_array(value, name) for name, value in writer.constants.items()]
    for field, items in {"node": writer.nodes, "initializer": kept}.items():
        graph.ClearField(field)
        getattr(graph, field).extend(items)
    if any(value.dtype == np.float16 for name, value in writer.constants.items()):
        for opset in model.opset_import:
            if opset.domain in ("", "ai.onnx"):
                opset.version = max(opset.version, HALF_SCALES_OPSET)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ExportFailure(f"this graph cannot be quantised ({reason})") from error
    return model
