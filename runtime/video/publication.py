"""Files that appear under their name only when they are whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reidkit.runtime.errors import InvalidFile

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it replaces `path` when the block ends, and vanishes when it fails.

    A killed process leaves only the temporary (`.NAME.part`), which the next run overwrites. Raises `InvalidFile` if
    the folder cannot be written to or has no room.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.touch()
    except OSError as error:
        raise _not_written(path, error) from error
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _not_written(path, error) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _not_written(path: Path, error: OSError) -> InvalidFile:
    return InvalidFile(f"cannot write {path} ({error.strerror})", remedy="choose another output folder")
