"""Nothing in an artifact is believed until its SHA-256 is the recorded one.

Parsers do not protect: a flipped byte in an engine file mostly loads, with other weights. So the manifest records
every file, `check_files` holds the folder to it, and `read_checked` hands out the very bytes it has hashed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path, PurePosixPath

from reidkit.runtime.artifact.manifest import FileRecord, Manifest
from reidkit.runtime.errors import ArtifactInvalid

MANIFEST_FILE = "manifest.json"
MANIFEST_DIGEST_FILE = "manifest.sha256"
_EXPORT_AGAIN = "copy the artifact again from where it was made, or export it again"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Digest and size of every file in `folder` but the manifest and its digest, by relative POSIX name.

    Raises:
        ArtifactInvalid: the folder holds a symbolic link or anything else that is not a plain file.
    """
    return {
        name: FileRecord(sha256=sha256_of(path), bytes=path.stat().st_size)
        for name, path in _plain_files(folder).items()
    }


def check_files(folder: Path, manifest: Manifest) -> None:
    """Hold `folder` to its manifest, file by file.

    Raises:
        ArtifactInvalid: a file is missing, altered or not listed, a link or device lies among them, or a listed name
            leads out of the folder.
    """
    for name in manifest.files:
        _check_name(name)
    present = _plain_files(folder)
    if missing := sorted(manifest.files.keys() - present.keys()):
        raise ArtifactInvalid(f"{folder.name} lacks its file {missing[0]}", remedy=_EXPORT_AGAIN)
    if unlisted := sorted(present.keys() - manifest.files.keys()):
        raise ArtifactInvalid(
            f"{folder.name} holds {unlisted[0]}, which its manifest does not list",
            remedy="remove that file, or export the artifact again",
        )
    for name, record in manifest.files.items():
        # The size first: nobody hashes a terabyte to learn that it is not a megabyte.
        _expect_same(folder, name, "bytes", found=present[name].stat().st_size, recorded=record.bytes)
        _expect_same(folder, name, "SHA-256", found=sha256_of(present[name]), recorded=record.sha256)


def read_checked(folder: Path, manifest: Manifest, name: str) -> bytes:
    """The bytes of one file of the artifact, read once: what is returned is what was checked.

    Raises:
        ArtifactInvalid: the manifest does not list `name`, or the file is not the one it lists.
    """
    record = manifest.files.get(name)
    if record is None:
        raise ArtifactInvalid(f"{folder.name}: the manifest lists no file {name}", remedy=_EXPORT_AGAIN)
    _check_name(name)
    data = read_plain(folder / name, limit=record.bytes)
    _expect_same(folder, name, "SHA-256", found=hashlib.sha256(data).hexdigest(), recorded=record.sha256)
    return data


def read_plain(path: Path, *, limit: int) -> bytes:
    """The bytes of a plain file of at most `limit` bytes, following no link.

    Raises:
        ArtifactInvalid: the file is missing, unreadable, larger, or a link, device or folder.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ArtifactInvalid(f"cannot read {path}: {error.strerror}", remedy=_EXPORT_AGAIN) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise ArtifactInvalid(f"{path} is not a plain file of at most {limit} bytes", remedy=_EXPORT_AGAIN)
        return file.read(limit + 1)


def _plain_files(folder: Path) -> dict[str, Path]:
    """Every file below `folder` by relative POSIX name; links, devices and pipes are refused."""
    files = {}
    for parent, folders, names in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *names)):
            name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
            if stat.S_ISREG(mode):
                files[name] = path
            elif not stat.S_ISDIR(mode):
                raise ArtifactInvalid(
                    f"{folder.name}: {name} is neither a plain file nor a folder",
                    remedy="an artifact holds no links or devices: copy it with its contents",
                )
    return {name: files[name] for name in sorted(files.keys() - {MANIFEST_FILE, MANIFEST_DIGEST_FILE})}


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or name in ("", "."):
        raise ArtifactInvalid(f"the manifest lists {name!r}, which does not stay in the folder", remedy=_EXPORT_AGAIN)


def _expect_same(folder: Path, name: str, what: str, *, found: int | str, recorded: int | str) -> None:
    if found != recorded:
        raise ArtifactInvalid(
            f"{folder.name}: {name} was altered ({what} {found}, recorded {recorded})", remedy=_EXPORT_AGAIN
        )
