"""The folder where reidkit keeps what it may lose: downloaded weights, and what was measured on this box."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reidkit.runtime.errors import InvalidFile


def cache_folder(*parts: str) -> Path:
    """`$XDG_CACHE_HOME/reidkit`, else `~/.cache/reidkit`, or a folder in it. It need not exist.

    Where the user has no home, as in a container that runs under any number, it is one that cannot be made.
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has relative paths ignored.
    base = Path(home) if Path(home).is_absolute() else _home() / ".cache"
    return base.joinpath("reidkit", *parts)


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # neither HOME nor an entry among the users
        return Path(os.devnull)


def usable(folder: Path) -> Path | None:
    """The folder, made if need be; None where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, made if need be; another process that holds it is waited for.

    Raises:
        InvalidFile: its folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise InvalidFile(
            f"cannot write to {path.parent} ({error.strerror})", remedy="XDG_CACHE_HOME names another place"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
