"""A network made ready for eight bits, and quantised, wholly or in part, as often as one likes.

graph ─ equalised ─ observed ─┬─ biases corrected ─ Q/DQ       for any choice of products
└─ …
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from reidkit.calibration.quantization.calibration_set import CalibrationSet
from reidkit.calibration.quantization.layout import Layout
from reidkit.calibration.quantization.network import Network
from reidkit.calibration.quantization.ranges import known_observer, observe
from reidkit.calibration.quantization.steps import correct_biases, equalize
from reidkit.calibration.quantization.writing import quantized, quantized_weights

CHEAP = 0.01
"""Products that together do at most this share of the work stay in float: gates, heads, what sees one pixel."""

DEFAULT_OBSERVER = "min-max"


class Quantizer:
    """What is the same however much of a network is quantised.

    Attributes:
        work: multiplications of each product, by name, for one crop.
        products: those worth quantising.
        ranges: of the equalised network.
        steps: what was done to it, in words.

    Args:
        graph: float32 ONNX file, crops in and embeddings out.
        crops: to observe it on.
        layout: of its activations.
        observer: how far grids reach; a name of `OBSERVERS`.

    Raises:
        ExportFailure: there is nothing to quantise, or an activation is not finite.
        InvalidInput: no such observer.
    """

    def __init__(self, graph: Path, crops: CalibrationSet, *, layout: Layout, observer: str = DEFAULT_OBSERVER) -> None:
        self._observer, self._layout, self._crops = known_observer(observer), layout, crops
        self._network = Network.read(graph)
        self.work = self._network.work(crops.crops[:1])
        self.products = _worthwhile(self.work)
        equalized = equalize(self._network, observe(self._network, crops))
        self.ranges = observe(self._network, crops)
        self.steps = [f"{equalized} tensors equalised", "biases corrected"]

    def model(self, products: Collection[str], *, typed: Callable[[Any], Any] = lambda model: model) -> Any:
        """The network with `products` in eight bits, a checked `onnx.ModelProto`.

        Args:
            products: names, some of `self.products`.
            typed: types what is not quantised: a float32 model in, the same in other types out.
        """
        network = self._network.copy()
        correct_biases(network, self.ranges, quantized_weights(network, products))
        return quantized(
            Network(typed(network.model)),
            self.ranges,
            layout=self._layout,
            observer=self._observer,
            products=products,
        )

    def modules(self) -> dict[str, str]:
        """The node that computes each of `products`, by name: its module's path, where the graph has it."""
        return {name: self._network.products[name].node.name for name in self.products}

    def to_dict(self, products: Collection[str]) -> dict[str, Any]:
        """For the manifest: what `model` was made of."""
        share = sum(self.work[name] for name in products) / sum(self.work.values())
        return {
            **self._crops.to_dict(),
            "model_sha256": self.ranges.model_sha256,
            "observer": self._observer,
            "layout": str(self._layout),
            "steps": self.steps,
            "products_in_int8": len(products),
            "products": len(self.work),
            "work_in_int8": round(share, 4),
        }


def _worthwhile(work: dict[str, float]) -> list[str]:
    """All but the cheapest, which together do next to nothing."""
    rest, cheap = CHEAP * sum(work.values()), set()
    for name in sorted(work, key=lambda name: work[name]):
        rest -= work[name]
        if rest < 0:
            break
        cheap.add(name)
    return [name for name in work if name not in cheap]
