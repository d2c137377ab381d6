"""Which native code was built on this machine, by this user.

A serialized engine is a program: whoever opens one runs it. So each engine that is built here leaves its digest in the
cache, as an empty file `built-here/MACHINE/SHA-256`, and an engine that left none is run only if the user names it. A
home folder may be shared, hence the machine; a cache may lie where others write, hence the owner.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from reidkit.runtime.artifact.manifest import Manifest
from reidkit.runtime.cache import cache_folder
from reidkit.runtime.errors import InvalidFile

_MACHINE_ID = Path("/etc/machine-id")


def vouch(manifest: Manifest) -> None:
    """Remember that this artifact's engine, which it must have, was built here.

    Raises:
        InvalidFile: the cache cannot be written to.
    """
    mark = _mark(manifest)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise InvalidFile(
            f"cannot note in {mark.parent} that {manifest.name} was built here ({error.strerror})",
            remedy="XDG_CACHE_HOME names another place",
        ) from error


def built_here(manifest: Manifest) -> bool:
    """Whether this artifact has an engine that was built on this machine by this user, or by root."""
    if not manifest.is_built:
        return False
    try:
        return _mark(manifest).lstat().st_uid in (0, os.geteuid())
    except OSError:
        return False


def _mark(manifest: Manifest) -> Path:
    machine = _MACHINE_ID.read_text(encoding="utf-8") if _MACHINE_ID.exists() else platform.node()
    # The machine's id is not to be handed round, says its manual page; its digest may.
    digest = hashlib.sha256(f"reidkit {machine}".encode()).hexdigest()
    return cache_folder("built-here", digest[:16], manifest.files[manifest.engine_file].sha256)
