"""A web server on this machine that answers as it is told to, honestly or not, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


class WebServer(ThreadingHTTPServer):
    """Gives the answers in turn, the last one again and again.

    Attributes:
        answers: by path, what to answer; other paths are not found.
        asked: path and headers of every request.
        closing: set when the server stops; what stalls may wait for it.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, Message]] = []
        self.closing = threading.Event()

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def serve(self, path: str, *answers: Answer) -> str:
        """Answer requests for `path` so; its address."""
        self.answers[path] = list(answers)
        return self.address(path)

    def ranges(self) -> list[str | None]:
        """What part each request asked for."""
        return [headers.get("Range") for _, headers in self.asked]


@contextmanager
def web_server() -> Iterator[WebServer]:
    with WebServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: WebServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append((self.path, self.headers))
        answers = self.server.answers.get(path, [status(404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        try:
            answer(self)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def whole(content: bytes, *, length: int | None = None, **headers: str) -> Answer:
    """All of it. `length`: what Content-Length says, if not the truth; the connection is closed behind the content."""
    return _sent(content, 200, length=len(content) if length is None else length, **headers)


def unmeasured(content: bytes) -> Answer:
    """All of it, without saying how much that is."""
    return _sent(content, 200, length=None)


def ranged(content: bytes, **headers: str) -> Answer:
    """The part that is asked for, if it is asked for of this version."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        version = headers.get("ETag", headers.get("Last_Modified"))
        if wanted is None or request.headers.get("If-Range") != version:
            return whole(content, **headers)(request)
        return partial(content, int(wanted.removeprefix("bytes=").removesuffix("-")), **headers)(request)

    return answer


def partial(content: bytes, start: int, *, total: int | None = None, **headers: str) -> Answer:
    """The part from `start`, asked for or not."""
    total = len(content) if total is None else total
    content_range = f"bytes {start}-{len(content) - 1}/{total}"
    return _sent(content[start:], 206, length=len(content) - start, Content_Range=content_range, **headers)


def stalled(content: bytes, after: int, **headers: str) -> Answer:
    """So many bytes, and then nothing, with the connection open."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        _head(request, 200, len(content), headers)
        request.wfile.write(content[:after])
        request.server.closing.wait(60)  # type: ignore[attr-defined]
        request.close_connection = True

    return answer


def status(code: int, **headers: str) -> Answer:
    return _sent(b"no", code, length=2, **headers)


def redirect(to: str) -> Answer:
    return status(302, Location=to)


def page(text: str) -> Answer:
    return whole(text.encode(), Content_Type="text/html; charset=utf-8")


def closed() -> Answer:
    """The connection closed without a word."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True

    return answer


def _sent(content: bytes, code: int, *, length: int | None, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        _head(request, code, length, headers)
        request.wfile.write(content)
        request.close_connection = True

    return answer


def _head(request: BaseHTTPRequestHandler, code: int, length: int | None, headers: dict[str, str]) -> None:
    request.send_response(code)
    if length is not None:
        request.send_header("Content-Length", str(length))
    for name, value in {"Content_Type": "application/octet-stream", **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
