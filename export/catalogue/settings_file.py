"""A tracker's settings file, edited as a careful person would: the values that are meant, and not a byte besides.

PyYAML tells where every value begins and ends; the text there is replaced, a key that is missing gets a line at the
end. The result is read again, by YAML and by the tracker, and written only if just what was meant has changed.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from reidkit.runtime.errors import InvalidConfig, InvalidFile
from reidkit.runtime.files import whole_file
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.schemas import recognise_schema

Value = str | int | float


def _as_it_is(value: Value) -> Value:
    return value


_KEYS: Mapping[str, Mapping[str, tuple[str, Callable[[Any], Value]]]] = {
    "reidkit": {
        field: (field, _as_it_is) for field in ("reid_model", "embedding_dim", "min_iou_for_appearance", "min_cosine")
    },
    "mivolo": {
        "reid_model": ("model", _as_it_is),
        "embedding_dim": ("embedding_dim", _as_it_is),
        "min_iou_for_appearance": ("proximity_thresh", _as_it_is),
        "min_cosine": ("appearance_thresh", _as_it_is),
    },
    "ultralytics": {
        "reid_model": ("model", _as_it_is),
        "min_iou_for_appearance": ("proximity_thresh", _as_it_is),
        "min_cosine": ("appearance_thresh", lambda cosine: (1 + cosine) / 2),
    },
}
"""By schema, the key and the value that say what a field of `BotSortConfig` says; see runtime/tracking/schemas.py."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What became of a settings file.

    Attributes:
        diff: the change as a unified diff; empty if there was nothing to change.
        changed: the new values by key of the file.
        not_said: fields that the file's schema has no key for.
        with_reid: whether the file has appearance switched on at all.
    """

    diff: str
    changed: dict[str, Value]
    not_said: tuple[str, ...]
    with_reid: bool


def edit_settings(path: Path, fields: Mapping[str, Value]) -> Edit:
    """Have the settings file say `fields`, in the words of its schema.

    Args:
        path: the file.
        fields: values of `BotSortConfig` fields: `reid_model`, `embedding_dim`, `min_iou_for_appearance`, `min_cosine`.

    Raises:
        InvalidFile: there is no such file, or it cannot be edited without touching more than is meant.
        InvalidConfig: it is no tracker's settings file, or its schema cannot name a model.
    """
    if not path.is_file():
        raise InvalidFile(f"there is no settings file {path}", remedy="make one, or name yours with --config")
    before = BotSortConfig.load(path.resolve())
    text = path.read_bytes().decode("utf-8")  # with its line ends as they are
    mapping = yaml.safe_load(text) or {}
    keys = _keys_of(path, mapping)
    said = {field: value for field, value in fields.items() if field in keys}
    changed = {keys[field][0]: keys[field][1](value) for field, value in said.items()}
    new_text = _edited(path, text, changed)
    _expect_same_besides(path, mapping, new_text, changed)
    if new_text != text:
        with whole_file(path.resolve()) as temporary:
            temporary.write_bytes(new_text.encode())
            shutil.copymode(path, temporary)
            _expect_only(path, before, BotSortConfig.load(temporary), said)
    old_lines, new_lines = (each.splitlines(keepends=True) for each in (text, new_text))
    lines = difflib.unified_diff(old_lines, new_lines, str(path), str(path), n=1)
    return Edit(
        diff="".join(f"{line.rstrip()}\n" for line in lines),
        changed=changed,
        not_said=tuple(field for field in fields if field not in keys),
        with_reid=before.with_reid,
    )


def _keys_of(path: Path, mapping: Mapping[str, Any]) -> Mapping[str, tuple[str, Callable[[Any], Value]]]:
    schema = mapping.get("schema") or recognise_schema(mapping)
    if schema not in _KEYS:
        raise InvalidConfig(
            f"{path} is of schema {schema}, which has no key for a model",
            remedy="name the artifact with reid-track --reid, or write the file in the keys of reidkit or mivolo",
        )
    return _KEYS[schema]


def _edited(path: Path, text: str, changed: Mapping[str, Value]) -> str:
    """The text with each value in its place. Raises `InvalidFile` where a place is not plain."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    places: dict[str, yaml.Node] = {}
    if isinstance(root, yaml.MappingNode):
        if root.flow_style:
            raise _not_plain(path, "it is all in braces")
        places = {key.value: value for key, value in root.value}
    line_end = "\r\n" if "\r\n" in text else "\n"
    added = "".join(f"{key}: {_scalar(changed[key])}{line_end}" for key in changed if key not in places)
    if added and text and not text.endswith("\n"):
        added = line_end + added
    for key in sorted(changed.keys() & places.keys(), key=lambda key: -places[key].start_mark.index):
        node = places[key]
        if not isinstance(node, yaml.ScalarNode) or node.style in ("|", ">"):
            raise _not_plain(path, f"{key} is no plain value")
        value = _scalar(changed[key])
        if node.start_mark.index == node.end_mark.index:  # nothing stands behind the colon
            value = f" {value}"
        text = text[: node.start_mark.index] + value + text[node.end_mark.index :]
    return text + added


def _scalar(value: Value) -> str:
    """The value as YAML writes it in a line."""
    if isinstance(value, float):
        value = round(value, 6)
    line: str = yaml.safe_dump([value], default_flow_style=True, width=10**6, allow_unicode=True)
    return line.strip()[1:-1]


def _expect_only(path: Path, before: BotSortConfig, after: BotSortConfig, fields: Mapping[str, Value]) -> None:
    """Hold the tracker's reading of the new file to the old one's but for `fields`."""
    wanted = dataclasses.asdict(before) | dict(fields)
    for name, found in dataclasses.asdict(after).items():
        same = found == wanted[name] or (isinstance(found, float) and math.isclose(found, wanted[name], abs_tol=1e-6))
        if not same:
            raise _not_plain(path, f"{name} would become {found!r} instead of {wanted[name]!r}")


def _expect_same_besides(path: Path, before: Mapping[str, Any], text: str, changed: Mapping[str, Value]) -> None:
    """Hold YAML's reading of the new text to the old one's but for `changed`."""
    try:
        after = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _not_plain(path, f"it would be no YAML any more ({' '.join(str(error).split())})") from error
    for key in before.keys() | after.keys():
        if key not in changed and before.get(key) != after.get(key):
            raise _not_plain(path, f"{key} would change too")


def _not_plain(path: Path, reason: str) -> InvalidFile:
    return InvalidFile(f"{path} cannot be edited safely: {reason}", remedy="edit it by hand")
