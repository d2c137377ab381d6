"""What a camera gets for its crops: a ticket, and for the ticket embeddings."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """What became of the boxes of one submit.

    Attributes:
        values: (N, D) float32 of unit length, a row for each box in its order; zeros where not valid.
        valid: (N,) bool: False where there was no room, or the batch left before the row was written.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]


class Ticket:
    """Stands for the boxes of one `CropBatcher.submit` until their embeddings are there. May also be awaited.

    Made by a batcher. Of its lock only the ticket's own threads know: cameras never wait for one another in it.
    """

    def __init__(self, rows: int, dim: int, *, number: int, batcher: object) -> None:
        self.number = number
        self._batcher = batcher  # which does not end before its tickets are settled
        self._embeddings = Embeddings(np.zeros((rows, dim), np.float32), np.zeros(rows, np.bool_))
        self._unsettled = rows
        self._error: BaseException | None = None
        self._lock = Lock()
        self._future: Future[Embeddings] = Future()
        self._future.set_running_or_notify_cancel()  # an awaiter that is cancelled takes nothing from the others
        if rows == 0:
            self._future.set_result(self._embeddings)

    def result(self, timeout: float | None = None) -> Embeddings:
        """The embeddings, as soon as all rows are settled.

        Args:
            timeout: seconds to wait; None for as long as it takes.

        Raises:
            TimeoutError: they are not there by then; the ticket stays good.
            ReidkitError: the engine failed on one of these rows; the others' tickets are not concerned.
        """
        try:
            return self._future.result(timeout)
        except FutureTimeout as error:
            raise TimeoutError(f"no embeddings within {timeout} s") from error

    def done(self) -> bool:
        """Whether `result` would return or raise at once."""
        return self._future.done()

    def __await__(self) -> Generator[Any, None, Embeddings]:
        """The same as `result`, for asyncio."""
        return asyncio.wrap_future(self._future).__await__()

    def settle(self, rows: slice, values: NDArray[np.float32] | None) -> bool:
        """The batcher's: these rows have embeddings, or (None) will never have; whether that was the last of them."""
        if values is not None:
            self._embeddings.values[rows] = values
            self._embeddings.valid[rows] = True
        return self._settled(rows)

    def fail(self, rows: slice, error: BaseException) -> bool:
        """The batcher's: the engine failed on these rows; whether they were the last."""
        self._error = self._error or error
        return self._settled(rows)

    def abort(self, error: BaseException) -> None:
        """The batcher's: nothing more will come."""
        with self._lock:
            if not self._future.done():
                self._future.set_exception(error)

    def _settled(self, rows: slice) -> bool:
        with self._lock:
            self._unsettled -= rows.stop - rows.start
            if self._unsettled == 0 and not self._future.done():
                if self._error is not None:
                    self._future.set_exception(self._error)
                else:
                    self._future.set_result(self._embeddings)
            return self._unsettled == 0
