"""ONNX graphs: written by torch's dynamo exporter, proved against torch before anything is built from them."""

from reidkit.export.onnx.graph import CropEmbedder, write_onnx
from reidkit.export.onnx.lowering import lower
from reidkit.export.onnx.run import run_onnx

__all__ = ["CropEmbedder", "lower", "run_onnx", "write_onnx"]
