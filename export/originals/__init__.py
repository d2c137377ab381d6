"""What can be exported, whatever it comes from: its reference embeddings, its ONNX graph, its preprocessing."""

from reidkit.export.originals.backbone import (
    LoadedBackbone,
    random_original,
    trained_backbone,
    trained_original,
    untrained_backbone,
)
from reidkit.export.originals.kept import kept
from reidkit.export.originals.onnx_file import onnx_original
from reidkit.export.originals.original import Original

__all__ = [
    "LoadedBackbone",
    "Original",
    "kept",
    "onnx_original",
    "random_original",
    "trained_backbone",
    "trained_original",
    "untrained_backbone",
]
