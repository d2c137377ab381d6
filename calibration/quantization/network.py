"""An ONNX graph in float32 as quantisation sees it: its products with constant weights, and what flows between them.

Graphs are those of the exporter: batch norms folded into convolutions, one input of crops, one output of embeddings.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.errors import ExportFailure, MissingDependency
from reidkit.runtime.inference_libraries import import_onnxruntime

Array = NDArray[np.float32]

HOMOGENEOUS = frozenset({"Relu", "MaxPool", "AveragePool"})
"""A channel scaled by a positive number before them is scaled by the same after them."""

_AT_ONCE = 4
"""Crops whose activations are held at a time."""

_FLOAT, _FLOAT16 = 1, 10
"""Types of tensors, as `onnx.TensorProto` has them."""


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A convolution or matrix product of an activation with a constant weight.

    Attributes:
        node: of the graph.
        shape: of the weight.
        out_axis: axis of the weight along which lie the output's channels.
        in_axis: axis of the weight along which lie the input's channels; of a depthwise convolution `out_axis`.
        groups: of a convolution.
    """

    node: Any
    shape: tuple[int, ...]
    out_axis: int
    in_axis: int
    groups: int = 1

    @property
    def name(self) -> str:
        """The tensor it gives: unlike a node's name never empty and never twice there."""
        output: str = self.node.output[0]
        return output

    @property
    def source(self) -> str:
        """The activation it takes."""
        source: str = self.node.input[0]
        return source

    @property
    def channel_axis(self) -> int:
        """Axis of what it takes and gives along which lie the channels."""
        return 1 if self.node.op_type == "Conv" else -1

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel has a kernel of its own."""
        return self.groups > 1 and self.shape[:2] == (self.groups, 1)

    def along(self, axis: int, channels: Array) -> Array:
        """A number for each channel along `axis`, shaped to go with the weight."""
        shape = [1] * len(self.shape)
        shape[axis] = -1
        return channels.reshape(shape)


class Network:
    """A graph in memory, to be looked at, run and changed.

    Attributes:
        model: the `onnx.ModelProto`.
        products: by name, in the order of computation.
        consumers: nodes that read a tensor, by its name.
        producers: the node that gives a tensor, by its name.
        outputs: names of the graph's outputs.

    Raises:
        ExportFailure: it has no product with a constant weight.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._constants = {tensor.name: tensor for tensor in self.model.graph.initializer}
        self.consumers: dict[str, list[Any]] = defaultdict(list)
        self.producers: dict[str, Any] = {}
        for node in self.model.graph.node:
            for name in node.input:
                self.consumers[name].append(node)
            self.producers.update(dict.fromkeys(node.output, node))
        self.outputs = {output.name for output in self.model.graph.output}
        found = (self._product(node) for node in self.model.graph.node)
        self.products = {product.name: product for product in found if product is not None}
        if not self.products:
            raise ExportFailure("this graph has nothing to quantise: no product with a constant weight")

    @staticmethod
    def read(path: Path) -> Network:
        """The network in a file. Raises `MissingDependency` where onnx is not installed."""
        try:
            import onnx
        except ModuleNotFoundError as error:
            raise MissingDependency("onnx", extra="export", purpose="Quantising a network") from error
        return Network(onnx.load_model(path))

    def copy(self) -> Network:
        """Another of its like, to be changed."""
        return Network(type(self.model).FromString(self.model.SerializeToString()))

    def digest(self) -> str:
        """SHA-256 of the graph with its weights."""
        return hashlib.sha256(self.model.SerializeToString(deterministic=True)).hexdigest()

    def weight(self, product: Product) -> Array:
        """The weight of a product, as it is now."""
        import onnx

        weight: Array = onnx.numpy_helper.to_array(self._constants[product.node.input[1]])
        return weight.astype(np.float32, copy=False)

    def kind(self, product: Product) -> Any:
        """In what a product computes: `numpy.float32` or `numpy.float16`."""
        return np.float16 if self._constants[product.node.input[1]].data_type == _FLOAT16 else np.float32

    def constant(self, name: str) -> Array | None:
        """The constant of that name, None for what is computed."""
        import onnx

        return onnx.numpy_helper.to_array(self._constants[name]) if name in self._constants else None

    def set_constant(self, node: Any, index: int, value: Array) -> None:
        """Give `node` alone another constant as its input `index`; equal ones of other nodes stay as they are."""
        import onnx

        while len(node.input) <= index:
            node.input.append("")
        name = f"{node.output[0]}/constant_{index}"
        tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
        if name in self._constants:
            self._constants[name].CopyFrom(tensor)
        else:
            self.model.graph.initializer.append(tensor)
            self._constants[name] = self.model.graph.initializer[-1]
        node.input[index] = name

    def settled(self, name: str) -> str:
        """The tensor that `name` is a moment later, where nothing else reads it before: behind its ReLU."""
        readers = self.consumers[name]
        while len(readers) == 1 and readers[0].op_type in ("Relu", "Clip") and name not in self.outputs:
            name = readers[0].output[0]
            readers = self.consumers[name]
        return name

    def activations(self, names: Sequence[str], crops: NDArray[np.uint8]) -> Iterator[dict[str, Array]]:
        """The tensors `names`, a few crops at a time; a network's input is no such tensor."""
        import onnx

        probe = onnx.ModelProto.FromString(self.model.SerializeToString())
        given = {output.name for output in probe.graph.output}
        probe.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, _FLOAT, None) for name in names if name not in given
        )
        embed = open_session(probe.SerializeToString())
        source = self.model.graph.input[0].name
        for start in range(0, len(crops), _AT_ONCE):
            values = embed.run(list(names), {source: crops[start : start + _AT_ONCE]})
            yield dict(zip(names, values, strict=True))

    def work(self, crop: NDArray[np.uint8]) -> dict[str, float]:
        """Multiplications of each product, by its name, for one crop (1, 3, H, W) uint8."""
        (values,) = self.activations(list(self.products), crop)
        return {
            name: float(values[name].size * np.prod(product.shape, dtype=float) / product.shape[product.out_axis])
            for name, product in self.products.items()
        }

    def _product(self, node: Any) -> Product | None:
        weight = self._constants.get(node.input[1]) if len(node.input) > 1 else None
        if weight is None or node.input[0] in self._constants or weight.data_type not in (_FLOAT, _FLOAT16):
            return None
        shape = tuple(weight.dims)
        attributes = {attribute.name: attribute.i for attribute in node.attribute}
        factors = [attribute.f for attribute in node.attribute if attribute.name in ("alpha", "beta")]
        if node.op_type == "Conv":
            product = Product(node, shape, out_axis=0, in_axis=1, groups=attributes.get("group", 1))
            return replace(product, in_axis=0) if product.is_depthwise else product
        if node.op_type == "MatMul" and len(shape) == 2:
            return Product(node, shape, out_axis=1, in_axis=0)
        if node.op_type == "Gemm" and not attributes.get("transA") and set(factors) <= {1.0}:
            out_axis = 0 if attributes.get("transB") else 1
            return Product(node, shape, out_axis, 1 - out_axis)
        return None


def open_session(model: bytes) -> Any:
    """ONNX Runtime's session for a serialized model, without optimisations: what the graph says, computed literally.

    Raises:
        ExportFailure: ONNX Runtime refuses the graph.
        MissingDependency: onnxruntime is not installed.
    """
    onnxruntime = import_onnxruntime("Quantising a network", extra="export")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        raise ExportFailure(f"ONNX Runtime {onnxruntime.__version__} refuses the graph: {error}") from error
