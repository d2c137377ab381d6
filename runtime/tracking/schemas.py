"""Reading `botsort.yaml`, and what four tools mean by the same keys.

`appearance_thresh: 0.25` is a largest distance to the BoT-SORT authors, a smallest similarity to ultralytics, another
distance to boxmot and a smallest cosine to MiVOLO. A file therefore says whose words it speaks (`schema:`); each schema
below is one table from that tool's keys to the fields of `BotSortConfig`, with that tool's own defaults for what a
file leaves out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from reidkit.runtime.errors import InvalidConfig, InvalidFile, did_you_mean
from reidkit.runtime.tracking.auto_thresholds import AUTO, AUTO_FIELDS, check_auto
from reidkit.runtime.tracking.config import BotSortConfig

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Key:
    """One key of a schema: `to` gives the config fields that its value means."""

    to: Callable[[Any], Fields]
    kind: type = float


@dataclass(frozen=True, slots=True)
class _Schema:
    """A tool's keys, its defaults for those that a file leaves out, and what only several keys together mean."""

    keys: Mapping[str, _Key]
    defaults: Mapping[str, Any]
    together: Callable[[Mapping[str, Any]], Fields] = lambda _: {}


def read_config(path: str | Path, *, schema: str | None, frame_rate: float | None) -> BotSortConfig:
    """See `BotSortConfig.load`."""
    mapping, declared = _read(path)
    if schema is not None and declared is not None and schema != declared:
        raise InvalidConfig(f"{path} says schema: {declared}, but schema {schema!r} was asked for")
    try:
        return convert(schema or declared or recognise_schema(mapping), mapping, frame_rate=frame_rate)
    except InvalidConfig as error:
        raise InvalidConfig(f"{path}: {error.message}", remedy=error.remedy) from error


def schema_of(path: str | Path) -> str:
    """The schema that a settings file declares, else the one its keys show; errors as for `BotSortConfig.load`."""
    mapping, declared = _read(path)
    return declared or recognise_schema(mapping)


def convert(schema: str, mapping: Mapping[str, Any], *, frame_rate: float | None) -> BotSortConfig:
    """See `BotSortConfig.from_schema`."""
    if schema == "reidkit":
        return _native(mapping, frame_rate=frame_rate)
    if schema not in _SCHEMAS:
        raise InvalidConfig(f"unknown schema {schema!r}", remedy=did_you_mean(schema, ["reidkit", *_SCHEMAS]))
    table = _SCHEMAS[schema]
    given = {key: _plain(value) for key, value in mapping.items()}
    _refuse_unknown(schema, given, table.keys)
    if "max_age" in given and "track_buffer" in given:
        raise InvalidConfig("max_age and track_buffer both say how long a lost track is kept", remedy="keep one")
    rate = _rate(given.pop("frame_rate", 30.0) if frame_rate is None else frame_rate)
    given.pop("frame_rate", None)
    auto = _left_to_the_artifact(given, table.keys)
    settings = {**table.defaults, **given}
    fields: Fields = {"frame_rate": rate, "auto": auto}
    for key, value in settings.items():
        fields |= table.keys[key].to(_typed(key, value, table.keys[key].kind))
    fields |= table.together(settings)
    if "track_buffer" in settings:
        fields["max_lost_frames"] = int(rate / 30.0 * settings["track_buffer"])  # it counts frames at 30 frames/s
    if "min_cosine" in auto:
        fields["unconfirmed_min_cosine"] = None  # the same
    return BotSortConfig(**fields)


def _left_to_the_artifact(given: Fields, keys: Mapping[str, _Key]) -> tuple[str, ...]:
    """Take the thresholds that say ``auto`` out of `given`; return the fields that they mean."""
    fields: list[str] = []
    for key in [key for key, value in given.items() if value == AUTO and keys[key].kind is float]:
        del given[key]
        fields += [name for name in keys[key].to(0.5) if name in AUTO_FIELDS] or check_auto([key])
    return tuple(fields)


def _read(path: str | Path) -> tuple[Fields, str | None]:
    """The keys of a settings file, and the schema it declares."""
    source = _locate(Path(path))
    try:
        mapping = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidFile(f"cannot read tracker settings from {path} ({' '.join(str(error).split())})") from error
    mapping = {} if mapping is None else mapping
    if not isinstance(mapping, dict) or not all(isinstance(key, str) for key in mapping):
        raise InvalidFile(f"{path} must hold 'key: value' lines, found {type(mapping).__name__}")
    return mapping, mapping.pop("schema", None)


def _locate(path: Path) -> Any:
    """The file at `path`, else the packaged preset of that name."""
    presets = files("reidkit.runtime.tracking") / "presets"
    if path.is_file():
        return path
    if path.name == str(path) and (presets / path.name).is_file():
        return presets / path.name
    names = sorted(preset.name for preset in presets.iterdir() if preset.name.endswith(".yaml"))
    raise InvalidFile(f"no tracker settings at {path}", remedy=f"give a file, or a preset: {', '.join(names)}")


def recognise_schema(mapping: Mapping[str, Any]) -> str:
    """The schema of a file that names none. Raises `InvalidConfig` where its keys leave doubt."""
    if mapping.keys() & _ONLY_MIVOLO:
        return "mivolo"
    if any("thresh" in key or key == "track_buffer" for key in mapping):
        raise InvalidConfig(
            "its keys mean different things in different tools",
            remedy=f"add a line 'schema: …' with one of {', '.join(_SCHEMAS)}",
        )
    return "mivolo" if "model" in mapping else "reidkit"


_IN_SECONDS = {
    "max_lost_s": "max_lost_frames",
    "long_term_lost_s": "long_term_lost_frames",
    "economy_refresh_s": "economy_refresh_frames",
}
"""Keys of a file of our own that count in seconds what the settings count in frames."""


def _native(mapping: Mapping[str, Any], *, frame_rate: float | None) -> BotSortConfig:
    known = {field.name for field in dataclasses.fields(BotSortConfig)} - {"auto"}
    _refuse_unknown("reidkit", mapping, known | _IN_SECONDS.keys())
    auto = [name for name, value in mapping.items() if value == AUTO and name != "camera_motion"]
    fields = {name: value for name, value in mapping.items() if name not in auto}
    fields["auto"] = check_auto(auto)
    fields["frame_rate"] = rate = _rate(fields.get("frame_rate", 30.0) if frame_rate is None else frame_rate)
    for key, field in _IN_SECONDS.items():
        if key in fields:
            if field in fields:
                raise InvalidConfig(f"{key} and {field} both say how long", remedy="keep one")
            fields[field] = round(_typed(key, fields.pop(key), float) * rate)
    return BotSortConfig(**fields)


def _rate(value: Any) -> float:
    """A frame rate, checked before anything is reckoned with it."""
    return float(BotSortConfig(frame_rate=value).frame_rate)


def _refuse_unknown(schema: str, mapping: Mapping[str, Any], known: Any) -> None:
    for key in mapping:
        if key not in known:
            raise InvalidConfig(f"unknown key '{key}' in schema {schema}", remedy=did_you_mean(key, known))


def _typed(key: str, value: Any, kind: type) -> Any:
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool) or (kind is float and not math.isfinite(value)):
        raise InvalidConfig(f"{key} must be of type {kind.__name__}, found {value!r}")
    return value


def _plain(value: Any) -> Any:
    """The default, where boxmot's files give a search space instead of a value."""
    return value["default"] if isinstance(value, dict) and "default" in value else value


def _field(name: str) -> Callable[[Any], Fields]:
    return lambda value: {name: value}


def _flow(value: str) -> Fields:
    names = {
        "none": "none",
        "None": "none",
        "sparseOptFlow": "sparse_flow",
        "sof": "sparse_flow",
        "sparse_flow": "sparse_flow",
        "orb": "orb",
        "ecc": "ecc",
        "auto": "auto",  # ours, in anybody's file
    }
    if value not in names:
        raise InvalidConfig(f"camera motion method {value!r} is not offered", remedy=f"use one of {', '.join(names)}")
    return {"camera_motion": names[value]}


def _only(*allowed: Any) -> Callable[[Any], Fields]:
    """A key that may be there but says nothing new."""

    def check(value: Any) -> Fields:
        if value not in allowed:
            raise InvalidConfig(f"{value!r} is not offered here", remedy=f"use {' or '.join(map(repr, allowed))}")
        return {}

    return check


_SHARED = {
    "tracker_type": _Key(_only("botsort"), str),
    "track_high_thresh": _Key(_field("high_score")),
    "track_low_thresh": _Key(_field("low_score")),
    "new_track_thresh": _Key(_field("new_track_score")),
    "track_buffer": _Key(lambda _: {}, int),
    "match_thresh": _Key(_field("match_cost")),
    "with_reid": _Key(_field("with_reid"), bool),
    "frame_rate": _Key(lambda _: {}),
    "gmc_method": _Key(_flow, str),
    "cmc_method": _Key(_flow, str),
}
_OFFICIAL_DEFAULTS = {
    "track_high_thresh": 0.6,
    "track_low_thresh": 0.1,
    "new_track_thresh": 0.7,
    "match_thresh": 0.8,
}


def _boxmot_unconfirmed(settings: Mapping[str, Any]) -> Fields:
    """Of unconfirmed tracks boxmot divides the distance first, and compares it with the same threshold then."""
    scale = settings["unconfirmed_emb_scale"]
    if scale <= 0:
        raise InvalidConfig(f"unconfirmed_emb_scale must be above 0, found {scale!r}")
    min_cosine = max(-1.0, 1 - settings["appearance_thresh"] * scale)
    return {"unconfirmed_appearance_cost_scale": 1 / scale, "unconfirmed_min_cosine": min_cosine}


_SCHEMAS = {
    # The BoT-SORT authors: both thresholds are largest distances, the appearance distance is (1 - cos) / 2.
    "official": _Schema(
        keys={
            **_SHARED,
            "proximity_thresh": _Key(lambda value: {"min_iou_for_appearance": 1 - value}),
            "appearance_thresh": _Key(lambda value: {"min_cosine": 1 - 2 * value}),
            "mot20": _Key(lambda value: {"fuse_score": not value}, bool),
        },
        defaults={**_OFFICIAL_DEFAULTS, "track_buffer": 30, "proximity_thresh": 0.5, "appearance_thresh": 0.25},
    ),
    # ultralytics >= 8.3.114: both are smallest similarities, of IoU and of 1 - (1 - cos) / 2.
    "ultralytics": _Schema(
        keys={
            **_SHARED,
            "proximity_thresh": _Key(_field("min_iou_for_appearance")),
            "appearance_thresh": _Key(lambda value: {"min_cosine": 2 * value - 1}),
            "fuse_score": _Key(_field("fuse_score"), bool),
            "model": _Key(lambda value: {} if value == "auto" else {"reid_model": value}, str),
        },
        defaults={
            **_OFFICIAL_DEFAULTS,
            "track_high_thresh": 0.25,
            "new_track_thresh": 0.25,
            "track_buffer": 30,
            "proximity_thresh": 0.5,
            "appearance_thresh": 0.8,
            "with_reid": False,
            "gmc_method": "sparseOptFlow",
        },
    ),
    # boxmot 25: largest distances, the appearance distance is 1 - cos, halved (or so) for unconfirmed tracks only.
    "boxmot": _Schema(
        keys={
            **_SHARED,
            "proximity_thresh": _Key(lambda value: {"min_iou_for_appearance": 1 - value}),
            "appearance_thresh": _Key(lambda value: {"min_cosine": 1 - value, "appearance_cost_scale": 1.0}),
            "unconfirmed_emb_scale": _Key(lambda _: {}),
            "second_match_thresh": _Key(_field("second_match_cost")),
            "unconfirmed_match_thresh": _Key(_field("unconfirmed_match_cost")),
            "fuse_first_associate": _Key(_field("fuse_score"), bool),
            "use_embeddings": _Key(_field("with_reid"), bool),
            "use_cmc": _Key(lambda value: {} if value else {"camera_motion": "none"}, bool),
            "asso_func": _Key(_only("iou"), str),
            "removed_stracks_buffer": _Key(lambda _: {}, int),
        },
        defaults={
            "track_high_thresh": 0.6296854875023994,
            "track_low_thresh": 0.1014392537025336,
            "new_track_thresh": 0.6246494191492591,
            "track_buffer": 40,
            "match_thresh": 0.7722224024589055,
            "proximity_thresh": 0.6084297894561342,
            "appearance_thresh": 0.6188818853936099,
            "unconfirmed_emb_scale": 2.5445206391993294,
            "second_match_thresh": 0.28795081514328974,
            "unconfirmed_match_thresh": 0.41148010638233784,
            "cmc_method": "sof",
            "use_cmc": True,
        },
        together=_boxmot_unconfirmed,
    ),
    # MiVOLO's advanced ReID settings: IoU and cosine as they are, ages in frames, a long-term stage.
    "mivolo": _Schema(
        keys={
            **_SHARED,
            "fuse_score": _Key(_field("fuse_score"), bool),
            "proximity_thresh": _Key(_field("min_iou_for_appearance")),
            "appearance_thresh": _Key(_field("min_cosine")),
            "model": _Key(_field("reid_model"), str),
            "alpha": _Key(_field("ema_weight")),
            "nn_budget": _Key(_field("long_term_history"), int),
            "max_age": _Key(_field("max_lost_frames"), int),
            "embedding_dim": _Key(_field("embedding_dim"), int),
            "normalize_embeddings": _Key(_field("normalize_embeddings"), bool),
            "temperature": _Key(_field("temperature")),
            "min_confidence": _Key(_field("min_embedding_score")),
            "reid_thresh": _Key(_field("long_term_min_cosine")),
        },
        defaults={
            **_OFFICIAL_DEFAULTS,
            "proximity_thresh": 0.2,
            "appearance_thresh": 0.25,
            "max_age": 50,
        },
    ),
}
_ONLY_MIVOLO = {"alpha", "nn_budget", "max_age", "normalize_embeddings", "temperature", "min_confidence", "reid_thresh"}
