"""Downloads from a real server on this machine: what an honest one gives, and what the others do."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.message import Message
from email.utils import format_datetime
from pathlib import Path
from urllib.request import Request

import pytest
from web_server import (
    WebServer,
    closed,
    page,
    partial,
    ranged,
    redirect,
    stalled,
    status,
    unmeasured,
    web_server,
    whole,
)

from reidkit.export.catalogue.download import Patience, SafeRedirects, fetch
from reidkit.runtime.errors import DownloadFailure, InvalidInput

CONTENT = bytes(range(256)) * 4096
HALF = len(CONTENT) // 2
OTHER = CONTENT[::-1]
HASTY = Patience(attempts=4, silence_s=2.0, first_pause_s=0.001, longest_pause_s=1.5)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "weights.pt.part"


def test_what_the_server_has_is_here_afterwards(server: WebServer, part: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch(server.serve("/f", whole(CONTENT)), part, patience=HASTY, progress=lambda *far: seen.append(far))
    assert part.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


def test_a_server_may_keep_the_length_to_itself(server: WebServer, part: Path) -> None:
    fetch(server.serve("/f", unmeasured(CONTENT)), part, patience=HASTY)
    assert part.read_bytes() == CONTENT


def test_a_download_that_breaks_off_goes_on_where_it_was(server: WebServer, part: Path) -> None:
    cut = whole(CONTENT[:HALF], length=len(CONTENT), ETag='"one"')
    fetch(server.serve("/f", cut, ranged(CONTENT, ETag='"one"')), part, patience=HASTY)
    assert part.read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={HALF}-"]
    assert server.asked[1][1]["If-Range"] == '"one"'


def test_a_later_call_goes_on_with_an_earlier_ones_part(server: WebServer, part: Path) -> None:
    date = "Sat, 31 Jan 2026 12:00:00 GMT"
    cut = whole(CONTENT[:HALF], length=len(CONTENT), Last_Modified=date)
    address = server.serve("/f", cut, status(404))
    with pytest.raises(DownloadFailure, match="has no such file"):
        fetch(address, part, patience=HASTY)
    server.serve("/f", ranged(CONTENT, Last_Modified=date))
    fetch(address, part, patience=HASTY)
    assert part.read_bytes() == CONTENT
    assert server.ranges()[-1] == f"bytes={HALF}-"


def test_without_a_version_or_from_another_address_it_begins_again(server: WebServer, part: Path) -> None:
    cut = whole(CONTENT[:HALF], length=len(CONTENT))
    fetch(server.serve("/f", cut, whole(CONTENT)), part, patience=HASTY)
    assert part.read_bytes() == CONTENT
    marked = whole(CONTENT[:HALF], length=len(CONTENT), ETag='"one"')
    with pytest.raises(DownloadFailure):
        fetch(server.serve("/a", marked, status(404)), part, patience=HASTY)
    fetch(server.serve("/b", ranged(CONTENT, ETag='"one"')), part, patience=HASTY)
    assert server.ranges() == [None, None, None, f"bytes={HALF}-", None]


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(ranged(OTHER, ETag='"two"'), id="and the server says so"),
        pytest.param(partial(OTHER, HALF, ETag='"two"'), id="and the server ignores If-Range"),
        pytest.param(partial(OTHER + b"!", HALF), id="and is longer now"),
        pytest.param(partial(OTHER, HALF + 1, ETag='"one"'), id="and the part is another one"),
        pytest.param(status(416), id="and is shorter now"),
        pytest.param(whole(OTHER), id="and the server knows no parts"),
    ],
)
def test_a_file_that_changes_between_two_parts_begins_again(second: object, server: WebServer, part: Path) -> None:
    cut = whole(CONTENT[:HALF], length=len(CONTENT), ETag='"one"')
    fetch(server.serve("/f", cut, second, whole(OTHER)), part, patience=HASTY)  # type: ignore[arg-type]
    assert part.read_bytes() == OTHER


def test_a_server_that_falls_silent_is_asked_for_the_rest(server: WebServer, part: Path) -> None:
    silent = stalled(CONTENT, HALF, ETag='"one"')
    fetch(server.serve("/f", silent, ranged(CONTENT, ETag='"one"')), part, patience=HASTY)
    assert part.read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={HALF}-"]


def test_a_server_that_stays_silent_is_given_up(server: WebServer, part: Path) -> None:
    with pytest.raises(DownloadFailure, match="fell silent"):
        fetch(server.serve("/f", stalled(CONTENT, 0)), part, patience=Patience(attempts=2, silence_s=0.2))


def test_a_server_that_always_breaks_off_is_given_up(server: WebServer, part: Path) -> None:
    cut = whole(CONTENT[:HALF], length=len(CONTENT))
    with pytest.raises(DownloadFailure, match=f"ended after {HALF:,} of {len(CONTENT):,} bytes"):
        fetch(server.serve("/f", cut), part, patience=HASTY)
    assert len(server.asked) == 1 + HASTY.attempts


def test_breaking_off_often_is_no_reason_to_give_up_while_more_comes(server: WebServer, part: Path) -> None:
    step = len(CONTENT) // 8
    cuts = [partial(CONTENT[: step * n], step * (n - 1), total=len(CONTENT), ETag='"1"') for n in range(2, 9)]
    first = whole(CONTENT[:step], length=len(CONTENT), ETag='"1"')
    fetch(server.serve("/f", first, *cuts), part, patience=HASTY)
    assert part.read_bytes() == CONTENT
    assert len(server.asked) == 8 > HASTY.attempts


def test_a_length_that_is_too_short_cuts_the_file_and_a_known_length_tells(server: WebServer, part: Path) -> None:
    address = server.serve("/f", whole(CONTENT, length=HALF))
    with pytest.raises(DownloadFailure, match=f"has a file of {HALF:,} bytes, expected are {len(CONTENT):,}"):
        fetch(address, part, expected_bytes=len(CONTENT), patience=HASTY)
    assert not part.exists()


def test_a_length_that_no_disk_holds_is_refused_before_anything_is_written(server: WebServer, part: Path) -> None:
    with pytest.raises(DownloadFailure, match="has room for"):
        fetch(server.serve("/f", whole(CONTENT, length=10**18)), part, patience=HASTY)
    assert part.stat().st_size == 0


def test_redirects_are_followed_but_not_in_circles(server: WebServer, part: Path) -> None:
    server.serve("/there", whole(CONTENT))
    fetch(server.serve("/f", redirect("/there")), part, patience=HASTY)
    assert part.read_bytes() == CONTENT
    for target in ("/f", "/g", "file:///etc/passwd"):
        server.serve("/g", redirect("/f"))
        with pytest.raises(DownloadFailure, match="in circles, or to where it must not"):
            fetch(server.serve("/f", redirect(target)), part, patience=HASTY)


def test_a_redirect_that_gives_up_encryption_is_refused() -> None:
    asked = Request("https://weights.test/f")
    follow = SafeRedirects().redirect_request
    with pytest.raises(DownloadFailure, match="not encrypted"):
        follow(asked, io.BytesIO(), 302, "Found", Message(), "http://weights.test/f")
    assert follow(asked, io.BytesIO(), 302, "Found", Message(), "https://cdn.test/f") is not None


@pytest.mark.parametrize(
    ("code", "says"), [(401, "wants a login"), (403, "refuses access"), (404, "has no such file"), (418, "refused")]
)
def test_a_refusal_is_told_at_once(code: int, says: str, server: WebServer, part: Path) -> None:
    with pytest.raises(DownloadFailure, match=f"{says} \\({code}"):
        fetch(server.serve("/f", status(code)), part, patience=HASTY)
    assert len(server.asked) == 1


def test_a_server_that_is_busy_is_asked_again(server: WebServer, part: Path) -> None:
    past = format_datetime(datetime.now(timezone.utc) - timedelta(hours=1))
    busy = (status(429, Retry_After="0"), status(503, Retry_After=past), status(500))
    fetch(server.serve("/f", *busy, whole(CONTENT)), part, patience=HASTY)
    assert part.read_bytes() == CONTENT


def test_a_server_that_asks_for_more_patience_than_there_is_is_given_up(server: WebServer, part: Path) -> None:
    with pytest.raises(DownloadFailure, match=r"answered 429 .*asks to wait 3600 s"):
        fetch(server.serve("/f", status(429, Retry_After="3600")), part, patience=HASTY)
    later = format_datetime(datetime.now(timezone.utc) + timedelta(days=1))
    with pytest.raises(DownloadFailure, match=r"answered 503 .*asks to wait 86"):
        fetch(server.serve("/f", status(503, Retry_After=later)), part, patience=HASTY)
    assert len(server.asked) == 2


def test_a_server_that_hangs_up_is_asked_again_and_one_that_is_not_there_is_not(server: WebServer, part: Path) -> None:
    fetch(server.serve("/f", closed(), whole(CONTENT)), part, patience=HASTY)
    assert part.read_bytes() == CONTENT
    with web_server() as gone:
        address = gone.address("/f")
    with pytest.raises(DownloadFailure, match=r"cannot reach .*check the network and the proxies"):
        fetch(address, part, patience=HASTY)


DRIVE_PAGE = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<form id="download-form" action="{action}" method="get"><input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="1a&amp;b"><input type="hidden" name="confirm" value="t">
<input type="hidden" name="uuid" value="5f0e"></form></body></html>"""


def test_drives_question_is_answered(server: WebServer, part: Path) -> None:
    server.serve("/download", whole(CONTENT))
    fetch(server.serve("/uc", page(DRIVE_PAGE.format(action="/download"))), part, patience=HASTY)
    assert part.read_bytes() == CONTENT
    assert server.asked[-1][0] == "/download?id=1a%26b&confirm=t&uuid=5f0e"


@pytest.mark.parametrize(
    "text",
    [
        "<html><title>Google Drive - Quota\n exceeded</title></html>",
        "<html><title>Google Drive - Quota exceeded</title><form id='download-form' method='post'></form></html>",
        "<title>Google Drive - Quota exceeded</title>" + DRIVE_PAGE.format(action="http://elsewhere.test/download"),
        "<title>Google Drive - Quota exceeded</title>" + DRIVE_PAGE.format(action="file:///etc/passwd"),
    ],
)
def test_any_other_page_is_an_error_and_never_a_file(text: str, server: WebServer, part: Path) -> None:
    with pytest.raises(DownloadFailure, match="answered with a web page, 'Google Drive - Quota exceeded"):
        fetch(server.serve("/uc", page(text)), part, patience=HASTY)
    assert not part.exists()


def test_drives_question_is_answered_once(server: WebServer, part: Path) -> None:
    address = server.serve("/uc", page(DRIVE_PAGE.format(action="/uc")))
    with pytest.raises(DownloadFailure, match="Virus scan warning"):
        fetch(address, part, patience=HASTY)
    assert len(server.asked) == 2


def test_a_file_that_is_packed_unasked_is_refused(server: WebServer, part: Path) -> None:
    with pytest.raises(DownloadFailure, match="packed as gzip"):
        fetch(server.serve("/f", whole(CONTENT, Content_Encoding="gzip")), part, patience=HASTY)


def test_a_file_address_is_read_from_this_machine(tmp_path: Path, part: Path) -> None:
    source = tmp_path / "stick" / "with space.pt"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    fetch(source.as_uri(), part, patience=HASTY)
    assert part.read_bytes() == CONTENT
    with pytest.raises(DownloadFailure, match="cannot reach"):
        fetch(source.with_name("none.pt").as_uri(), part, patience=HASTY)


def test_other_kinds_of_address_are_refused(part: Path) -> None:
    for address in ("ftp://a.test/f", "osnet.pt", "data:,x", "http://[", "http://a.test:99999/f", "http://a.test/a b"):
        with pytest.raises(InvalidInput, match="cannot download from"):
            fetch(address, part, patience=HASTY)


def test_an_address_with_a_password_is_refused_and_not_repeated(part: Path) -> None:
    with pytest.raises(InvalidInput, match="holds a user's name") as caught:
        fetch("https://me:secret@a.test/f", part, patience=HASTY)
    assert "secret" not in str(caught.value)


def test_a_full_disk_is_told_and_what_came_is_kept(server: WebServer, part: Path) -> None:
    address = server.serve("/f", ranged(CONTENT, ETag='"one"'))
    script = f"""
import resource, sys
from pathlib import Path
from reidkit.export.catalogue.download import fetch
from reidkit.runtime.errors import DownloadFailure
resource.setrlimit(resource.RLIMIT_FSIZE, ({HALF}, {HALF}))
try:
    fetch({address!r}, Path({str(part)!r}))
except DownloadFailure as failure:
    sys.exit(str(failure))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"cannot write {part} (File too large)")
    assert part.stat().st_size == HALF
    fetch(address, part, patience=HASTY)
    assert part.read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={HALF}-"]


def test_proxies_of_the_environment_are_asked(server: WebServer, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.address(""))
    server.answers["http://weights.test/f"] = [whole(CONTENT)]
    fetch("http://weights.test/f", part, patience=HASTY)
    assert part.read_bytes() == CONTENT
