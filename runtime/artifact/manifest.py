"""`manifest.json`: everything the box must know about an artifact, and nothing it has to guess.

The dataclasses mirror the JSON one to one; `manifest.schema.json` beside this file documents every key. Reading
is strict: an unknown key, a missing key (but `ensemble`) or a value of another type is `ArtifactInvalid`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from reidkit.runtime.artifact.strict import Mismatch, build
from reidkit.runtime.errors import ArtifactInvalid

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Where the weights came from. `sha256` is None only for `source="random"`."""

    source: Literal["file", "embedded", "downloaded", "random"]
    file: str | None
    sha256: str | None
    licence: str | None
    dropped_keys: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneInfo:
    """Which network the engine computes."""

    name: str
    parameters: int
    weights: Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """How a crop is brought to the input size: antialiased as Pillow, else as OpenCV does it."""

    kernel: Literal["bilinear", "bicubic"]
    antialias: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalization:
    """``(pixel * scale - mean) / std`` per channel, in the colour order of the input, and who computes it."""

    where: Literal["graph", "runtime"]
    scale: float
    mean: list[float]
    std: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """What the engine's input tensor holds."""

    height: int
    width: int
    color: Literal["rgb", "bgr"]
    layout: Literal["nchw", "nhwc"]
    dtype: Literal["uint8", "float16", "float32"]
    resize: Resize
    normalization: Normalization

    def conditions(self) -> dict[str, bool]:
        """What values of the right type must fulfil to mean anything, and whether these do."""
        how = self.normalization
        return {
            "preprocessing.height and width are 1 to 4096": 0 < self.height <= 4096 and 0 < self.width <= 4096,
            "normalization.mean and std have three channels, no std is 0": (
                len(how.mean) == len(how.std) == 3 and all(how.std)
            ),
            "the numbers of normalization are finite": all(map(isfinite, (how.scale, *how.mean, *how.std))),
            "pixels that the runtime normalises are no integers": how.where == "graph" or self.dtype != "uint8",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PartInfo:
    """One network of an ensemble.

    Attributes:
        dim: width of its embedding.
        weight: length of its embedding in the joined one.
        preprocessing: the crops it was made for. The graph derives them from those that the engine takes, but for the
            kernel of their resizing, which is the engine's.
    """

    name: str
    parameters: int
    weights: Weights
    dim: int
    weight: float
    preprocessing: Preprocessing


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionInfo:
    """Principal axes onto which joined embeddings are projected, the mean taken off.

    Attributes:
        joined_dim: width before.
        crops: on how many crops they were found.
        source: where those crops are from.
        explained: share of the crops' variance that is along them.
    """

    joined_dim: int
    crops: int
    source: str
    explained: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleInfo:
    """Networks in one graph, their embeddings joined in this order: each of unit length, times its weight."""

    parts: list[PartInfo]
    projection: ProjectionInfo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """Width as measured on the built engine, and who divides by the L2 norm."""

    dim: int
    l2: Literal["runtime", "graph"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Batch sizes the engine takes: any up to `max` when `dynamic`, else exactly one of `buckets`."""

    dynamic: bool
    max: int
    buckets: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionInfo:
    """What was asked for and what was really built."""

    requested: str
    built: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """Digest and size of one file of the artifact."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The whole of `manifest.json`.

    Attributes:
        name: folder name the artifact was published under.
        backbone: the network; of an ensemble its parts' names and files, each joined by ``+``, and their sum.
        ensemble: the networks of an ensemble, None for a single one.
        target: what it was built for, e.g. ``"openvino"``; `engine` names the runtime engine that opens it.
        engine_file: file that engine opens, relative to the folder; empty in a bundle, which is built on the box.
        toolchain: versions of the libraries that built it, and what else its engine is bound to.
        built_on: machine that built it (`system`, `machine`, `processor`, `python`).
        calibration: provenance of INT8 ranges, None for float artifacts.
        parity: agreement with the reference (see `reidkit.calibration.gates`).
        gates: every gate with its status, value and limit, and all that it measured.
        thresholds: settings of `BotSortConfig` recommended for this artifact, None until measured.
        files: every file of the artifact but the manifest and its digest, by relative name.
    """

    schema_version: int
    name: str
    created: str
    reidkit_version: str
    backbone: BackboneInfo
    ensemble: EnsembleInfo | None = None
    preprocessing: Preprocessing
    embedding: Embedding
    batch: Batch
    precision: PrecisionInfo
    target: str
    engine: str
    engine_file: str
    toolchain: dict[str, str]
    built_on: dict[str, str]
    calibration: dict[str, Any] | None
    parity: dict[str, Any]
    gates: dict[str, Any]
    thresholds: dict[str, float] | None
    files: dict[str, FileRecord]

    @property
    def is_built(self) -> bool:
        """Whether it holds an engine, and is no bundle."""
        return bool(self.engine_file)

    def to_json(self) -> str:
        """The manifest as indented JSON text with a final newline."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"

    @staticmethod
    def from_json(text: str | bytes) -> Manifest:
        """Read a manifest. Raises `ArtifactInvalid` on anything but exactly the fields above."""
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ArtifactInvalid(f"manifest.json is not JSON ({error})", remedy="export the artifact again") from error
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if version != SCHEMA_VERSION:
            raise ArtifactInvalid(
                f"manifest.json has schema version {version!r}, this reidkit reads {SCHEMA_VERSION}",
                remedy="export the artifact again with this version",
            )
        try:
            return build(Manifest, raw, "manifest")
        except Mismatch as error:
            raise ArtifactInvalid(f"manifest.json: {error}", remedy="export the artifact again") from error
