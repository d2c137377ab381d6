"""A file in YAML: one mapping of names to values, each name once.

YAML itself lets the last of two equal keys win, and so what somebody changed at the top of a file may mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from reidkit.runtime.errors import InvalidFile

if TYPE_CHECKING:
    from importlib.abc import Traversable


def read_mapping(source: Path | Traversable, *, name: str | Path) -> dict[str, Any]:
    """What `source` says, which errors call `name`; nothing where it is empty.

    Raises:
        InvalidFile: it cannot be read, is no YAML, is no mapping, or says something twice.
    """
    try:
        loader = yaml.SafeLoader(source.read_text(encoding="utf-8"))
        try:
            root = loader.get_single_node()
            for key, lines in _said_twice(root):
                raise InvalidFile(f"{name}: {key} is there twice, {lines}", remedy="keep one")
            mapping = {} if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except OSError as error:
        raise InvalidFile(f"cannot read {name} ({error.strerror})") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # a date such as 2026-13-01 is a ValueError
        raise InvalidFile(f"{name} is not YAML ({' '.join(str(error).split())})") from error
    mapping = {} if mapping is None else mapping
    if not isinstance(mapping, dict):
        raise InvalidFile(f"{name} must hold 'key: value' lines, found {type(mapping).__name__}")
    for key in mapping:
        if not isinstance(key, str):
            raise InvalidFile(f"{name} must hold 'key: value' lines, found the key {key!r}")
    return mapping


def _said_twice(root: yaml.Node | None) -> Iterator[tuple[str, str]]:
    """Keys that a mapping has twice, at any depth, and where."""
    waiting: list[yaml.Node] = [] if root is None else [root]
    met: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in met:  # an alias
            continue
        met.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                waiting.append(value)
                if not isinstance(key, yaml.ScalarNode):
                    continue
                line = key.start_mark.line + 1
                if (known := (key.tag, key.value)) in lines:
                    first = lines[known]
                    yield key.value, f"in line {line}" if first == line else f"in lines {first} and {line}"
                lines[known] = line
