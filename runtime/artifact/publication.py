"""A folder appears under its name whole, or not at all, whenever the power fails.

    out/.osnet-fp32.k3x9_.reidkit-partial/   workspace, locked while its process lives
        new/                                 written here, then fsynced,
        old/                                 the artifact it replaces, set aside,
    out/osnet-fp32/                          and renamed to here

Each step is one `rename`, so at no moment does the final name lead to half an artifact. Between setting the old one
aside and renaming the new one in, the name leads nowhere for an instant; a process killed right there leaves the old
artifact in its workspace, and the next publication puts it back. The lock is `flock` on the workspace folder itself:
the kernel drops it with its process, so a workspace that can be locked is a dead one's, and is swept.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reidkit.runtime.artifact.digests import MANIFEST_FILE
from reidkit.runtime.errors import InvalidInput

_SUFFIX = ".reidkit-partial"


@contextmanager
def publication(folder: Path) -> Iterator[Path]:
    """An empty folder to write into, which becomes `folder` when the block ends without an exception.

    An artifact that has the name already is replaced. After an exception nothing is left behind.

    Raises:
        InvalidInput: `folder` exists and is no artifact; it is not overwritten.
    """
    folder = folder.absolute()
    _refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    with _workspace(folder) as workspace:
        new = workspace / "new"
        new.mkdir()
        yield new
        _sync_tree(new)
        _refuse_foreign(folder)
        _rename_in(new, folder, aside=workspace / "old")
        _sync(folder.parent)


def _refuse_foreign(folder: Path) -> None:
    """Replace artifacts and empty folders only: a mistyped name must not cost anybody their files."""
    if not folder.exists() or (folder / MANIFEST_FILE).exists():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise InvalidInput(f"{folder} exists and is not an artifact", remedy="choose another name or remove it")


def _rename_in(new: Path, folder: Path, *, aside: Path) -> None:
    """Rename `new` to `folder`, moving what is there to `aside`; again if another process was quicker."""
    while True:
        with suppress(FileNotFoundError):
            folder.rename(aside)
        try:
            new.rename(folder)
        except OSError as error:
            if not _is_occupied(error):
                raise
            shutil.rmtree(aside)
        else:
            return


@contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """A locked folder of our own beside `folder`, removed in the end."""
    while True:
        workspace = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=_SUFFIX, dir=folder.parent))
        lock = _try_lock(workspace, fcntl.LOCK_SH)
        if lock is not None and workspace.exists():
            break
        if lock is not None:  # swept by another process in the instant before it was locked
            os.close(lock)
    try:
        yield workspace
    finally:
        # What cannot be removed now is swept by the next publication.
        shutil.rmtree(workspace, ignore_errors=True)
        os.close(lock)


def _sweep(parent: Path) -> None:
    """Remove the workspaces of dead processes, after putting back an artifact that one had set aside."""
    for workspace in parent.glob(f".*{_SUFFIX}"):
        lock = _try_lock(workspace, fcntl.LOCK_EX)
        if lock is None:
            continue
        name = workspace.name.removesuffix(_SUFFIX)[1:].rpartition(".")[0]
        try:
            (workspace / "old").rename(parent / name)
        except FileNotFoundError:
            pass
        except OSError as error:
            if not _is_occupied(error):
                raise
        shutil.rmtree(workspace, ignore_errors=True)
        os.close(lock)


def _try_lock(folder: Path, kind: int) -> int | None:
    """A descriptor that holds the lock, or None where another process holds it or the folder is not ours to lock."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _is_occupied(error: OSError) -> bool:
    return error.errno in (errno.ENOTEMPTY, errno.EEXIST)


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
