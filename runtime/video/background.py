"""Work that may never end, on a thread that nobody has to wait for: a pipe stalls, a disk far away does not answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

_STOP_CHECK_S = 0.1

Result = TypeVar("Result")


class Background:
    """A thread that does one work after another; it ends with the process, even in the middle of one."""

    def __init__(self, name: str) -> None:
        self._works: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        Thread(target=_serve, args=(self._works,), name=name, daemon=True).start()

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """What `work` will have returned or raised."""
        future: Future[Result] = Future()
        self._works.put((work, future))
        return future

    def close(self) -> None:
        """End the thread once it has done what was submitted; it is not waited for."""
        self._works.put(None)


def in_background(work: Callable[[], Result], *, name: str) -> Future[Result]:
    """What `work` will have returned or raised, on a thread of its own."""
    background = Background(name)
    future = background.submit(work)
    background.close()
    return future


def comes(future: Future[Any], should_stop: Callable[[], bool]) -> bool:
    """Wait until there is a result or an error, True, or until `should_stop` says so, False."""
    while not wait([future], timeout=_STOP_CHECK_S).done:
        if should_stop():
            return False
    return True


def _serve(works: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]) -> None:
    while (following := works.get()) is not None:
        work, future = following
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  whoever asks for the result gets it
            future.set_exception(error)
