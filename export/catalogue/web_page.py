"""A web page where a file was expected: Google Drive's question whether a large file is really wanted, or an error."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

DRIVE_FORM = "download-form"
"""The form under "Google Drive can't scan this file for viruses"."""


@dataclass(frozen=True, slots=True)
class WebPage:
    """What matters of a page.

    Attributes:
        title: its title.
        confirmation: where its button "Download anyway" leads; None if it has none.
    """

    title: str
    confirmation: str | None

    @staticmethod
    def parse(content: bytes, address: str) -> WebPage:
        """Read the page that `address` answered with."""
        reader = _Reader()
        reader.feed(content.decode("utf-8", errors="replace"))
        return WebPage(" ".join(reader.title.split()) or "without a title", _confirmation(reader, address))


def _confirmation(reader: _Reader, address: str) -> str | None:
    if reader.action is None:
        return None
    target = urljoin(address, reader.action)
    host = urlsplit(target).hostname or ""
    # The page may have come from anywhere; only Drive's own button is pressed.
    if host != urlsplit(address).hostname and not host.endswith(".google.com"):
        return None
    if urlsplit(target).scheme != urlsplit(address).scheme:
        return None
    return f"{target.partition('?')[0]}?{urlencode(reader.fields)}"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._in_title = self._in_form = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "title":
            self._in_title = True
        elif tag == "form" and given.get("id") == DRIVE_FORM and given.get("method", "get").lower() == "get":
            self._in_form, self.action = True, given.get("action", "")
        elif tag == "input" and self._in_form and given.get("type") == "hidden" and "name" in given:
            self.fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif tag == "form":
            self._in_form = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
