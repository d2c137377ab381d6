"""The system's small text files, absent or not."""

from __future__ import annotations

from pathlib import Path


def text_of(path: Path) -> str:
    """What stands in the file, without the NUL that a device tree ends its texts with; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").rstrip("\0\n")
    except OSError:
        return ""


def values_of(text: str, separator: str) -> dict[str, str]:
    """Key by value of lines such as ``MemTotal: 24 kB``; the first line of a key counts."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, found, value = line.partition(separator)
        if found:
            values.setdefault(key.strip(), value.strip())
    return values
