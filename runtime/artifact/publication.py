"""A folder appears under its name whole, or not at all, whenever the power fails.

    out/.osnet-fp32.k3x9_.reidkit-partial/   workspace, locked while its process lives
        new/                                 written here, then fsynced,
        old/                                 the artifact it replaces, set aside,
    out/osnet-fp32/                          and renamed to here

Each step is one `rename`, so at no moment does the final name lead to half an artifact. Between setting the old one
aside and renaming the new one in, the name leads nowhere for an instant; a process killed right there leaves the old
artifact in its workspace, and the next publication puts it back. The lock is `flock` on the workspace folder itself:
the kernel drops it with its process, so a workspace that can be locked belongs to a dead one, and is swept.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from reidkit.runtime.artifact.digests import MANIFEST_FILE
from reidkit.runtime.errors import InvalidFile, InvalidInput

_SUFFIX = ".reidkit-partial"
_ASIDE = "old"


@contextmanager
def publication(folder: Path, *, known_by: str = MANIFEST_FILE, kind: str = "an artifact") -> Iterator[Path]:
    """An empty folder to write into, which becomes `folder` when the block ends without an exception.

    One of its kind that has the name already is replaced. After an exception nothing is left behind, nor any folder
    above that was made for it.

    Args:
        folder: to publish.
        known_by: name of the file that every folder of its kind has.
        kind: what it is, for the error's text.

    Raises:
        InvalidInput: `folder` exists and is of no such kind; it is not overwritten.
        InvalidFile: it cannot be written there.
    """
    folder = folder.absolute()
    expect_replaceable(folder, known_by=known_by, kind=kind)
    with workspace(folder) as own:
        new = own / "new"
        with writing(folder):
            new.mkdir()
        yield new
        with writing(folder):
            _sync_tree(new)
            expect_replaceable(folder, known_by=known_by, kind=kind)
            _rename_in(new, folder, aside=own / _ASIDE)
            _sync(folder.parent)


def expect_replaceable(folder: Path, *, known_by: str = MANIFEST_FILE, kind: str = "an artifact") -> None:
    """Raise `InvalidInput` unless `publication` would make or replace it: a mistyped name must not cost files."""
    with writing(folder):
        if not folder.exists() or (folder / known_by).exists():
            return
        if not folder.is_dir() or any(folder.iterdir()):
            raise InvalidInput(f"{folder} exists and is not {kind}", remedy="choose another name or remove it")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Where the disk refuses what a block writes into `folder`, that is an `InvalidFile` which says so."""
    try:
        yield
    except OSError as error:
        raise InvalidFile(
            f"cannot write {folder} ({error.strerror or error})", remedy="choose another output folder"
        ) from error


def _rename_in(new: Path, folder: Path, *, aside: Path) -> None:
    """Rename `new` to `folder`, moving what is there to `aside`; again if another process was quicker."""
    while new.exists():
        with suppress(FileNotFoundError):
            folder.rename(aside)
        with _free_or_taken():
            new.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """A locked folder of our own beside `folder`, removed in the end, or by a later one if the process is killed.

    Folders above it are made, and those of them removed that nothing was put into. Raises `InvalidFile` where they
    cannot be made.
    """
    folder = folder.absolute()
    missing = [parent for parent in folder.parents if not parent.exists()]
    with ExitStack() as stack:
        stack.callback(_remove_empty, missing)
        with writing(folder):
            own, lock = _locked_folder(folder)
        stack.callback(os.close, lock)
        stack.callback(_clear, own, folder)
        yield own


def _locked_folder(folder: Path) -> tuple[Path, int]:
    """A new folder beside `folder`, and the descriptor that holds its lock."""
    while True:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        try:
            own = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=_SUFFIX, dir=folder.parent))
        except FileNotFoundError:
            if folder.parent.exists():  # and takes no folders, as /proc
                raise
            continue  # its maker put nothing into it, and removed it
        lock = _try_lock(own, fcntl.LOCK_SH)
        if lock is not None and own.exists():
            return own, lock
        if lock is not None:  # swept by another process in the instant before it was locked
            os.close(lock)


def _remove_empty(folders: Iterable[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _sweep(parent: Path) -> None:
    """Clear the workspaces of dead processes, but for those of other users."""
    for found in parent.glob(f".*{_SUFFIX}"):
        with suppress(PermissionError):
            lock = _try_lock(found, fcntl.LOCK_EX)
            if lock is not None:
                name = found.name.removesuffix(_SUFFIX)[1:].rpartition(".")[0]
                _clear(found, parent / name)
                os.close(lock)


def _clear(own: Path, folder: Path) -> None:
    """Remove a workspace, but first put back an artifact that was set aside and has no successor."""
    with suppress(FileNotFoundError), _free_or_taken():
        (own / _ASIDE).rename(folder)
    # What cannot be removed now is tried again by the next publication.
    shutil.rmtree(own, ignore_errors=True)


def _try_lock(folder: Path, kind: int) -> int | None:
    """A descriptor that holds the lock until it is closed, or None where another process has it or swept the folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


@contextmanager
def _free_or_taken() -> Iterator[None]:
    """A rename to a name that is free, or is left to whoever has it."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR):
            raise


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(Path(parent, name))
        _sync(Path(parent))


def _sync(path: Path) -> None:
    """Have the disk hold what was written to a file, or which names a folder has."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
