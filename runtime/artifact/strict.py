"""Dataclasses from plain values, as JSON and YAML give them: exactly their fields, exactly their types.

Only a field with a default may be left out.
"""

from __future__ import annotations

import dataclasses
from types import UnionType
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

Built = TypeVar("Built")


class Mismatch(ValueError):
    """A value is not what the annotation asks for; the message says where, what and what was found."""


def build(kind: type[Built], value: object, where: str) -> Built:
    """`value` as the dataclass `kind`, dataclasses in it built on the way.

    Args:
        kind: a dataclass of plain types, literals, lists, dicts, optional ones and such dataclasses.
        value: what was read.
        where: what the value is called in messages.

    Raises:
        Mismatch: a key is unknown or missing, or a value is of another type.
    """
    return cast(Built, _build(kind, value, where))


def _build(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        _expect(isinstance(value, dict), where, "an object", value)
        hints = get_type_hints(kind)
        if unknown := sorted(set(value) - set(hints), key=str):
            raise Mismatch(f"unknown key {where}.{unknown[0]}")
        optional = {field.name for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}
        if missing := sorted(set(hints) - set(value) - optional):
            raise Mismatch(f"missing key {where}.{missing[0]}")
        return kind(**{key: _build(hints[key], item, f"{where}.{key}") for key, item in value.items()})  # type: ignore[operator]
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
        raise Mismatch(f"{where} must be {expected}, found {value!r}")
