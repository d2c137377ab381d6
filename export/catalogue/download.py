"""One file over HTTP(S) or from ``file://``, whole or in parts, or an error with the part kept for next time.

    .NAME.part        what has come so far
    .NAME.part.json   where it came from, how long the whole is, and the server's mark of this very version

A part is gone on with only where the server names a version (a strong ETag, or Last-Modified) and still has it
(RFC 9110: Range, If-Range); otherwise the file begins again. What is complete is not yet believed: digests and looks
are the caller's.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, OpenerDirector, Request, build_opener

from reidkit.export.catalogue.web_page import WebPage
from reidkit.runtime.errors import DownloadFailure, InvalidInput

SCHEMES = ("https", "http", "file")

Progress = Callable[[int, "int | None"], None]
"""Told of the bytes there are and, where it is known, of the bytes there will be."""

_BLOCK = 1 << 18
_LARGEST_PAGE = 1 << 20
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_MEANING = {
    401: "wants a login",
    403: "refuses access",
    404: "has no such file",
    410: "has removed the file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        attempts: in a row that bring nothing new.
        silence_s: without a byte, and an attempt is over.
        first_pause_s: before the second attempt; each further pause is twice as long.
        longest_pause_s: a server that asks for more is not waited for.
    """

    attempts: int = 5
    silence_s: float = 30.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0


class _Interrupted(Exception):
    """An attempt ended early, and another may do better. `pause_s`: how long the server asks to wait."""

    def __init__(self, reason: str, *, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


@dataclass(frozen=True, slots=True)
class _Origin:
    """What a part is a part of. `version`: the server's mark; `total`: bytes of the whole; None where not told."""

    address: str
    version: str | None
    total: int | None


def fetch(
    address: str,
    part: Path,
    *,
    expected_bytes: int | None = None,
    patience: Patience | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Have all of what `address` leads to in the file `part`, going on with what is there.

    Args:
        address: an http, https or file URL.
        part: file to write; its folder exists.
        expected_bytes: a file of another length is refused before it is fetched.
        patience: how often and how long to try.
        progress: told now and then how far it is.

    Raises:
        DownloadFailure: it could not be had. What has come so far stays in `part` where it can be gone on with.
        InvalidInput: no address of that kind can be read.
    """
    _expect_readable(address)
    patience = patience or Patience()
    download = _Download(address, part, expected_bytes, patience.silence_s, progress)
    barren, furthest = 0, download.size()
    while (interruption := download.interruption()) is not None:
        reached = download.size()
        barren = 0 if reached > furthest else barren + 1
        furthest = max(furthest, reached)
        pause_s = min(patience.first_pause_s * 2**barren, patience.longest_pause_s)
        if (asked_s := interruption.pause_s) is not None:
            pause_s = asked_s
        if barren >= patience.attempts or pause_s > patience.longest_pause_s:
            asks = "" if asked_s is None else f", and asks to wait {asked_s:.0f} s"
            raise DownloadFailure(
                f"{address} {interruption}{asks}", remedy="try again later; what has come is kept"
            ) from interruption
        time.sleep(pause_s)


def _expect_readable(address: str) -> None:
    try:
        parts = urlsplit(address)
        is_plain = address.isprintable() and " " not in address and (parts.port or 1) > 0
    except ValueError:
        is_plain = False
    if not is_plain or parts.scheme not in SCHEMES:
        raise InvalidInput(f"cannot download from '{address}'", remedy=f"give an address of {', '.join(SCHEMES)}")
    if parts.username is not None:
        raise InvalidInput(
            f"the address of {parts.hostname} holds a user's name, and would stand in the lock file with it",
            remedy="copy the files here, and name their folder with --mirror file://…",
        )


class SafeRedirects(HTTPRedirectHandler):
    """Follows redirects, but never from https to a place that anybody on the way may alter."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        """The request for the place that the server names."""
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise DownloadFailure(f"{req.full_url} redirects to {newurl}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Download:
    """The attempts at one file."""

    def __init__(
        self, address: str, part: Path, expected_bytes: int | None, silence_s: float, progress: Progress
    ) -> None:
        self.address, self.part, self.expected_bytes = address, part, expected_bytes
        self.silence_s, self.progress = silence_s, progress
        self.notes = _notes(part)
        # Proxies are those of the environment: urllib reads http_proxy, https_proxy and no_proxy.
        self.opener: OpenerDirector = build_opener(SafeRedirects, HTTPCookieProcessor)

    def size(self) -> int:
        """Bytes there are."""
        return self.part.stat().st_size if self.part.exists() else 0

    def interruption(self) -> _Interrupted | None:
        """Fetch what is missing; what kept it from ending, if another attempt may do better."""
        try:
            self._attempt()
        except _Interrupted as interrupted:
            return interrupted
        return None

    def _attempt(self, address: str | None = None) -> None:
        asked = address or self.address
        origin = self._origin()
        headers = {"User-Agent": "reidkit", "Accept-Encoding": "identity"}
        if origin is not None and origin.version is not None:
            headers |= {"Range": f"bytes={self.size()}-", "If-Range": origin.version}
        with self._open(Request(asked, headers=headers)) as response:  # noqa: S310 - the scheme was checked
            if response.headers.get_content_type() == "text/html":
                with _interruptions():
                    content = response.read(_LARGEST_PAGE)
                page = WebPage.parse(content, response.geturl())
                if page.confirmation is None or address is not None:
                    raise DownloadFailure(
                        f"{self.address} answered with a web page, '{page.title}', in place of the file",
                        remedy="fetch it with a browser, and give it to reid-export --weights",
                    )
            else:
                return self._receive(response, origin)
        return self._attempt(page.confirmation)

    def _origin(self) -> _Origin | None:
        """What the part is a part of, if it can be gone on with."""
        try:
            origin = _Origin(**json.loads(self.notes.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        size = self.size()
        wanted = origin.address == self.address and self.expected_bytes in (None, origin.total)
        return origin if wanted and size > 0 and (origin.total is None or size < origin.total) else None

    def _open(self, request: Request) -> Any:
        try:
            return self.opener.open(request, timeout=self.silence_s)
        except HTTPError as error:
            with error:
                raise self._refusal(error) from error
        except (TimeoutError, ConnectionResetError, http.client.HTTPException) as error:
            raise _Interrupted(_named(error)) from error
        except URLError as error:
            reason = error.reason
            if isinstance(reason, (TimeoutError, ConnectionResetError, BrokenPipeError)):
                raise _Interrupted(_named(reason)) from error
            remedy = "" if request.type == "file" else "check the network and the proxies, or name a --mirror"
            if isinstance(reason, ssl.SSLError):
                remedy = "the server did not prove who it is: check the clock, or what stands between"
            raise DownloadFailure(f"cannot reach {self.address} ({reason})", remedy=remedy) from error

    def _refusal(self, error: HTTPError) -> Exception:
        """What a status other than success means here."""
        if error.code == 416:  # the part is longer than what is there now
            discard(self.part)
            return _Interrupted("has another file now")
        if error.code in _PASSING:
            return _Interrupted(f"answered {error.code} {error.reason}", pause_s=_asked_pause(error.headers))
        if 300 <= error.code < 400:
            return DownloadFailure(f"{self.address} redirects in circles, or to where it must not ({error.code})")
        meaning = _MEANING.get(error.code, "refused")
        return DownloadFailure(
            f"{self.address} {meaning} ({error.code} {error.reason})", remedy="name a --mirror, or fetch it by hand"
        )

    def _receive(self, response: Any, origin: _Origin | None) -> None:
        headers = response.headers
        if headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadFailure(f"{self.address} sent the file packed as {headers['Content-Encoding']}, unasked")
        version = _version(headers)
        if response.status == 206:
            start, total = _content_range(headers)
            if origin is None or start != self.size() or total != origin.total or version not in (None, origin.version):
                discard(self.part)
                raise _Interrupted("sent a part of another file")
        else:
            total = int(length) if (length := headers.get("Content-Length", "")).isdigit() else None
            self._begin(_Origin(self.address, version, total))
        self._make_room(total)
        self._copy(response, total)
        if total is not None and self.size() < total:
            raise _Interrupted(f"ended after {self.size():,} of {total:,} bytes")

    def _begin(self, origin: _Origin) -> None:
        """Begin again, with an empty part."""
        if self.expected_bytes is not None and origin.total not in (None, self.expected_bytes):
            raise DownloadFailure(
                f"{self.address} has a file of {origin.total:,} bytes, expected are {self.expected_bytes:,}",
                remedy="if the new file is wanted, pin it with --sha256",
            )
        discard(self.part)
        try:
            self.notes.write_text(json.dumps(asdict(origin)), encoding="utf-8")
            self.part.touch()
        except OSError as error:
            raise self._not_written(error) from error

    def _copy(self, response: Any, total: int | None) -> None:
        # Unbuffered: a buffer that does not fit on the disk would fail once more when the file is closed.
        with self.part.open("ab", buffering=0) as file:
            while True:
                with _interruptions():
                    block = response.read1(_BLOCK)
                if not block:
                    return
                try:
                    while block:
                        block = block[file.write(block) :]
                except OSError as error:
                    raise self._not_written(error) from error
                self.progress(file.tell(), total)

    def _make_room(self, total: int | None) -> None:
        missing = 0 if total is None else total - self.size()
        if missing > (free := shutil.disk_usage(self.part.parent).free):
            raise DownloadFailure(
                f"{self.address} has {missing:,} bytes more, {self.part.parent} has room for {free:,}",
                remedy="make room, or name another place with XDG_CACHE_HOME",
            )

    def _not_written(self, error: OSError) -> DownloadFailure:
        return DownloadFailure(
            f"cannot write {self.part} ({error.strerror})",
            remedy="make room, or name another place with XDG_CACHE_HOME; what has come is kept",
        )


@contextmanager
def _interruptions() -> Iterator[None]:
    """What goes wrong while a server is listened to, as an interruption."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(_named(error)) from error


def discard(part: Path) -> None:
    """Remove a part, and what is noted of it."""
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _version(headers: Message) -> str | None:
    """What If-Range may be asked with: a strong ETag, else a date."""
    tag: str = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


def _content_range(headers: Message) -> tuple[int, int | None]:
    """First byte and total of a partial answer; -1 where it says nothing that can be read."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
    if found is None:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _asked_pause(headers: Message) -> float | None:
    """Seconds that Retry-After asks for, given as a number or as a date."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    with suppress(ValueError):
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(timezone.utc)).total_seconds())
    return None


def _named(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "fell silent"
    return f"broke off ({error or type(error).__name__})"
