"""Work that may never end, on a thread that nobody has to wait for: a pipe stalls, a disk far away does not answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import Any, TypeVar

_STOP_CHECK_S = 0.1

Result = TypeVar("Result")


def in_background(work: Callable[[], Result], *, name: str) -> Future[Result]:
    """What `work` will have returned or raised. Its thread ends with the process, even in the middle of the work."""
    future: Future[Result] = Future()

    def do() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  whoever asks for the result gets it
            future.set_exception(error)
        else:
            future.set_result(result)

    Thread(target=do, name=name, daemon=True).start()
    return future


def comes(future: Future[Any], should_stop: Callable[[], bool]) -> bool:
    """Wait until there is a result or an error, True, or until `should_stop` says so, False."""
    while not wait([future], timeout=_STOP_CHECK_S).done:
        if should_stop():
            return False
    return True
