"""An ncnn network in int8, as ncnn's own quantiser writes it, which is a program that no wheel brings.

A product gets a scale for each output channel and one for what it takes, both 127 by the largest magnitude; ncnn rounds
what it takes as it runs, and gives back float32 (ncnn's documentation, quantized-int8-inference).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.engines.ncnn import load_network
from reidkit.runtime.errors import ExportFailure

_HEADER_LINES = 2
_FLOAT32, _INT8 = 0, 0x000D4B38
"""What stands before a product's weights."""

_LARGEST = 127


@dataclass(frozen=True, slots=True)
class _Product:
    """Where a kind of layer says what: its number of outputs, of weights, of groups, and whether it has a bias."""

    outputs: str
    weights: str
    bias: str
    groups: str | None = None


_PRODUCTS = {
    "Convolution": _Product("0", "6", "5"),
    "ConvolutionDepthWise": _Product("0", "6", "5", groups="7"),
    "InnerProduct": _Product("0", "2", "1"),
}
_INT8_SCALES = "8"
_FLOATS_A_CHANNEL = {"BatchNorm": 4, "InstanceNorm": 2, "LayerNorm": 2}
"""Layers that keep their float32: so many for each of the channels that they name first."""


@dataclass(slots=True)
class _Layer:
    """A line of the structure, and what of the weights is its."""

    kind: str
    name: str
    takes: list[str]
    gives: list[str]
    says: dict[str, str]
    raw: bytes = b""
    weights: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    bias: bytes = b""

    @property
    def is_quantised(self) -> bool:
        """Whether it is a product that ncnn computes in int8.

        Groups of several channels are not: of those 1.0.20261020 gives something else at every run.
        """
        product = _PRODUCTS.get(self.kind)
        return product is not None and (
            product.groups is None or self.says[product.groups] == self.says[product.outputs]
        )

    def line(self) -> str:
        tensors = [str(len(self.takes)), str(len(self.gives)), *self.takes, *self.gives]
        return " ".join([self.kind, self.name, *tensors, *(f"{key}={value}" for key, value in self.says.items())])


def int8(ncnn: ModuleType, structure: bytes, weights: bytes, crops: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """The float32 network's structure and weights with its products in int8, but gates, which see a single pixel.

    Args:
        ncnn: the library, which runs the network to see what products take.
        structure: text of the ``.param`` file.
        weights: content of the ``.bin`` file.
        crops: (N, 3, H, W) to calibrate with.

    Raises:
        ExportFailure: the network has other layers with weights or nothing to quantise, or ncnn fails on a crop.
    """
    lines = structure.decode().splitlines()
    layers = [_layer(line) for line in lines[_HEADER_LINES:] if line.strip()]
    _deal_out(weights, layers)
    products = [layer for layer in layers if layer.is_quantised]
    largest = _observed(ncnn, structure, weights, {layer.takes[0] for layer in products}, crops)
    chosen = {layer.name for layer in products if largest.get(layer.takes[0], 0.0) > 0}
    if not chosen:
        raise ExportFailure(
            "ncnn has nothing to quantise: no product takes more than zeros, or more than a single pixel",
            remedy="export with --precision fp16, or calibrate with other crops",
        )
    written = [_in_int8(layer, largest[layer.takes[0]]) if layer.name in chosen else layer.raw for layer in layers]
    text = "\n".join([*lines[:_HEADER_LINES], *(layer.line() for layer in layers), ""])
    return text.encode(), b"".join(written)


def _layer(line: str) -> _Layer:
    kind, name, takes, gives, *rest = line.split()
    middle, end = int(takes), int(takes) + int(gives)
    return _Layer(kind, name, rest[:middle], rest[middle:end], dict(part.split("=", 1) for part in rest[end:]))


def _deal_out(content: bytes, layers: Iterable[_Layer]) -> None:
    """Give each layer its part of the weights."""
    at = 0
    for layer in layers:
        begin = at
        if layer.kind == "MemoryData":
            at += 4 * int(np.prod([max(int(layer.says.get(side, 0)), 1) for side in ("0", "1", "2", "11")]))
        elif floats := _FLOATS_A_CHANNEL.get(layer.kind):
            at += 4 * floats * int(layer.says["0"])
        elif layer.kind == "Gemm":
            raise ExportFailure(
                f"ncnn has the product {layer.name} as a Gemm, which is not quantised here",
                remedy="export with --precision fp16, or to onnxruntime in int8",
            )
        elif product := _PRODUCTS.get(layer.kind):
            count = int(layer.says[product.weights])
            if int.from_bytes(content[at : at + 4], "little") != _FLOAT32:
                raise ExportFailure(f"the weights of ncnn's layer {layer.name} are not in float32")
            layer.weights = np.frombuffer(content, "<f4", count, at + 4)
            at += 4 + 4 * count
            biases = int(layer.says[product.outputs]) if int(layer.says.get(product.bias, "0")) else 0
            layer.bias = content[at : at + 4 * biases]
            at += 4 * biases
        layer.raw = content[begin:at]
    if at != len(content):
        raise ExportFailure(
            f"{len(content) - at} bytes of ncnn's weights belong to layers that cannot be quantised here",
            remedy="export with --precision fp16",
        )


def _observed(
    ncnn: ModuleType, structure: bytes, weights: bytes, tensors: set[str], crops: NDArray[np.uint8]
) -> dict[str, float]:
    """The largest magnitude of each tensor over the crops; without those of a single pixel."""
    network = load_network(ncnn, structure, weights, half=False, keep_all=True)
    largest = dict.fromkeys(tensors, 0.0)
    for crop in crops.astype(np.float32):
        extractor = network.create_extractor()
        status = extractor.input(network.input_names()[0], ncnn.Mat(crop).clone())
        for name in sorted(largest):
            failed, tensor = extractor.extract(name)
            if status or failed:
                raise ExportFailure(f"ncnn failed on a crop, with status {status or failed}")
            values = np.array(tensor)
            if values.size == max(values.shape) and values.ndim > 1:
                del largest[name]
            else:
                largest[name] = max(largest[name], float(np.abs(values).max()))
    return largest


def _in_int8(layer: _Layer, largest: float) -> bytes:
    """The layer's part of the weights in int8, which its line says from now on."""
    product = _PRODUCTS[layer.kind]
    rows = layer.weights.reshape(int(layer.says[product.groups or product.outputs]), -1)
    magnitude = np.abs(rows).max(axis=1, keepdims=True)
    scales = np.where(magnitude > 0, _LARGEST / np.where(magnitude > 0, magnitude, 1), 1).astype("<f4")
    integers = np.clip(np.round(rows * scales), -_LARGEST, _LARGEST).astype(np.int8).tobytes()
    layer.says[_INT8_SCALES] = "1"
    padding = bytes(-len(integers) % 4)
    taken = np.array(_LARGEST / largest, "<f4")
    return b"".join([_INT8.to_bytes(4, "little"), integers, padding, layer.bias, scales.tobytes(), taken.tobytes()])
