"""Whom a student learns from: an artifact, a backbone with weights, or a vendor's model file."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from reidkit.export.checkpoints import Checkpoint, identify, load_backbone
from reidkit.export.distillation.vendor import VendorModel
from reidkit.export.onnx import CropEmbedder
from reidkit.export.preprocessing import model_input
from reidkit.runtime.artifact.digests import MANIFEST_FILE, sha256_of
from reidkit.runtime.artifact.preprocessing import parse_preprocessing
from reidkit.runtime.engines import open_artifact
from reidkit.runtime.errors import EngineFailure, InvalidConfig, InvalidFile

CHECKPOINTS = frozenset({".pt", ".pth", ".tar", ".safetensors"})
VENDOR_FILES = frozenset({".xml", ".onnx"})
_BATCH = 16


class Teacher(Protocol):
    """Anything that turns crops into embeddings.

    Attributes:
        name: of the file or folder it came from.
        sha256: digest of its file, or of each where there are several.
        identity: changes whenever its embeddings could: digest, preprocessing and precision.
        size: height and width of the crops it takes.
        precision: what it computes in.
    """

    name: str
    sha256: str
    identity: str
    size: tuple[int, int]
    precision: str

    def embed(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3, *size) float32 RGB in 0…255 -> (N, E) float32 raw embeddings."""

    def close(self) -> None:
        """Give the library's memory back."""


def open_teacher(path: Path, *, preprocessing: str | None = None, trusted: bool = False) -> Teacher:
    """The teacher that a file or folder holds.

    Args:
        path: an artifact's folder, a backbone's checkpoint, or a vendor's ``.xml`` or ``.onnx``.
        preprocessing: what a vendor's file takes, e.g. ``bgr-0-255-256x128``; the others know it themselves.
        trusted: run native code in an artifact even if it was built elsewhere.

    Raises:
        InvalidFile: it is none of these, or damaged.
        InvalidConfig: a preprocessing is missing, unknown, or named where none is wanted.
        ArtifactInvalid, ArtifactUntrusted, EngineFailure, MissingDependency: as `open_artifact`.
    """
    if path.suffix in VENDOR_FILES:
        if preprocessing is None:
            raise InvalidConfig(
                f"{path.name} does not tell how its input is made",
                remedy="name it with --teacher-preprocessing, e.g. bgr-0-255-256x128",
            )
        return VendorModel(path, parse_preprocessing(preprocessing))
    if preprocessing is not None:
        raise InvalidConfig(f"{path.name} knows its own preprocessing", remedy="leave --teacher-preprocessing out")
    if (path / MANIFEST_FILE).is_file():
        return _Artifact(path, trusted=trusted)
    if path.suffix in CHECKPOINTS:
        return _Backbone(path)
    raise InvalidFile(
        f"{path} is no teacher", remedy="name an artifact's folder, a checkpoint, or a vendor's .xml or .onnx file"
    )


def unit_embeddings(teacher: Teacher, crops: NDArray[np.float32], names: list[str]) -> NDArray[np.float32]:
    """What the teacher says of crops, each row of length 1.

    Raises:
        EngineFailure: a row is not finite, or has no direction; the message names its crops.
    """
    embeddings = teacher.embed(crops)
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if len(bad):
        shown = ", ".join(names[row] for row in bad[:3])
        raise EngineFailure(
            f"the teacher {teacher.name} gives NaN, infinity or nothing for {len(bad)} of {len(crops)} crops ({shown})",
            remedy="check its preprocessing, or choose another teacher: nothing can be learned from this one",
        )
    unit: NDArray[np.float32] = embeddings / norms
    return unit


class _Artifact:
    """A `Teacher` from an artifact's folder."""

    def __init__(self, path: Path, *, trusted: bool) -> None:
        self._engine = open_artifact(path, trusted=trusted)
        self._preprocessing = self._engine.manifest.preprocessing
        self.name = self._engine.manifest.name
        self.sha256 = sha256_of(path / MANIFEST_FILE)
        self.identity = self.sha256
        self.size = (self._preprocessing.height, self._preprocessing.width)
        self.precision = self._engine.manifest.precision.built

    def embed(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Teacher.embed`."""
        return self._engine.embed(model_input(crops, self._preprocessing, color="rgb"), normalize=False)

    def close(self) -> None:
        """See `Teacher.close`."""
        self._engine.close()


class _Backbone:
    """A `Teacher` from a checkpoint, which tells by its keys which backbone it is."""

    precision = "fp32"

    def __init__(self, path: Path) -> None:
        checkpoint = Checkpoint.read(path)
        card = identify(checkpoint)
        self._reversed = card.preprocessing.color == "bgr"
        self._embedder = CropEmbedder(load_backbone(card, checkpoint)[0], card.preprocessing)
        self.name = path.name
        self.sha256 = self.identity = checkpoint.sha256
        self.size = (card.preprocessing.height, card.preprocessing.width)

    def embed(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Teacher.embed`."""
        ordered = crops[:, ::-1] if self._reversed else crops
        with torch.inference_mode():
            chunks = [
                self._embedder(torch.from_numpy(np.ascontiguousarray(ordered[start : start + _BATCH])))
                for start in range(0, len(crops), _BATCH)
            ]
        embeddings: NDArray[np.float32] = torch.cat(chunks).numpy()
        return embeddings

    def close(self) -> None:
        """See `Teacher.close`; torch does so by itself."""
