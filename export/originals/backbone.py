"""A backbone in torch: with a checkpoint's weights, with those that come with reidkit, or with random ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from reidkit.export.backbones import ModelCard
from reidkit.export.catalogue.known_weights import KnownWeights, known_weights
from reidkit.export.checkpoints import Checkpoint, identify, load_backbone, random_backbone
from reidkit.export.onnx import CropEmbedder, write_onnx
from reidkit.export.originals.original import Original
from reidkit.export.weights import DEFAULT
from reidkit.runtime.artifact.manifest import BackboneInfo, Weights


@dataclass(frozen=True, slots=True, eq=False)
class LoadedBackbone:
    """A network with its weights, in evaluation mode, and where they are from."""

    card: ModelCard
    module: nn.Module
    weights: Weights

    @property
    def info(self) -> BackboneInfo:
        """What the manifest says of it."""
        parameters = sum(parameter.numel() for parameter in self.module.parameters())
        return BackboneInfo(name=self.card.name, parameters=parameters, weights=self.weights)

    def original(self) -> Original:
        """The network as something to export."""
        embedder = CropEmbedder(self.module, self.card.preprocessing)
        return Original(
            backbone=self.info,
            preprocessing=self.card.preprocessing,
            reference="torch",
            libraries=("torch", "onnx", "onnxscript"),
            embed=embedder.embed,
            write_onnx=partial(write_onnx, embedder),
            program=embedder.program,
        )


def trained_backbone(card: ModelCard | None, weights: Path | KnownWeights | None) -> LoadedBackbone:
    """A backbone with trained weights.

    Args:
        card: the backbone; None to tell it from the weights.
        weights: the checkpoint, of the user's or known to reidkit; None for the weights that come with reidkit.

    Raises:
        InvalidCheckpoint: the weights are not those of the backbone.
        InvalidInput: no weights of this backbone come with reidkit.
    """
    given = weights or known_weights(card.name if card else DEFAULT)
    path, known = (given.path, given) if isinstance(given, KnownWeights) else (given, None)
    checkpoint = Checkpoint.read(path)
    card = card or identify(checkpoint)
    module, dropped = load_backbone(card, checkpoint)
    return LoadedBackbone(
        card,
        module,
        Weights(
            source=known.source if known else "file",
            file=path.name,
            sha256=checkpoint.sha256,
            licence=known.licence if known else None,
            dropped_keys=dropped,
        ),
    )


def untrained_backbone(card: ModelCard, *, seed: int = 0) -> LoadedBackbone:
    """A backbone with random weights, always the same ones for the same seed."""
    weights = Weights(source="random", file=None, sha256=None, licence=None, dropped_keys=[])
    return LoadedBackbone(card, random_backbone(card, seed=seed), weights)


def trained_original(card: ModelCard | None, weights: Path | KnownWeights | None = None) -> Original:
    """A backbone with trained weights; arguments and errors of `trained_backbone`."""
    return trained_backbone(card, weights).original()


def random_original(card: ModelCard) -> Original:
    """A backbone with random weights, to try a target out."""
    return untrained_backbone(card).original()
