"""What a library compiled and keeps for the next time: each file with its digest beside it.

OpenVINO 2026.4 does not always notice that a blob was altered. Of 40 with one byte changed it computed with 17: once to
other embeddings than before, and four times to such as the self-check refuses, at every start.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from reidkit.runtime.artifact.digests import sha256_of
from reidkit.runtime.cache import usable

_DIGEST_SUFFIX = ".sha256"


def sound(folder: Path) -> Path | None:
    """The folder, made if need be, rid of all that is not as it was recorded; None where nothing can be kept."""
    if (kept := usable(folder)) is None:
        return None
    try:
        for path in _compiled(kept):
            if not _is_as_recorded(path):
                path.unlink(missing_ok=True)
                _digest_file(path).unlink(missing_ok=True)
    except OSError:
        return None
    return kept


def record(folder: Path) -> None:
    """Put the digest beside each file that has none yet.

    One that is only half written is dropped the next time, and so is a file that has none for want of room, or because
    another process removed it meanwhile.
    """
    with suppress(OSError):
        for path in _compiled(folder):
            if not _digest_file(path).exists():
                _digest_file(path).write_text(sha256_of(path), encoding="ascii")


def _is_as_recorded(path: Path) -> bool:
    try:
        return _digest_file(path).read_text(encoding="ascii", errors="replace") == sha256_of(path)
    except FileNotFoundError:
        return False


def _compiled(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and path.suffix != _DIGEST_SUFFIX]


def _digest_file(path: Path) -> Path:
    return path.with_name(path.name + _DIGEST_SUFFIX)
