"""An ensemble: loaded parts, what each counts, and the one network that is exported of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from reidkit.calibration.crops import find_crops, read_crops
from reidkit.calibration.street import render_crops
from reidkit.export.ensembles.network import EnsembleNetwork, Join, shared_preprocessing
from reidkit.export.ensembles.projection import Projection, expect_axes
from reidkit.export.onnx import CropEmbedder, write_onnx
from reidkit.export.originals import LoadedBackbone, Original
from reidkit.runtime.artifact.manifest import (
    BackboneInfo,
    EnsembleInfo,
    PartInfo,
    Preprocessing,
    ProjectionInfo,
    Weights,
)
from reidkit.runtime.errors import ExportFailure, InvalidInput

CROPS_TO_PROJECT = 4096
"""Most crops that a projection is fitted on, unless it is so wide that it needs more."""

_SAME_ALONE = 1e-4
"""How far an embedding may move, relative to its largest value, when other crops are beside it."""

Crops = NDArray[np.uint8]
Embeddings = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One network of an ensemble.

    Attributes:
        backbone: the network with its weights.
        weight: length of its embedding in the joined one.
        dim: width of its embedding.
        macs: multiplications (each with its addition) for one crop.
    """

    backbone: LoadedBackbone
    weight: float
    dim: int
    macs: int

    @property
    def name(self) -> str:
        """Name of the backbone."""
        return self.backbone.card.name

    @property
    def preprocessing(self) -> Preprocessing:
        """The crops it was made for."""
        return self.backbone.card.preprocessing


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """Two parts or more.

    Attributes:
        parts: in the order in which their embeddings are joined.
        projection: applied to joined embeddings, None to leave them as they are.
        projected: what the manifest says of the projection.
    """

    parts: tuple[Part, ...]
    projection: Projection | None = None
    projected: ProjectionInfo | None = None

    @staticmethod
    def of(backbones: Sequence[LoadedBackbone], *, weights: Sequence[float] | None = None) -> Ensemble:
        """The ensemble of these networks.

        Args:
            backbones: at least two.
            weights: what each counts, by default 1; finite, not negative, not all 0.

        Raises:
            InvalidInput: too few networks, or weights that mean nothing.
            ExportFailure: a network does not map crops to embeddings, each by itself.
        """
        if len(backbones) < 2:
            raise InvalidInput("an ensemble has two parts or more", remedy="--model osnet_x0_25+osnet_x0_5")
        lengths = [1.0] * len(backbones) if weights is None else list(weights)
        names = ", ".join(backbone.card.name for backbone in backbones)
        if len(lengths) != len(backbones):
            raise InvalidInput(
                f"{len(lengths)} ensemble weights for {len(backbones)} parts",
                remedy=f"give one for each of {names}, in this order",
            )
        if not all(isfinite(length) and length >= 0 for length in lengths) or not any(lengths):
            raise InvalidInput(
                f"ensemble weights {', '.join(f'{length:g}' for length in lengths)}",
                remedy="give finite numbers from 0, one of them above 0",
            )
        return Ensemble(tuple(_measured(*pair) for pair in zip(backbones, lengths, strict=True)))

    @property
    def preprocessing(self) -> Preprocessing:
        """How crops are cut for all parts."""
        return shared_preprocessing([part.preprocessing for part in self.parts])

    @property
    def dim(self) -> int:
        """Width of the embedding."""
        return self.projection.axes.shape[1] if self.projection else sum(part.dim for part in self.parts)

    def compromises(self) -> tuple[str, ...]:
        """Where a part gets other crops than it was made for: they are cut once, for all."""
        cut, notes = self.preprocessing, []
        for part in self.parts:
            own = part.preprocessing
            if (own.height, own.width) != (cut.height, cut.width):
                notes.append(
                    f"{part.name} takes {own.height}x{own.width} crops: those of {cut.height}x{cut.width} are resized "
                    "again, in the graph"
                )
            if own.resize != cut.resize:
                notes.append(
                    f"{part.name} was made for {_kernel(own)} crops, these are {_kernel(cut)}: the first part's"
                )
        return tuple(notes)

    def projected_on(self, folder: Path, *, width: int) -> Ensemble:
        """The same with joined embeddings projected to `width`, along axes found on the crops of `folder`.

        Raises:
            InvalidFile: no such folder, or no images in it.
            InvalidInput: too few crops, or `width` is larger than the joined width.
        """
        joined_dim = sum(part.dim for part in self.parts)
        paths = find_crops(folder, limit=max(CROPS_TO_PROJECT, 2 * width))
        expect_axes(width, joined_dim=joined_dim, crops=len(paths))  # now and not after thousands of them
        units = self.unit_embeddings(read_crops(paths, self.preprocessing))
        projection = Projection.fit(self.join(units), width=width)
        about = ProjectionInfo(
            joined_dim=joined_dim, crops=len(paths), source=f"folder {folder.name}", explained=projection.explained
        )
        return replace(self, projection=projection, projected=about)

    def unit_embeddings(self, crops: Crops) -> list[Embeddings]:
        """Of each part (N, D) float32, rows of unit length, for (N, 3, H, W) uint8 crops cut for all parts."""
        network = EnsembleNetwork(self._modules(), Join([1.0] * len(self.parts)))
        joined = CropEmbedder(network, self.preprocessing).embed(crops)
        return np.split(joined, np.cumsum([part.dim for part in self.parts])[:-1], axis=1)

    def join(self, units: Sequence[Embeddings]) -> Embeddings:
        """What the exported network makes of the parts' `unit_embeddings`, in NumPy."""
        joined = np.concatenate(
            [rows * np.float32(part.weight) for rows, part in zip(units, self.parts, strict=True)], 1
        )
        return self.projection.of(joined) if self.projection else joined

    def original(self) -> Original:
        """The ensemble as something to export."""
        join = Join([part.weight for part in self.parts], self.projection)
        embedder = CropEmbedder(EnsembleNetwork(self._modules(), join), self.preprocessing)
        return Original(
            backbone=self._info(),
            ensemble=EnsembleInfo(parts=[_part_info(part) for part in self.parts], projection=self.projected),
            preprocessing=self.preprocessing,
            reference="torch",
            libraries=("torch", "onnx", "onnxscript"),
            embed=embedder.embed,
            write_onnx=partial(write_onnx, embedder),
            program=embedder.program,
        )

    def _modules(self) -> list[tuple[torch.nn.Module, Preprocessing]]:
        return [(part.backbone.module, part.preprocessing) for part in self.parts]

    def _info(self) -> BackboneInfo:
        infos = [part.backbone.info for part in self.parts]
        weights = [info.weights for info in infos]
        sources = {each.source for each in weights}
        files, digests = [each.file for each in weights if each.file], [each.sha256 for each in weights if each.sha256]
        licences = dict.fromkeys(each.licence for each in weights if each.licence)
        return BackboneInfo(
            name="+".join(info.name for info in infos),
            parameters=sum(info.parameters for info in infos),
            weights=Weights(
                source=weights[0].source if len(sources) == 1 else "file",
                file="+".join(files) or None,
                sha256=hashlib.sha256(bytes.fromhex("".join(digests))).hexdigest() if digests else None,
                licence="; ".join(licences) or None,
                dropped_keys=[key for each in weights for key in each.dropped_keys],
            ),
        )


def _measured(backbone: LoadedBackbone, weight: float) -> Part:
    """The part, once it has shown on two crops that it embeds each as if the other were not there."""
    how = backbone.card.preprocessing
    crops = np.ascontiguousarray(render_crops(2, seed=0, height=how.height, width=how.width).transpose(0, 3, 1, 2))
    embedder = CropEmbedder(backbone.module, how)
    with FlopCounterMode(display=False) as counter:
        together = embedder.embed(crops)
    alone = embedder.embed(crops, batch=1)
    # The counter takes a multiplication and an addition for two.
    macs = counter.get_total_flops() // 2 // len(crops)
    if not np.abs(together - alone).max() <= _SAME_ALONE * np.abs(alone).max():
        raise ExportFailure(
            f"{backbone.card.name} embeds a crop differently when another is beside it, or gives what is not finite",
            remedy="let it normalise by running statistics, not by those of the batch",
        )
    return Part(backbone, weight, dim=together.shape[1], macs=macs)


def _kernel(how: Preprocessing) -> str:
    return f"{'antialiased ' if how.resize.antialias else ''}{how.resize.kernel}"


def _part_info(part: Part) -> PartInfo:
    info = part.backbone.info
    return PartInfo(
        name=info.name,
        parameters=info.parameters,
        weights=info.weights,
        dim=part.dim,
        weight=part.weight,
        preprocessing=part.preprocessing,
    )
