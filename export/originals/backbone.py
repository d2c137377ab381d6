"""A backbone in torch: with a checkpoint's weights, with those that come with reidkit, or with random ones."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import nn

from reidkit.export.backbones import ModelCard
from reidkit.export.checkpoints import Checkpoint, identify, load_backbone, random_backbone
from reidkit.export.onnx import CropEmbedder, write_onnx
from reidkit.export.originals.original import Original
from reidkit.export.weights import DEFAULT, LICENCE, embedded_weights
from reidkit.runtime.artifact.manifest import BackboneInfo, Weights


def trained_original(card: ModelCard | None, weights: Path | None) -> Original:
    """A backbone with trained weights.

    Args:
        card: the backbone; None to tell it from the weights.
        weights: the checkpoint; None for the weights that come with reidkit.

    Raises:
        InvalidCheckpoint: the weights are not those of the backbone.
        InvalidInput: no weights of this backbone come with reidkit.
    """
    path = weights or embedded_weights(card.name if card else DEFAULT)
    checkpoint = Checkpoint.read(path)
    card = card or identify(checkpoint)
    module, dropped = load_backbone(card, checkpoint)
    embedded = weights is None
    return _original(
        card,
        module,
        Weights(
            source="embedded" if embedded else "file",
            file=path.name,
            sha256=checkpoint.sha256,
            licence=LICENCE if embedded else None,
            dropped_keys=dropped,
        ),
    )


def random_original(card: ModelCard) -> Original:
    """A backbone with random weights, always the same ones, to try a target out."""
    weights = Weights(source="random", file=None, sha256=None, licence=None, dropped_keys=[])
    return _original(card, random_backbone(card), weights)


def _original(card: ModelCard, module: nn.Module, weights: Weights) -> Original:
    embedder = CropEmbedder(module, card.preprocessing)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Original(
        backbone=BackboneInfo(name=card.name, parameters=parameters, weights=weights),
        preprocessing=card.preprocessing,
        reference="torch",
        libraries=("torch", "onnx", "onnxscript"),
        embed=embedder.embed,
        write_onnx=partial(write_onnx, embedder),
    )
