"""Steps that make a network easier to quantise, without changing what it computes.

`equalize` moves the size of channels from activations, which share one scale, into weights, which have one for each
output channel. `correct_biases` takes back what the rounding of weights adds to the mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reidkit.calibration.quantization.network import HOMOGENEOUS, Array, Network, Product
from reidkit.calibration.quantization.ranges import Ranges

BALANCE = 0.5
"""How the difficulty is shared: 0 leaves all of it to the activations, 1 moves all of it into the weights."""

_MOST = 100.0
"""No channel is divided or multiplied by more."""


def equalize(network: Network, ranges: Ranges) -> int:
    """Divide channels by a number where they are made, and multiply by it where they are taken.

    They are made by a product (then this is cross-layer equalisation: Nagel et al., ICCV 2019) or by a layer norm (then
    it is SmoothQuant: Xiao et al., ICML 2023). A depthwise convolution has a scale of its own for each channel, so all
    of the difficulty goes there.

    Args:
        network: changed in place.
        ranges: of this very network.

    Returns:
        How many tensors were equalised.
    """
    products, count = network.products, 0
    for source in dict.fromkeys(product.source for product in products.values()):
        readers = [products.get(node.output[0]) for node in network.consumers[source]]
        takers = [reader for reader in readers if reader is not None and _takes_by_channel(reader, source)]
        if len(takers) < len(readers) or source in network.outputs:
            continue
        by = _divisors(network, takers, np.array(ranges.tensors[source].peaks, np.float32))
        if _divide(network, _maker(network, source), by, axis=takers[0].channel_axis):
            for taker in takers:
                weight = network.weight(taker) * taker.along(taker.in_axis, by)
                network.set_constant(taker.node, 1, weight)
            count += 1
    return count


def correct_biases(network: Network, ranges: Ranges, rounded: dict[str, Array]) -> int:
    """Subtract from each bias what rounded weights would add to the mean of their product's output.

    (Nagel et al., ICCV 2019, section 4.2, with means that were observed.)

    Args:
        network: changed in place; its weights stay as they are.
        ranges: of this very network.
        rounded: weights as they will be, by the name of their product.

    Returns:
        How many biases were corrected.
    """
    count = 0
    for name, weight in rounded.items():
        product = network.products[name]
        mean = np.array(ranges.tensors[product.source].means, np.float32)
        count += _add_bias(network, product, -_at_mean(product, weight - network.weight(product), mean))
    return count


def _at_mean(product: Product, weight: Array, mean: Array) -> Array:
    """What `weight` gives for an input that is `mean` in each channel everywhere."""
    if product.node.op_type != "Conv":
        return np.tensordot(mean, weight, (0, product.in_axis)).astype(np.float32)
    taps = weight.reshape(*weight.shape[:2], -1).sum(axis=2)
    by_group = mean.reshape(product.groups, 1, -1)
    given: Array = (taps.reshape(product.groups, -1, taps.shape[1]) * by_group).sum(axis=2).reshape(-1)
    return given


def _divisors(network: Network, takers: list[Product], peaks: Array) -> Array:
    """By what to divide each channel, whose largest magnitudes are `peaks`; 1 where nothing flows."""
    if all(taker.is_depthwise for taker in takers):
        by = peaks / max(peaks.max(), np.finfo(np.float32).tiny)
    else:
        channels = [np.moveaxis(network.weight(taker), taker.in_axis, 0).reshape(len(peaks), -1) for taker in takers]
        weights = np.max([np.abs(rows).max(axis=1) for rows in channels], axis=0)
        alive = (peaks > 0) & (weights > 0)
        by = np.where(alive, peaks**BALANCE / np.where(alive, weights, 1) ** (1 - BALANCE), 0)
        if alive.any():
            by = by / np.exp(np.log(by[alive]).mean())
    divisors: Array = np.where(by > 0, np.clip(by, 1 / _MOST, _MOST), 1).astype(np.float32)
    return divisors


def _takes_by_channel(taker: Product, source: str) -> bool:
    """Whether it takes `source` once, and each of its input channels has weights of its own."""
    return list(taker.node.input).count(source) == 1 and (taker.groups == 1 or taker.is_depthwise)


def _maker(network: Network, name: str) -> Any | None:
    """The product or layer norm whose channels become those of `name`, with nobody else reading in between."""
    node = network.producers.get(name)
    while node is not None and node.op_type in HOMOGENEOUS and node.input[0] not in network.outputs:
        if len(network.consumers[node.input[0]]) > 1:
            return None
        node = network.producers.get(node.input[0])
    return node


def _divide(network: Network, maker: Any | None, by: Array, *, axis: int) -> bool:
    """Divide what `maker` gives, channel by channel along `axis`; False where that is not in its constants."""
    product = None if maker is None else network.products.get(maker.output[0])
    if maker is None or (product is None and maker.op_type != "LayerNormalization") or maker.op_type == "MatMul":
        return False
    if axis != (-1 if product is None else product.channel_axis):
        return False
    first = 1 if product is None else 2  # scale and bias of a layer norm; of a product the bias alone
    constants = [network.constant(name) for name in maker.input[first:]]
    if any(value is None or value.shape != by.shape for value in constants):
        return False
    for index, value in enumerate(constants, start=first):
        network.set_constant(maker, index, value / by)  # type: ignore[operator]  # None was refused
    if product is not None:
        network.set_constant(maker, 1, network.weight(product) / product.along(product.out_axis, by))
    return True


def _add_bias(network: Network, product: Product, change: Array) -> bool:
    """Add to the bias of a product, its own or that of the addition behind it; False where it has none to change."""
    node = product.node
    if node.op_type == "MatMul":
        readers = network.consumers[product.name]
        if len(readers) != 1 or readers[0].op_type != "Add":
            return False
        node = readers[0]
        index = next((i for i, name in enumerate(node.input) if network.constant(name) is not None), None)
        if index is None:
            return False
    else:
        index = 2
    bias = network.constant(node.input[index]) if len(node.input) > index else np.zeros_like(change)
    if bias is None or bias.shape != change.shape:
        return False
    network.set_constant(node, index, bias + change)
    return True
