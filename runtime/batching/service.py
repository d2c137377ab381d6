"""The engine's side of a batcher: takes sealed batches, embeds them where they lie, hands the rows to their tickets."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.batching.ticket import Ticket
from reidkit.runtime.engines import Engine
from reidkit.runtime.errors import EngineFailure, NonFiniteEmbedding, ReidkitError
from reidkit.runtime.native import BatchRing

Part = tuple[int, int, int, int]
"""Rows of a batch that one ticket has in a row: first, how many, the ticket's number, index of the first within it."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What a batcher has done so far. Once nothing is under way, ``reserved == delivered + voided``.

    Attributes:
        reserved: rows that cameras asked for and got.
        delivered: rows that reached the engine.
        voided: rows that did not: given up, dropped, or written too late.
        batches: batches that left.
        copies: batches whose crops had to be copied, because the engine takes fixed sizes only and this was none.
        allocations: blocks of crop memory ever taken.
    """

    reserved: int
    delivered: int
    voided: int
    batches: int
    copies: int
    allocations: int


@dataclass(slots=True)
class Service:
    """One consumer of a ring.

    Attributes:
        ring: who may touch which rows.
        engine: embeds them.
        memory: the crops, (S, *crop) for each buffer.
        answers: (S, D) float32, where the engine writes.
        tickets: those not settled yet, by number.
        copies: as in `Counters`.
    """

    ring: BatchRing
    engine: Engine
    memory: list[NDArray[Any]]
    answers: NDArray[np.float32]
    tickets: dict[int, Ticket] = field(default_factory=dict)
    copies: int = 0

    def serve(self) -> None:
        """Batch after batch, until the ring is closed and drained."""
        try:
            while (sealed := self.ring.next()) is not None:
                self.run(*sealed)
        except BaseException as error:
            self.ring.close(0)
            failure = EngineFailure(f"the thread that serves {self.engine.manifest.name} ended with {error!r}")
            failure.__cause__ = error
            for ticket in list(self.tickets.values()):
                ticket.abort(failure)
            raise

    def run(self, buffer: int, parts: list[Part]) -> None:
        """Embed a sealed batch, give its buffer back and settle its tickets."""
        failures: dict[Part, ReidkitError] = {}
        try:
            for together in _without_holes(parts):
                failures.update(self._embed(self.memory[buffer], together))
        finally:
            self.ring.release(buffer)
        for part in parts:
            first, count, number, index = part
            rows = slice(index, index + count)
            ticket = self.tickets[number]
            if part in failures:
                self.drop_if(ticket.fail(rows, failures[part]), number)
            else:
                self.drop_if(ticket.settle(rows, self.answers[first : first + count]), number)

    def void(self, number: int, rows: slice) -> None:
        """These rows of a ticket will have no embeddings."""
        if rows.stop > rows.start:
            self.drop_if(self.tickets[number].settle(rows, None), number)

    def drop_if(self, settled: bool, number: int) -> None:
        """Forget a ticket that is settled."""
        if settled:
            del self.tickets[number]

    def _embed(self, memory: NDArray[Any], parts: list[Part]) -> dict[Part, ReidkitError]:
        """Embed parts that lie side by side; if the engine fails, each by itself, so that the error is its own's."""
        rows = slice(parts[0][0], parts[-1][0] + parts[-1][1])
        sizes = self.engine.manifest.batch
        last = (rows.stop - rows.start) % sizes.max
        self.copies += not sizes.dynamic and last not in (0, *sizes.buckets)
        try:
            self.engine.embed(memory[rows], out=self.answers[rows])
        except ReidkitError as error:
            if len(parts) == 1:
                return {parts[0]: self._within_ticket(error, parts[0])}
            return {part: failure for alone in parts for part, failure in self._embed(memory, [alone]).items()}
        return {}

    def _within_ticket(self, error: ReidkitError, part: Part) -> ReidkitError:
        """The error as the ticket's owner counts rows."""
        if not isinstance(error, NonFiniteEmbedding):
            return error
        return NonFiniteEmbedding([part[3] + row for row in error.rows], artifact=self.engine.manifest.name)


def _without_holes(parts: list[Part]) -> list[list[Part]]:
    """Parts that lie side by side, together: between others somebody may still be writing."""
    together: list[list[Part]] = [[part] for part in parts[:1]]
    for before, part in pairwise(parts):
        if before[0] + before[1] == part[0]:
            together[-1].append(part)
        else:
            together.append([part])
    return together
