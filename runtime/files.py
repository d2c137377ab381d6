"""Files that appear under their name only when they are whole, in folders that one run at a time writes into."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from threading import get_ident

from reidkit.runtime.errors import InvalidFile, InvalidInput

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it replaces `path` when the block ends, and vanishes when it fails.

    Of several who write at once each has its own, and the last one's stays. A killed process leaves only the temporary
    (`.NAME.….part`). Raises `InvalidFile` if the folder cannot be written to or has no room, or if `path` is a folder.
    """
    refuse_folder(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{get_ident()}.part")
    try:
        temporary.touch()
    except (OSError, ValueError) as error:  # no path can hold a zero character
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


def refuse_folder(path: Path) -> None:
    """Refuse to write a file where a folder is. Raises `InvalidFile`."""
    if path.is_dir():
        raise InvalidFile(f"cannot write {path}, which is a folder", remedy="name another output, or remove it")


def expect_place(path: Path, *, option: str) -> None:
    """Refuse a file that `whole_file` could not write, before there is work in it. Raises `InvalidFile`."""
    folder = path.absolute().parent
    if path.is_dir():
        raise InvalidFile(f"{option} {path} is a folder", remedy="name a file")
    if not folder.is_dir():
        raise InvalidFile(f"{option} {path}: there is no folder {folder}", remedy="make it, or name another file")
    if not os.access(folder, os.W_OK):
        raise InvalidFile(f"{option} {path}: {folder} cannot be written to", remedy="name another file")


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """The folder, made if need be, is this run's alone to write into for the duration of a `with` block.

    The lock is `flock` on the folder itself, which leaves nothing behind and ends with its process.

    Raises:
        InvalidFile: it cannot be made or opened.
        InvalidInput: another run writes into it.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidInput(
                f"another run is writing into {folder}", remedy="wait for it, or choose another output folder"
            ) from error
        except OSError as error:
            raise InvalidFile(f"cannot make the folder {folder} ({error.strerror})", remedy="choose another") from error
        yield


def refuse_overwriting(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse to write what is read. Raises `InvalidInput`."""
    for output, given in product(outputs, inputs):
        if output.exists() and given.exists() and given.samefile(output):
            raise InvalidInput(
                f"{given} is read, and would be overwritten or removed", remedy="choose another --output"
            )


def _not_written(path: Path, error: OSError | ValueError) -> InvalidFile:
    reason = getattr(error, "strerror", None) or error
    return InvalidFile(f"cannot write {path} ({reason})", remedy="choose another output folder")
