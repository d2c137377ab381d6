"""The limits of all gates: packaged in `limits.yaml`, or partly a file of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reidkit.calibration.gates.embedding import EmbeddingLimits
from reidkit.runtime.artifact.strict import Mismatch, build
from reidkit.runtime.errors import InvalidConfig
from reidkit.runtime.yaml_mapping import read_mapping

_PACKAGED = Path(__file__).with_name("limits.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalLimits:
    """How far a network may fall below its reference, in points of 0 to 100."""

    map_drop: float
    rank1_drop: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingLimits:
    """How far tracking may change: decisions in percent, scores in points of 0 to 100."""

    changed_decisions: float
    idf1_drop: float
    hota_drop: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorthLimits:
    """How much of the best float artifact's time may be taken."""

    time_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """What `limits.yaml` says; `embedding` is by precision."""

    embedding: dict[str, EmbeddingLimits]
    retrieval: RetrievalLimits
    tracking: TrackingLimits
    worth_it: WorthLimits


def read_limits(path: Path | None = None) -> GateLimits:
    """The packaged limits, with those in the YAML or JSON file `path` in their place.

    Raises:
        InvalidFile: the file is missing, is no YAML, is no mapping, or says something twice.
        InvalidConfig: a key is unknown, or a value is no number.
    """
    packaged = _mapping(_PACKAGED)
    try:
        return build(GateLimits, packaged if path is None else _merged(packaged, _mapping(path)), "thresholds")
    except Mismatch as error:
        raise InvalidConfig(f"{path or _PACKAGED}: {error}", remedy=f"its keys are those of {_PACKAGED}") from error


def _mapping(path: Path) -> dict[str, Any]:
    if not (content := read_mapping(path, name=path)):
        raise InvalidConfig(f"{path} holds no limits", remedy=f"write some of those in {_PACKAGED}")
    return content


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` in it; unknown keys are kept, for the strict reading to refuse."""
    both = {
        key: _merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in over.items()
    }
    return {**base, **both}


DEFAULT_LIMITS = read_limits()
EMBEDDING_LIMITS: Mapping[str, EmbeddingLimits] = DEFAULT_LIMITS.embedding
