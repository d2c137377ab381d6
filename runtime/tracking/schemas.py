"""Reading `botsort.yaml`, and what four tools mean by the same keys.

`appearance_thresh: 0.25` is a largest distance to the BoT-SORT authors, a smallest similarity to ultralytics, another
distance to boxmot and a smallest cosine to MiVOLO. A file therefore says whose words it speaks (`schema:`); each schema
below is one table from that tool's keys to the fields of `BotSortConfig`, with that tool's own defaults for what a
file leaves out.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from reidkit.runtime.errors import InvalidConfig, InvalidFile, did_you_mean
from reidkit.runtime.tracking.arguments import is_number
from reidkit.runtime.tracking.auto_thresholds import AUTO, AUTO_FIELDS, check_auto
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.yaml_mapping import read_mapping

Fields = dict[str, Any]
Origins = dict[str, list[str]]
"""By a field of `BotSortConfig`, what was written that it comes from: ``key: value``."""


@dataclass(frozen=True, slots=True)
class _Key:
    """One key of a schema: `to` gives the config fields that its value means."""

    to: Callable[[Any], Fields]
    kind: type = float


@dataclass(frozen=True, slots=True)
class _Schema:
    """A tool's keys, its defaults for those that a file leaves out, and what the `combined` ones mean together."""

    keys: Mapping[str, _Key]
    defaults: Mapping[str, Any]
    together: Callable[[Mapping[str, Any]], Fields] = lambda _: {}
    combined: tuple[str, ...] = ()


def read_config(path: str | Path, *, schema: str | None, frame_rate: float | None) -> BotSortConfig:
    """See `BotSortConfig.load`."""
    mapping, declared = _read(path)
    if schema is not None and declared is not None and schema != declared:
        raise InvalidConfig(f"{path} says schema: {declared}, but schema {schema!r} was asked for")
    try:
        config = convert(schema or declared or recognise_schema(mapping), mapping, frame_rate=frame_rate)
    except InvalidConfig as error:
        raise InvalidConfig(f"{path}: {error.message}", remedy=error.remedy) from error
    if config.camera_motion_file is None:
        return config
    beside = Path(path).parent.absolute() / config.camera_motion_file
    return dataclasses.replace(config, camera_motion_file=str(beside))


def schema_of(path: str | Path) -> str:
    """The schema that a settings file declares, else the one its keys show; errors as for `BotSortConfig.load`."""
    mapping, declared = _read(path)
    return declared or recognise_schema(mapping)


def convert(schema: str, mapping: Mapping[str, Any], *, frame_rate: float | None) -> BotSortConfig:
    """See `BotSortConfig.from_schema`."""
    if not isinstance(mapping, Mapping):
        raise InvalidConfig(f"settings are a mapping of keys to values, found {mapping!r}")
    if not isinstance(schema, str) or schema not in ("reidkit", *_SCHEMAS):
        raise InvalidConfig(f"unknown schema {schema!r}", remedy=did_you_mean(str(schema), ["reidkit", *_SCHEMAS]))
    origins: Origins = {}
    try:
        if schema == "reidkit":
            return BotSortConfig(**_native(mapping, frame_rate, origins))
        return BotSortConfig(**_translated(schema, mapping, frame_rate, origins))
    except InvalidConfig as error:
        raise InvalidConfig(_as_written(error.message, origins), remedy=error.remedy) from error


def _translated(schema: str, mapping: Mapping[str, Any], frame_rate: float | None, origins: Origins) -> Fields:
    """The fields that `mapping` means in another tool's words; `origins` is told which keys they come from."""
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
        meant = _meant_by(table.keys[key], key, value)
        fields |= meant
        for name in meant:
            origins[name] = [f"{key}: {value!r}"] if name != key else []
    combined = table.together(settings)
    fields |= combined
    for name in combined:
        origins[name] = [f"{key}: {settings[key]!r}" for key in table.combined]
    if "track_buffer" in settings:  # it counts frames at 30 frames/s
        fields["max_lost_frames"] = int(_counted(rate / 30.0, settings["track_buffer"]))
        origins["max_lost_frames"] = [f"track_buffer: {settings['track_buffer']!r}"]
    if "min_cosine" in auto:
        fields["unconfirmed_min_cosine"] = None  # the same
    return fields


def _meant_by(key: _Key, name: str, value: Any) -> Fields:
    """The fields that one key's value means."""
    try:
        return key.to(_typed(name, value, key.kind))
    except InvalidConfig as error:
        message = error.message if error.message.startswith(name) else f"{name}: {error.message}"
        raise InvalidConfig(message, remedy=error.remedy) from error


def _counted(frames: float, times: float) -> float:
    """Their product, short of what no range allows: whole numbers may be larger than a float can say."""
    return frames * min(max(times, -1e9), 1e9)


def _as_written(message: str, origins: Origins) -> str:
    """`message`, which speaks of our own fields, after what was written that became of them."""
    written = [each for name, origin in origins.items() if re.search(rf"\b{name}\b", message) for each in origin]
    return f"{', '.join(dict.fromkeys(written))}: {message}" if written else message


def _left_to_the_artifact(given: Fields, keys: Mapping[str, _Key]) -> tuple[str, ...]:
    """Take the thresholds that say ``auto`` out of `given`; return the fields that they mean."""
    fields: list[str] = []
    for key in [key for key, value in given.items() if value == AUTO and keys[key].kind is float]:
        del given[key]
        fields += [name for name in keys[key].to(0.5) if name in AUTO_FIELDS] or check_auto([key])
    return tuple(fields)


def _read(path: str | Path) -> tuple[Fields, str | None]:
    """The keys of a settings file, and the schema it declares."""
    mapping = read_mapping(_locate(Path(path)), name=path)
    declared = mapping.pop("schema", None)
    if declared is not None and not isinstance(declared, str):
        known = ", ".join(["reidkit", *_SCHEMAS])
        raise InvalidConfig(f"{path}: schema is {declared!r}, no name", remedy=f"give one of {known}")
    return mapping, declared


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
    """The schema of a file that names none: our own, unless it has a key that MiVOLO's settings have and ours do not.

    Raises `InvalidConfig` where its keys leave doubt.
    """
    only_ours = mapping.keys() & (_own_keys() - _SCHEMAS["mivolo"].keys.keys())
    if only_mivolo := mapping.keys() & _only_of("mivolo"):
        if only_ours:
            raise InvalidConfig(
                f"{', '.join(sorted(only_mivolo))}: MiVOLO's words, and {', '.join(sorted(only_ours))}: reidkit's own",
                remedy="write all keys in the words of one of them",
            )
        return "mivolo"
    foreign = {key for schema in _SCHEMAS.values() for key in schema.keys} - _own_keys() - {"model"}
    if any("thresh" in key or key in foreign for key in mapping):
        raise InvalidConfig(
            "its keys mean different things in different tools",
            remedy=f"add a line 'schema: …' with one of {', '.join(_SCHEMAS)}",
        )
    return "mivolo" if "model" in mapping and not only_ours else "reidkit"


def _own_keys() -> set[str]:
    """What a file of our own may say."""
    return {field.name for field in dataclasses.fields(BotSortConfig)} - {"auto"} | IN_SECONDS.keys()


def _only_of(schema: str) -> set[str]:
    """The keys that no other tool has, nor we."""
    others = {key for name, other in _SCHEMAS.items() if name != schema for key in other.keys}
    return _SCHEMAS[schema].keys.keys() - others - _own_keys()


IN_SECONDS = {
    "max_lost_s": "max_lost_frames",
    "long_term_lost_s": "long_term_lost_frames",
    "economy_refresh_s": "economy_refresh_frames",
}
"""Keys of a file of our own that count in seconds what the settings count in frames."""


def _native(mapping: Mapping[str, Any], frame_rate: float | None, origins: Origins) -> Fields:
    """The fields of `BotSortConfig` that a mapping of our own means; `origins` as for `_translated`."""
    _refuse_unknown("reidkit", mapping, _own_keys())
    auto = [name for name, value in mapping.items() if value == AUTO and name != "camera_motion"]
    fields = {name: value for name, value in mapping.items() if name not in auto}
    fields["auto"] = check_auto(auto)
    fields["frame_rate"] = rate = _rate(fields.get("frame_rate", 30.0) if frame_rate is None else frame_rate)
    for key, field in IN_SECONDS.items():
        if key in fields:
            if field in fields:
                raise InvalidConfig(f"{key} and {field} both say how long", remedy="keep one")
            seconds = _typed(key, fields.pop(key), float)
            fields[field] = round(_counted(rate, seconds))
            origins[field] = [f"{key}: {seconds!r}"]
    return fields


def _rate(value: Any) -> float:
    """A frame rate, checked before anything is reckoned with it."""
    return float(BotSortConfig(frame_rate=value).frame_rate)


def _refuse_unknown(schema: str, mapping: Mapping[str, Any], known: Any) -> None:
    for key in mapping:
        if key not in known:
            raise InvalidConfig(f"unknown key '{key}' in schema {schema}", remedy=did_you_mean(str(key), known))


def _typed(key: str, value: Any, kind: type) -> Any:
    fits = is_number(value) if kind is float else isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
    if not fits:
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
        combined=("appearance_thresh", "unconfirmed_emb_scale"),
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
