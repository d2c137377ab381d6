"""What can be exported, whatever it comes from: its reference embeddings, its ONNX graph, its preprocessing."""

from reidkit.export.originals.backbone import random_original, trained_original
from reidkit.export.originals.onnx_file import onnx_original
from reidkit.export.originals.original import Original

__all__ = ["Original", "onnx_original", "random_original", "trained_original"]
