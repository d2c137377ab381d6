"""From a torch backbone to one ONNX file: uint8 crops in, raw embeddings out, any batch size.

    images (batch, 3, H, W) uint8 ─ Cast ─ Mul ─ Add ─ backbone ─ embeddings (batch, D) float32

The normalisation is in the graph, so that nobody has to know it; L2 is not, because half precision clamps it and INT8
blurs it. A node's name begins with the path of its module. The same module with the same weights gives the same bytes.
"""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reidkit.export.preprocessing import gain_and_offset
from reidkit.runtime.artifact.manifest import Preprocessing
from reidkit.runtime.errors import ExportFailure, MissingDependency

OPSET = 18
"""The lowest the dynamo exporter writes, hence the one that most readers understand."""

INPUT, OUTPUT = "images", "embeddings"


class CropEmbedder(nn.Module):
    """A backbone behind its normalisation: the torch reference, and what the ONNX graph computes.

    ``(x * scale - mean) / std`` is one multiplication and one addition here.
    """

    gain: Tensor
    offset: Tensor

    def __init__(self, backbone: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.backbone = backbone
        self.input_shape = (3, preprocessing.height, preprocessing.width)
        gain, offset = gain_and_offset(preprocessing.normalization)
        self.register_buffer("gain", torch.from_numpy(gain))
        self.register_buffer("offset", torch.from_numpy(offset))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 -> (N, D) float32 raw embeddings."""
        embeddings: Tensor = self.backbone(images.float() * self.gain + self.offset)
        return embeddings

    def embed(self, crops: NDArray[np.uint8], *, batch: int = 8) -> NDArray[np.float32]:
        """(N, 3, H, W) uint8 -> (N, D) float32 raw embeddings, computed `batch` crops at a time.

        Raises:
            ExportFailure: the backbone cannot take such crops, or gives something else for them.
        """
        images = torch.from_numpy(crops)
        with torch.inference_mode():
            chunks = [self._checked(images[start : start + batch]) for start in range(0, len(images), batch)]
        embeddings: NDArray[np.float32] = torch.cat(chunks).numpy()
        return embeddings

    def program(self, batch: int | None) -> torch.export.ExportedProgram:
        """What it computes for exactly `batch` crops, or for any number, traced: (N, 3, H, W) uint8 -> (N, D) float32.

        Raises:
            ExportFailure: torch cannot trace the backbone.
        """
        sample = torch.zeros(batch or 2, *self.input_shape, dtype=torch.uint8)
        open_sizes = None if batch else ({0: torch.export.Dim("batch", min=1)},)
        try:
            return torch.export.export(self, (sample,), dynamic_shapes=open_sizes)
        except RuntimeError as error:
            raise ExportFailure(f"torch cannot trace this backbone ({_first_line(error)})") from error

    def _checked(self, images: Tensor) -> Tensor:
        shape = "x".join(map(str, images.shape[1:]))
        try:
            embeddings: object = self(images)
        except RuntimeError as error:
            raise ExportFailure(f"this backbone fails on {shape} crops ({_first_line(error)})") from error
        if not isinstance(embeddings, Tensor):
            found = f"a {type(embeddings).__name__}"
        elif embeddings.ndim != 2 or len(embeddings) != len(images) or embeddings.dtype != torch.float32:
            found = f"{str(embeddings.dtype).removeprefix('torch.')} {tuple(embeddings.shape)}"
        else:
            return embeddings
        raise ExportFailure(
            f"this backbone gives {found} for {len(images)} crops of {shape}",
            remedy="it has to give (N, D) float32 embeddings, in evaluation mode and without its training heads",
        )


def write_onnx(embedder: CropEmbedder, path: Path) -> None:
    """Write the graph of `embedder` to `path`, weights inside, checked by ONNX's own checker.

    Raises:
        ExportFailure: torch cannot trace the backbone, or not for any batch, or what it wrote is no valid ONNX.
        MissingDependency: onnx or onnxscript is not installed.
    """
    for library in ("onnx", "onnxscript"):
        if find_spec(library) is None:
            raise MissingDependency(library, extra="export", purpose="Writing ONNX")
    import onnx

    sample = torch.zeros(2, *embedder.input_shape, dtype=torch.uint8)
    try:
        with _quietly():
            program = torch.onnx.export(
                embedder,
                (sample,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                external_data=False,
                verbose=False,
            )
        model = program.model_proto  # type: ignore[union-attr]  # None only without dynamo
        _name_by_module(model)
        _forget_origin(model)
        onnx.checker.check_model(model, full_check=True)
    except (torch.onnx.OnnxExporterError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportFailure(f"this backbone does not convert to ONNX ({_first_line(error)})") from error
    if not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:  # torch 2.13 says nothing of it
        raise ExportFailure(
            "this backbone fixes the number of crops while it is traced",
            remedy="let it take that number from x.shape[0], not from len(x) or a constant",
        )
    onnx.save_model(model, path)


def _name_by_module(model: Any) -> None:
    """Put the path of the module that a node comes from before its name: ``backbone.join/node_cat``."""
    for node in model.graph.node:
        notes = {note.key: note.value for note in node.metadata_props}
        scopes = ast.literal_eval(notes.get("pkg.torch.onnx.name_scopes", "[]"))  # of modules, then the operator's own
        node.name = "/".join([*scopes[-2:-1], node.name]).lstrip("/")


def _forget_origin(model: Any) -> None:
    """Drop the exporter's notes (stack traces with this machine's paths, trace names) from everything in the graph."""
    graph = model.graph
    for holder in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del holder.metadata_props[:]
        holder.doc_string = ""


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the exporter's deprecation warnings and progress to itself. Its errors are exceptions and pass."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
