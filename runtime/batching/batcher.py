"""Many cameras' crops, cut by the cameras' own threads into the rows of a few batches, and one engine that runs them.

    camera threads                      batch buffers                      engine's thread
    submit ─► reserve rows, cut ───►  [■■■■■□□□] [□□□□□□□□] [■■■■■■■■] ───► embed ─► tickets

Who may touch which rows is decided without locks (`runtime/native/ring.hpp`), so a camera that stalls in the middle
of a crop loses its own rows, and nobody waits for it longer than a batch's deadline and patience.
"""

from __future__ import annotations

import os
import weakref
from threading import Thread, current_thread
from time import monotonic_ns
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.runtime.batching.service import Counters, Service
from reidkit.runtime.batching.ticket import Ticket
from reidkit.runtime.engines import Engine
from reidkit.runtime.engines._cropping import (
    Picture,
    checked_boxes,
    cut_into,
    expect_color,
    frame_of,
    pixels_lie_side_by_side,
)
from reidkit.runtime.engines.engine import Color, is_count
from reidkit.runtime.errors import EngineFailure, InvalidInput
from reidkit.runtime.native import BatchRing, YuvFrame

OnFull = Literal["block", "drop_oldest", "iou_only"]
_MS = 1_000_000
_SIGNAL_CHECK_NS = 100 * _MS  # who waits for room hears Ctrl-C so often
_MOST_BUFFERS, _MOST_ROWS = 1024, 32
_MOST_CAMERAS = 2**32 - 1


class CropBatcher:
    """Cuts crops straight into the engine's input and returns tickets for their embeddings.

    Any number of threads may submit. Closing it, or the end of its `with` block, serves what was submitted.

    Args:
        engine: what embeds; stays the caller's to close.
        buffers: batches that can be under way at once, at most 1024. A camera that stalls while it cuts takes at most
            one of them out of service until it goes on.
        batch: crops of a batch, at most 32.
        deadline_ms: how long the oldest crop of a batch waits for others to fill it.
        patience_ms: how long a batch that is due waits for crops that are being cut.
        on_full: what a submit does when all buffers are taken: wait (``block``); take the places of this camera's
            oldest crops that still wait, and if there are none do without embeddings (``drop_oldest``); do without at
            once, to track by overlap alone (``iou_only``). What is given up is not valid in its ticket's result.

    Raises:
        InvalidInput: a number is out of range or `on_full` is unknown.

    >>> with CropBatcher(engine, deadline_ms=5) as batcher:            # doctest: +SKIP
    ...     ticket = batcher.submit(frame, boxes_xyxy, camera=0)       # the frame may be reused now
    ...     embeddings = ticket.result()
    """

    def __init__(
        self,
        engine: Engine,
        *,
        buffers: int = 3,
        batch: int = 8,
        deadline_ms: float = 5.0,
        patience_ms: float = 5.0,
        on_full: OnFull = "block",
    ) -> None:
        sizes = is_count(buffers) and 1 <= buffers <= _MOST_BUFFERS and is_count(batch) and 1 <= batch <= _MOST_ROWS
        if not sizes or not 0 <= deadline_ms < 1e6 or not 0 <= patience_ms < 1e6:
            raise InvalidInput(
                f"buffers={buffers}, batch={batch}, deadline_ms={deadline_ms}, patience_ms={patience_ms}",
                remedy=f"give 1 to {_MOST_BUFFERS} buffers, 1 to {_MOST_ROWS} crops a batch, and milliseconds from 0 "
                "to a million",
            )
        if on_full not in ("block", "drop_oldest", "iou_only"):
            raise InvalidInput(f"on_full={on_full!r}", remedy="give 'block', 'drop_oldest' or 'iou_only'")
        self._engine = engine
        self._how = engine.manifest.preprocessing
        self._deadline_ns = int(deadline_ms * _MS)
        self._on_full = on_full
        self._memory: list[NDArray[Any]] = [engine.batch_memory(batch) for _ in range(buffers)]
        self._ring = BatchRing(buffers, batch, int(patience_ms * _MS))
        answers = np.empty((batch, engine.embedding_dim), np.float32)
        self._service = Service(self._ring, engine, self._memory, answers)
        self._start()

    def submit(self, frame: Picture, boxes_xyxy: ArrayLike, *, camera: int = 0, color: Color = "bgr") -> Ticket:
        """Cut the boxes of a frame, in this thread; the frame may be reused when this returns.

        Args:
            frame: (H, W, 3) uint8 or (H, W) grey, of anything that speaks the buffer protocol or DLPack, or a
                `YuvFrame`. Read where it lies, so each row's pixels have to lie side by side.
            boxes_xyxy: (N, 4) corners in pixels; more than a batch become several.
            camera: a number for whose boxes they are; `on_full` goes by it.
            color: order of the frame's channels.

        Raises:
            InvalidInput: `frame` could not be read without a copy; `boxes_xyxy` has another shape, or a box has no
                pixel in the frame; `camera` or `color` is none.
            EngineFailure: the batcher is closed, or was made in a process that this one was forked from.
        """
        if os.getpid() != self._process:
            raise EngineFailure("the batcher was made in another process", remedy="make one in each process")
        expect_color(color)
        picture = frame if isinstance(frame, YuvFrame) else _in_place(frame)
        boxes = checked_boxes(boxes_xyxy, height=picture.shape[0], width=picture.shape[1])
        if not (is_count(camera) and 0 <= camera < _MOST_CAMERAS):
            raise InvalidInput(f"camera={camera!r}", remedy=f"number cameras from 0 to {_MOST_CAMERAS - 1}")
        deadline_ns = monotonic_ns() + self._deadline_ns
        number = self._ring.issue()
        ticket = Ticket(len(boxes), self._engine.embedding_dim, number=number, batcher=self)
        if len(boxes):
            self._service.tickets[number] = ticket
        done = 0
        try:
            while done < len(boxes) and (rows := self._room(number, camera, len(boxes) - done)) is not None:
                buffer, first, count = rows
                out, part = self._memory[buffer][first : first + count], slice(done, done + count)
                done += count
                writing = self._ring.writing(rows, number, camera, part.start, deadline_ns)
                try:
                    cut_into(self._how, picture, boxes[part], out, color=color, then=writing)
                finally:
                    if not writing.end():
                        self._service.void(number, part)
        finally:
            self._service.void(number, slice(done, len(boxes)))
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Give up the rows of a ticket that no batch has taken yet; they will not be valid in its result."""
        while (taken := self._ring.recapture_ticket(ticket.number, _MOST_ROWS)) is not None:
            rows, owners = taken
            self._ring.abandon(rows)
            self._void(owners)

    @property
    def counters(self) -> Counters:
        """What it has done so far."""
        return Counters(*self._ring.counters(), copies=self._service.copies, allocations=len(self._memory))

    def close(self, *, timeout: float = 1.0) -> None:
        """Serve what was submitted, then end the engine's thread; to be called twice does no harm.

        Args:
            timeout: seconds to wait for crops that are being cut; after that they are void.
        """
        self._ring.close(monotonic_ns() + int(timeout * 1e9))
        self._thread.join()
        self._finalizer.detach()

    def restart(self) -> None:
        """Take submits again after `close`."""
        self.close()
        self._ring.reopen()
        self._start()

    def __enter__(self) -> CropBatcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        self._process = os.getpid()  # a forked child has no thread that would serve it
        # A daemon, so that who forgets to close can still leave: the finalizer ends it before threads are cut off.
        self._thread = Thread(target=self._service.serve, name=f"embed {self._engine.manifest.name}", daemon=True)
        self._thread.start()
        self._finalizer = weakref.finalize(self, _end, self._ring, self._thread)

    def _room(self, number: int, camera: int, wanted: int) -> tuple[int, int, int] | None:
        """Rows of one buffer, at most `wanted`; None where the policy is to do without."""
        rows = self._ring.reserve(wanted)
        while rows is None:
            if self._ring.is_closed():
                raise EngineFailure("the batcher is closed", remedy="restart it, or submit earlier")
            if self._on_full == "drop_oldest":
                return self._places_of_oldest(number, camera, wanted)
            if self._on_full == "iou_only":
                return None
            rows = self._ring.reserve_by(wanted, monotonic_ns() + _SIGNAL_CHECK_NS)
        return rows

    def _places_of_oldest(self, number: int, camera: int, wanted: int) -> tuple[int, int, int] | None:
        if (taken := self._ring.recapture_oldest(camera, number, wanted)) is None:
            return None
        rows, owners = taken
        self._void(owners)
        return rows

    def _void(self, owners: list[tuple[int, int]]) -> None:
        for number, index in owners:
            self._service.void(number, slice(index, index + 1))


def _end(ring: BatchRing, thread: Thread) -> None:
    ring.close(0)
    if thread is not current_thread():  # which may have held the last reference
        thread.join()


def _in_place(frame: Any) -> NDArray[np.uint8]:
    """The frame as an array over its own memory."""
    picture = frame_of(frame)
    if not pixels_lie_side_by_side(picture):
        raise InvalidInput(
            f"a frame of strides {picture.strides} would have to be copied, its pixels do not lie side by side",
            remedy="give np.ascontiguousarray(frame)",
        )
    return picture
