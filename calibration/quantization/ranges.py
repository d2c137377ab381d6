"""What flows through a network, observed once on a set of crops, and of no library's making: one JSON file.

It belongs to one model and one set of crops, by their digests, and holds every observer's verdict, so that a second
export to whatever target, with whatever observer, looks at no crop again. It is kept in a cache, which may lose it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from reidkit.calibration.quantization.calibration_set import CalibrationSet
from reidkit.calibration.quantization.network import Array, Network
from reidkit.calibration.quantization.observers import OBSERVERS, Histogram, thresholds
from reidkit.runtime.artifact.strict import Mismatch, build
from reidkit.runtime.cache import cache_folder
from reidkit.runtime.errors import ExportFailure, InvalidFile, InvalidInput, did_you_mean
from reidkit.runtime.files import whole_file

SCHEMA_VERSION = 1
RECIPE = 1
"""Raised whenever the same crops are looked at otherwise: observers, histograms, what is sampled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRange:
    """What was seen of one tensor.

    Attributes:
        low: its smallest value.
        high: its largest.
        thresholds: largest magnitude to keep, by observer.
        peaks: largest magnitude of each channel; empty for a tensor that no product takes.
        means: mean of each channel; likewise.
    """

    low: float
    high: float
    thresholds: dict[str, float]
    peaks: list[float]
    means: list[float]

    def kept(self, observer: str) -> tuple[float, float]:
        """From where to where a grid has to reach."""
        threshold = self.thresholds[observer]
        return max(self.low, -threshold), min(self.high, threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """What was seen of every tensor that may be quantised.

    Attributes:
        model_sha256: of the graph; see `Network.digest`.
        crops_sha256: of the crops; see `CalibrationSet.digest`.
        crops: how many.
        tensors: by name.
    """

    schema_version: int = SCHEMA_VERSION
    model_sha256: str
    crops_sha256: str
    crops: int
    tensors: dict[str, TensorRange]

    def to_json(self) -> str:
        """The ranges as JSON text with a final newline."""
        return json.dumps(asdict(self), indent=1, allow_nan=False) + "\n"

    @staticmethod
    def from_json(text: str | bytes, *, name: str = "the ranges") -> Ranges:
        """Read ranges, strictly. Raises `InvalidFile`."""
        try:
            raw = json.loads(text)
            if isinstance(raw, dict) and raw.get("schema_version") != SCHEMA_VERSION:
                raise Mismatch(f"schema version {raw.get('schema_version')!r}, this reidkit reads {SCHEMA_VERSION}")
            return build(Ranges, raw, "ranges")
        except (ValueError, RecursionError) as error:  # a Mismatch is a ValueError
            raise InvalidFile(f"{name}: {error}", remedy="remove it, and calibrate again") from error

    def write(self, path: Path) -> None:
        """Write the file; it appears whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8")


def observe(network: Network, crops: CalibrationSet) -> Ranges:
    """The ranges of `network` on `crops`, from the cache if they were seen before.

    Raises:
        ExportFailure: an activation is NaN or infinite; the message names its node.
    """
    model, digest = network.digest(), crops.digest()
    cached = cache_folder("ranges", f"{model[:16]}-{digest[:16]}-{RECIPE}.json")
    with suppress(InvalidFile, OSError):  # what cannot be read is looked at anew
        ranges = Ranges.from_json(cached.read_bytes(), name=str(cached))
        if (ranges.model_sha256, ranges.crops_sha256) == (model, digest):
            return ranges
    ranges = Ranges(model_sha256=model, crops_sha256=digest, crops=len(crops.crops), tensors=_seen(network, crops))
    with suppress(InvalidFile, OSError):  # nothing is lost but time
        ranges.write(cached)
    return ranges


def known_observer(name: str) -> str:
    """`name`, if it is an observer's. Raises `InvalidInput` with a suggestion."""
    if name not in OBSERVERS:
        raise InvalidInput(f"there is no observer '{name}'", remedy=did_you_mean(name, OBSERVERS))
    return name


def _seen(network: Network, crops: CalibrationSet) -> dict[str, TensorRange]:
    """One pass over the crops, looking at what products take and at what they give."""
    products = network.products.values()
    axes = {product.source: product.channel_axis for product in products}
    names = list(dict.fromkeys([*axes, *(network.settled(product.name) for product in products)]))
    histograms = {name: Histogram() for name in names}
    peaks: dict[str, Array] = {}
    sums: dict[str, Array] = {}
    for values in network.activations(names, crops.crops):
        for name, value in values.items():
            if not np.isfinite(value).all():
                node = network.producers[name]
                raise ExportFailure(
                    f"{node.name or name} ({node.op_type}) gives NaN or infinity on the crops of {crops.source}",
                    remedy="check the weights and the crops: nothing can be scaled by what is not finite",
                )
            histograms[name].add(value)
            if name in axes:
                channels = np.moveaxis(value, axes[name], 0).reshape(value.shape[axes[name]], -1)
                peaks[name] = np.maximum(peaks.get(name, np.float32(0)), np.abs(channels).max(axis=1))
                sums[name] = sums.get(name, np.float32(0)) + channels.mean(axis=1) * len(value)
    count = len(crops.crops)
    return {
        name: TensorRange(
            low=seen.low,
            high=seen.high,
            thresholds=thresholds(seen),
            peaks=peaks[name].tolist() if name in peaks else [],
            means=(sums[name] / count).tolist() if name in sums else [],
        )
        for name, seen in histograms.items()
    }
