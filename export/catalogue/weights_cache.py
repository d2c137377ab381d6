"""Downloaded weights, and the lock file that holds later downloads to the first.

    $XDG_CACHE_HOME/reidkit/weights/
        osnet_x1_0_msmt17.pt           a file that was checked
        .osnet_x1_0_msmt17.pt.part     one that is coming
        reid.lock                      {"files": {"osnet_x1_0_msmt17.pt": {"bytes", "sha256", "address", "locked"}}}

Upstream publishes no digests. So the first download of a file is taken as it comes, and locked; from then on another
file under that name is an error, whoever serves it, until a person pins its digest.
"""

from __future__ import annotations

import enum
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from reidkit.export.catalogue.download import Patience, Progress, discard, fetch
from reidkit.export.catalogue.models import Model
from reidkit.export.catalogue.weights_file import fault
from reidkit.export.weights import embedded_weights
from reidkit.runtime.artifact.digests import sha256_of
from reidkit.runtime.cache import cache_folder, locked
from reidkit.runtime.errors import DownloadFailure, InvalidFile, InvalidInput
from reidkit.runtime.files import whole_file

LOCK_FILE = "reid.lock"


class Status(enum.Enum):
    """Where a model's weights are."""

    EMBEDDED = "embedded"
    DOWNLOADED = "downloaded"
    PUBLISHED = "published"
    BY_HAND = "by hand"
    NONE = "no public weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What a file was when it first came."""

    bytes: int
    sha256: str
    address: str
    locked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Obtained:
    """Weights that are here now. `new`: they were fetched or locked by this call."""

    path: Path
    bytes: int
    sha256: str
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How weights are to be had.

    Attributes:
        force: fetch them even where they are here already.
        mirror: address of a folder that holds the files by name; upstream is not asked then.
        offline: touch no network; a ``file://`` mirror is allowed.
        sha256: what the file has to be, whatever the lock file says.
        patience: with the servers.
    """

    force: bool = False
    mirror: str | None = None
    offline: bool = False
    sha256: str | None = None
    patience: Patience = Patience()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise InvalidInput(f"'{self.sha256}' is no SHA-256", remedy="give 64 digits of 0-9 and a-f")


class WeightsCache:
    """The folder of downloaded weights.

    Args:
        folder: by default the one in the user's cache.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder("weights")

    def status(self, model: Model) -> Status:
        """Where the model's weights are; no digest is computed."""
        if model.embedded:
            return Status.EMBEDDED
        if self.path(model).exists():
            return Status.DOWNLOADED
        if model.addresses:
            return Status.PUBLISHED
        return Status.BY_HAND if model.folder else Status.NONE

    def path(self, model: Model) -> Path:
        """Where the model's weights are, or would be."""
        return embedded_weights(model.backbone) if model.embedded else self.folder / model.file_name

    def locks(self) -> Mapping[str, Lock]:
        """What is locked, by file name. Raises `InvalidFile` if the lock file cannot be read."""
        path = self.folder / LOCK_FILE
        try:
            entries: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["files"]
            return {name: Lock(**entry) for name, entry in entries.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidFile(
                f"cannot read {path} ({error})", remedy="restore it; without it no file can be held to what it was"
            ) from error

    def require_weights(self, model: Model, *, mirror: str | None = None) -> None:
        """Raise `InvalidInput` if there is no way to download the model, saying what can be done instead."""
        if not model.has_weights:
            raise InvalidInput(f"{model.name}: no public weights", remedy="bring your own with --weights")
        if model.folder and not mirror and not self.path(model).exists():
            raise InvalidInput(
                f"{model.name} has to be fetched by hand: open {model.folder.folder} in a browser, choose the file of "
                f"'{model.folder.item}', and save it as {self.path(model)}",
                remedy=f"then run reid-models --download {model.name}, which checks and locks it",
            )

    def obtain(self, model: Model, wishes: Wishes, *, progress: Progress = lambda done, total: None) -> Obtained:
        """The model's weights, fetched if need be, checked and locked.

        Raises:
            InvalidInput: there are none to be had.
            DownloadFailure: they could not be fetched, or are not the file that is locked or pinned.
            InvalidFile: the file that is here was altered, or the cache cannot be written to.
        """
        self.require_weights(model, mirror=wishes.mirror)
        path = self.path(model)
        if model.embedded:
            digest = sha256_of(path)
            if wishes.sha256 not in (None, digest):
                raise InvalidFile(f"{path} has SHA-256 {digest}, --sha256 pins {wishes.sha256}")
            return Obtained(path=path, bytes=path.stat().st_size, sha256=digest, new=False)
        with locked(self.folder / f".{path.name}.lock"):
            expected, by_whom = self._expected(model, wishes)
            if path.exists() and not wishes.force:
                return self._check_present(path, expected, by_whom)
            return self._fetch(model, path, wishes, expected, by_whom, progress)

    def _expected(self, model: Model, wishes: Wishes) -> tuple[str | None, str]:
        """The digest that the file has to have, and who says so."""
        lock = self.locks().get(model.file_name)
        if wishes.sha256 is not None:
            return wishes.sha256, "--sha256 pins"
        if lock is not None:
            return lock.sha256, f"{self.folder / LOCK_FILE} has had since {lock.locked[:10]}"
        if model.sha256 is not None:
            return model.sha256.digest, "the catalogue has"
        return None, ""

    def _check_present(self, path: Path, expected: str | None, by_whom: str) -> Obtained:
        digest, size = sha256_of(path), path.stat().st_size
        if expected is not None and digest != expected:
            raise InvalidFile(f"{path} has SHA-256 {digest}, {by_whom} {expected}", remedy="--force downloads it again")
        if (reason := fault(path)) is not None:
            raise InvalidFile(f"{path} is no weights file: {reason}", remedy="remove it")
        is_locked = path.name in self.locks()
        if not is_locked:
            self._lock(path.name, Lock(bytes=size, sha256=digest, address="put here by hand", locked=_now()))
        return Obtained(path=path, bytes=size, sha256=digest, new=not is_locked)

    def _fetch(
        self, model: Model, path: Path, wishes: Wishes, expected: str | None, by_whom: str, progress: Progress
    ) -> Obtained:
        part = path.with_name(f".{path.name}.part")
        lock = self.locks().get(path.name)
        attempt = partial(
            fetch,
            part=part,
            expected_bytes=lock.bytes if lock is not None and lock.sha256 == expected else None,
            patience=wishes.patience,
            progress=progress,
        )
        address = _first_that_answers(_addresses(model, wishes), attempt)
        digest, size = sha256_of(part), part.stat().st_size
        if expected is not None and digest != expected:
            discard(part)
            raise DownloadFailure(
                f"{address} gave a file of {size:,} bytes with SHA-256 {digest}, {by_whom} {expected}",
                remedy="if you know this file to be the right one, pin it with --sha256",
            )
        if (reason := fault(part)) is not None:
            discard(part)
            raise DownloadFailure(f"{address} gave a file of {size:,} bytes that is no weights file: {reason}")
        # Locked first: a process that dies between the two leaves a file to be fetched, not one to be believed.
        self._lock(path.name, Lock(bytes=size, sha256=digest, address=address, locked=_now()))
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
        discard(part)
        return Obtained(path=path, bytes=size, sha256=digest, new=True)

    def _lock(self, name: str, lock: Lock) -> None:
        with locked(self.folder / f".{LOCK_FILE}"):
            files = {key: asdict(entry) for key, entry in {**self.locks(), name: lock}.items()}
            with whole_file(self.folder / LOCK_FILE) as temporary:
                temporary.write_text(json.dumps({"files": dict(sorted(files.items()))}, indent=2) + "\n")


def _addresses(model: Model, wishes: Wishes) -> list[str]:
    mirrored = f"{(wishes.mirror or '').rstrip('/')}/{quote(model.file_name)}"
    addresses = [mirrored] if wishes.mirror else list(model.addresses)
    if wishes.offline and (addresses := [each for each in addresses if urlsplit(each).scheme == "file"]) == []:
        raise DownloadFailure(
            f"{model.name} is not here, and downloads are off (--offline or REIDKIT_OFFLINE)",
            remedy="name a file:// folder with --mirror, or go online",
        )
    return addresses


def _first_that_answers(addresses: list[str], attempt: Callable[[str], None]) -> str:
    """The first address that gives its file; what all of them said if none does."""
    failures = []
    for address in addresses:
        if (failure := _failure(attempt, address)) is None:
            return address
        failures.append(failure)
    raise DownloadFailure("; ".join(each.message for each in failures), remedy=failures[-1].remedy)


def _failure(attempt: Callable[[str], None], address: str) -> DownloadFailure | None:
    try:
        attempt(address)
    except DownloadFailure as failure:
        return failure
    return None


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
