"""Does a file look like weights, and like all of them? Judged by its outside, without unpickling a byte."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

_LONGEST_HEADER = 100_000_000


def fault(path: Path) -> str | None:
    """What keeps the file from being weights; None where nothing speaks against it.

    Known are PyTorch's zip archives, the pickles that it wrote before 1.6, and safetensors. A truncated archive or
    safetensors file is told, a truncated pickle is not.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return "it is empty"
    if head.startswith(b"PK"):
        return None if zipfile.is_zipfile(path) else "it is an archive without its end"
    if head[0] == 0x80 and 2 <= head[1] <= 5:
        return None
    if head[8:9] == b"{":
        return _safetensors_fault(path, int.from_bytes(head[:8], "little"))
    if head.lstrip()[:1] in (b"<", b"{"):
        return "it is text, such as a web page"
    return "it is neither a PyTorch file nor safetensors"


def _safetensors_fault(path: Path, header_bytes: int) -> str | None:
    if header_bytes > _LONGEST_HEADER:
        return "it is neither a PyTorch file nor safetensors"
    with path.open("rb") as file:
        file.seek(8)
        header = file.read(header_bytes)
    try:
        ends = [entry["data_offsets"][1] for key, entry in json.loads(header).items() if key != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return "its safetensors header cannot be read"
    missing = 8 + header_bytes + max(ends, default=0) - path.stat().st_size
    return f"{abs(missing):,} bytes are {'missing' if missing > 0 else 'too many'}" if missing else None
