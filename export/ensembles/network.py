"""Several networks in one graph, which takes crops that were cut once.

crops ─┬─ Way ─ part a ─┐
       ├─ Way ─ part b ─┼─ Join ─ embeddings      parts that want the same crops share a Way
       └───────part c ──┘
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from reidkit.export.ensembles.projection import Projection
from reidkit.runtime.artifact.manifest import Preprocessing


def shared_preprocessing(parts: Sequence[Preprocessing]) -> Preprocessing:
    """How a crop is cut for all parts: as for the first one, at the largest height and the largest width."""
    height, width = max(part.height for part in parts), max(part.width for part in parts)
    return replace(parts[0], height=height, width=width)


class UnitLength(nn.Module):
    """Rows divided by their L2 norm, in float32 whatever comes in. A row of zeros has no direction and becomes NaN."""

    def forward(self, embeddings: Tensor) -> Tensor:
        """(N, D) of any floating type -> (N, D) float32."""
        embeddings = embeddings.float()
        lengths: Tensor = torch.linalg.vector_norm(embeddings, dim=1, keepdim=True)
        return embeddings / lengths


class Join(nn.Module):
    """The parts' embeddings, each brought to its weight as length, side by side, and projected if that is wanted.

    All of it is float32 at every precision: half precision loses small embeddings' lengths, and integers blur all of
    them. Whoever lowers a graph's precision leaves out the nodes whose names begin with ``backbone.join``.
    """

    def __init__(self, weights: Sequence[float], projection: Projection | None = None) -> None:
        super().__init__()
        self.weights = tuple(weights)
        self.unit = UnitLength()
        self.projection = None if projection is None else _Projected(projection)

    def forward(self, embeddings: Sequence[Tensor]) -> Tensor:
        """One (N, D) a part -> (N, the sum of D, or the projection's width) float32."""
        parts = [self.unit(rows) * weight for rows, weight in zip(embeddings, self.weights, strict=True)]
        joined = torch.cat(parts, dim=1)
        return joined if self.projection is None else self.projection(joined)


class _Projected(nn.Module):
    mean: Tensor
    axes: Tensor

    def __init__(self, projection: Projection) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(projection.mean))
        self.register_buffer("axes", torch.from_numpy(projection.axes))

    def forward(self, joined: Tensor) -> Tensor:
        return (joined - self.mean) @ self.axes


class Way(nn.Module):
    """From crops prepared for the whole to crops prepared for one part: channels, size, normalisation.

    Resized bilinearly without antialiasing, as trackers cut crops. Every step is left out that would change nothing.
    """

    gain: Tensor | None
    offset: Tensor | None

    def __init__(self, shared: Preprocessing, own: Preprocessing) -> None:
        super().__init__()
        self.swaps = shared.color != own.color
        self.size = (own.height, own.width)
        self.resizes = self.size != (shared.height, shared.width)
        # shared: x·gain + offset of grey levels x; own: the same with others. The one is a line over the other.
        (gain, offset), (own_gain, own_offset) = _line(shared, swapped=self.swaps), _line(own)
        same = np.allclose([gain, offset], [own_gain, own_offset], rtol=1e-9, atol=0)  # 0.485 · 255 is 123.675
        slope = own_gain / gain
        self.register_buffer("gain", None if same else _constant(slope))
        self.register_buffer("offset", None if same else _constant(own_offset - offset * slope))

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, H, W) float, normalised for the whole -> (N, 3, h, w), normalised for the part."""
        if self.swaps:
            crops = crops.flip(1)
        if self.resizes:
            crops = functional.interpolate(crops, self.size, mode="bilinear", align_corners=False, antialias=False)
        if self.gain is not None and self.offset is not None:
            crops = crops * self.gain + self.offset
        return crops


class EnsembleNetwork(nn.Module):
    """The parts and their join: a backbone like any other, behind the first part's normalisation.

    Args:
        parts: each with the preprocessing it was made for.
        join: what is made of their embeddings.
    """

    def __init__(self, parts: Sequence[tuple[nn.Module, Preprocessing]], join: Join) -> None:
        super().__init__()
        shared = shared_preprocessing([own for _, own in parts])
        wanted = [replace(own, resize=shared.resize) for _, own in parts]
        distinct = [own for row, own in enumerate(wanted) if own not in wanted[:row]]
        self.ways = nn.ModuleList(Way(shared, own) for own in distinct)
        self.way_of = [distinct.index(own) for own in wanted]
        self.parts = nn.ModuleList(part for part, _ in parts)
        self.join = join

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, H, W) float32, normalised -> (N, D) float32."""
        ways = [way(crops) for way in self.ways]
        embeddings: Tensor = self.join([part(ways[way]) for part, way in zip(self.parts, self.way_of, strict=True)])
        return embeddings


def _line(how: Preprocessing, *, swapped: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(3,) float64 factor and summand that normalise grey levels."""
    mean, std = (np.asarray(channels, np.float64) for channels in (how.normalization.mean, how.normalization.std))
    order = slice(None, None, -1 if swapped else 1)
    return (how.normalization.scale / std)[order], (-mean / std)[order]


def _constant(channels: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(channels.astype(np.float32).reshape(3, 1, 1))
