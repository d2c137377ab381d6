"""A configuration in other tools' words: the way back of `schemas`, checked by going there and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reidkit.runtime.errors import InvalidConfig, did_you_mean
from reidkit.runtime.tracking.auto_thresholds import AUTO
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.schemas import IN_SECONDS, convert

Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Translation:
    """A configuration under another tool's keys.

    Attributes:
        settings: key and value, as that tool's file has them.
        lost: fields of `BotSortConfig` that the tool has no words for: what they are, what they would be there.
    """

    settings: Settings
    lost: dict[str, tuple[Any, Any]]


def translate(config: BotSortConfig, schema: str) -> Translation:
    """`config` in the words of `schema`, one of `SCHEMAS`; what those cannot say is told, not left out in silence."""
    if schema not in _WRITERS:
        raise InvalidConfig(f"unknown schema {schema!r}", remedy=did_you_mean(schema, _WRITERS))
    settings = {key: _rounded(value) for key, value in _WRITERS[schema](config).items()}
    understood = convert(schema, settings, frame_rate=config.frame_rate)
    lost: dict[str, tuple[Any, Any]] = {}
    for name, meant in _in_effect(config).items():
        if not _same(meant, found := _in_effect(understood)[name]):
            lost[name] = meant, found
    return Translation(settings, lost)


def _fields(config: BotSortConfig) -> Settings:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def _in_effect(config: BotSortConfig) -> Settings:
    """Every field, with what unconfirmed tracks take over from the others filled in."""
    fields = _fields(config)
    for name in ("min_cosine", "appearance_cost_scale"):
        if fields[f"unconfirmed_{name}"] is None:
            fields[f"unconfirmed_{name}"] = fields[name]
    return fields


def _reidkit(config: BotSortConfig) -> Settings:
    """What is not as by default, and all that lasts, in seconds: so it lasts as long at another frame rate."""
    defaults = BotSortConfig()
    besides = {"frame_rate", "auto", *IN_SECONDS.values()}
    values = {name: value for name, value in _fields(config).items() if name not in besides}
    kept = {name: value for name, value in values.items() if value != getattr(defaults, name)}
    seconds = {
        key: round(getattr(config, name) / config.frame_rate, 6)
        for key, name in IN_SECONDS.items()
        if getattr(config, name) or getattr(defaults, name)
    }
    return kept | seconds | dict.fromkeys(config.auto, AUTO)


def _shared(config: BotSortConfig) -> Settings:
    return {
        "track_high_thresh": config.high_score,
        "track_low_thresh": config.low_score,
        "new_track_thresh": config.new_track_score,
        "match_thresh": config.match_cost,
    }


def _buffer(config: BotSortConfig) -> Settings:
    """`track_buffer` counts frames at 30 frames/s and is rounded down when it is scaled."""
    return {"track_buffer": math.ceil(round(config.max_lost_frames * 30 / config.frame_rate, 6))}


def _motion(config: BotSortConfig) -> str:
    """The authors' name of the method, or of what comes nearest."""
    names = {"sparse_flow": "sparseOptFlow", "auto": "sparseOptFlow", "file": "none"}
    return names.get(config.camera_motion, config.camera_motion)


def _official(config: BotSortConfig) -> Settings:
    return {
        **_shared(config),
        **_buffer(config),
        "proximity_thresh": 1 - config.min_iou_for_appearance,
        "appearance_thresh": (1 - config.min_cosine) / 2,
        "with_reid": config.with_reid,
        "mot20": not config.fuse_score,
        "cmc_method": _motion(config),
    }


def _ultralytics(config: BotSortConfig) -> Settings:
    return {
        "tracker_type": "botsort",
        **_shared(config),
        **_buffer(config),
        "fuse_score": config.fuse_score,
        "gmc_method": _motion(config),
        "proximity_thresh": config.min_iou_for_appearance,
        "appearance_thresh": (1 + config.min_cosine) / 2,
        "with_reid": config.with_reid,
        "model": config.reid_model or "auto",
    }


def _boxmot(config: BotSortConfig) -> Settings:
    scale = config.unconfirmed_appearance_cost_scale or config.appearance_cost_scale or 1.0
    return {
        **_shared(config),
        **_buffer(config),
        "proximity_thresh": 1 - config.min_iou_for_appearance,
        "appearance_thresh": 1 - config.min_cosine,
        "unconfirmed_emb_scale": 1 / scale,
        "second_match_thresh": config.second_match_cost,
        "unconfirmed_match_thresh": config.unconfirmed_match_cost,
        "fuse_first_associate": config.fuse_score,
        "use_embeddings": config.with_reid,
        "use_cmc": config.camera_motion != "none",
        "cmc_method": _motion(config),
    }


def _mivolo(config: BotSortConfig) -> Settings:
    settings = {
        **_shared(config),
        "with_reid": config.with_reid,
        "fuse_score": config.fuse_score,
        "proximity_thresh": config.min_iou_for_appearance,
        "appearance_thresh": config.min_cosine,
        "model": config.reid_model,
        "alpha": config.ema_weight,
        "nn_budget": config.long_term_history,
        "max_age": config.max_lost_frames,
        "embedding_dim": config.embedding_dim,
        "normalize_embeddings": config.normalize_embeddings,
        "temperature": config.temperature,
        "min_confidence": config.min_embedding_score,
        "reid_thresh": config.long_term_min_cosine,
        "gmc_method": _motion(config),
    }
    return {key: value for key, value in settings.items() if value is not None}


_WRITERS: dict[str, Callable[[BotSortConfig], Settings]] = {
    "reidkit": _reidkit,
    "official": _official,
    "ultralytics": _ultralytics,
    "boxmot": _boxmot,
    "mivolo": _mivolo,
}
SCHEMAS = tuple(_WRITERS)


def _rounded(value: Any) -> Any:
    """Free of the last digit's noise: ``1 - 0.9`` is 0.1 in a file."""
    return round(value, 12) if isinstance(value, float) else value


def _same(meant: Any, found: Any) -> bool:
    if isinstance(meant, float) and isinstance(found, float):
        return math.isclose(meant, found, abs_tol=1e-9)
    return bool(meant == found)
