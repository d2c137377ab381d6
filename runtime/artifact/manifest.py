"""`manifest.json`: everything the box must know about an artifact, and nothing it has to guess.

The dataclasses mirror the JSON one to one; `manifest.schema.json` beside this file documents every key. Reading
is strict: an unknown key, a missing key or a value of another type is `ArtifactInvalid`, never a default.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from reidkit.runtime.errors import ArtifactInvalid

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Where the weights came from. `sha256` is None only for `source="random"`."""

    source: Literal["file", "embedded", "random"]
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
    """How a crop is brought to the input size; `antialias` as PIL does it, without it as OpenCV's INTER_LINEAR."""

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
        target: what it was built for, e.g. ``"openvino"``; `engine` names the runtime engine that opens it.
        engine_file: file that engine opens, relative to the folder.
        toolchain: versions of the libraries that built it.
        built_on: machine that built it (`system`, `machine`, `processor`, `python`).
        calibration: provenance of INT8 ranges, None for float artifacts.
        parity: agreement with the reference (see `reidkit.calibration.gates`).
        gates: every gate with its status, value and limit.
        thresholds: recommended tracker thresholds for this artifact, None until measured.
        files: every file of the artifact but the manifest and its digest, by relative name.
    """

    schema_version: int
    name: str
    created: str
    reidkit_version: str
    backbone: BackboneInfo
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
        manifest: Manifest = _build(Manifest, raw, "manifest")
        return manifest


def _build(kind: Any, value: Any, where: str) -> Any:
    """`value` checked against the annotation `kind`, dataclasses built on the way."""
    if dataclasses.is_dataclass(kind):
        _expect(isinstance(value, dict), where, "an object", value)
        hints = get_type_hints(kind)
        if unknown := sorted(set(value) - set(hints)):
            raise ArtifactInvalid(
                f"manifest.json: unknown key {where}.{unknown[0]}", remedy="export the artifact again"
            )
        if missing := sorted(set(hints) - set(value)):
            raise ArtifactInvalid(
                f"manifest.json: missing key {where}.{missing[0]}", remedy="export the artifact again"
            )
        return kind(**{key: _build(hint, value[key], f"{where}.{key}") for key, hint in hints.items()})  # type: ignore[operator]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        _expect(value in arguments, where, f"one of {', '.join(map(repr, arguments))}", value)
        return value
    if origin is list:
        _expect(isinstance(value, list), where, "a list", value)
        return [_build(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        _expect(isinstance(value, dict), where, "an object", value)
        return {key: _build(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is UnionType:
        return None if value is None else _build(arguments[0], value, where)
    if kind is float:
        _expect(isinstance(value, (int, float)) and not isinstance(value, bool), where, "a number", value)
        return float(value)
    if kind is not Any:
        _expect(type(value) is kind, where, f"of type {kind.__name__}", value)
    return value


def _expect(holds: bool, where: str, expected: str, value: Any) -> None:
    if not holds:
        raise ArtifactInvalid(
            f"manifest.json: {where} must be {expected}, found {value!r}", remedy="export the artifact again"
        )
