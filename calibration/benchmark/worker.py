"""One artifact, open in a process of its own, that takes turns.

Started by `Contender`, and spoken to through a pipe: it sends `Ready`, or the error that kept it from being ready; then
a `Turn` is answered with `Times`, and None with the most memory that the process had so far.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.engines import Engine, open_artifact
from reidkit.runtime.errors import ReidkitError

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The artifact is open and has embedded a first crop.

    Attributes:
        open_ms: what opening took.
        device: what it really runs on.
        execution: what else is known of how it runs; see `EngineBase`.
    """

    open_ms: float
    device: str
    execution: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Embed batches of one size, one after another, for a while: one that does not count, then at least one."""

    batch: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """What a turn took.

    Attributes:
        wall_ms: of each batch, by the clock.
        cpu_ms: of all batches, of all threads.
    """

    wall_ms: list[float]
    cpu_ms: float


def serve(pipe: Connection, artifact: str, threads: int, *, device: str, trusted: bool) -> None:
    """Be a worker until the pipe is closed."""
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # whoever asked is gone
        try:
            begun = perf_counter()
            with open_artifact(artifact, device=device, threads=threads, trusted=trusted) as engine:
                open_ms = 1e3 * (perf_counter() - begun)
                ready = Ready(open_ms=open_ms, device=engine.device, execution=dict(engine.execution))
                engine.embed(_crops(engine, 1))
                pipe.send(ready)
                while True:
                    request: Turn | None = pipe.recv()
                    pipe.send(peak_mib() if request is None else _times(engine, request))
        except ReidkitError as error:
            pipe.send(error)


def peak_mib() -> float | None:
    """The most memory that this process had resident so far; None where the system does not tell."""
    # Not getrusage, whose peak is that of the process this one was forked from, if that was larger.
    lines = _STATUS.read_text().splitlines() if _STATUS.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


def _times(engine: Engine, turn: Turn) -> Times:
    crops = _crops(engine, turn.batch)
    out = np.empty((turn.batch, engine.embedding_dim), np.float32)
    engine.embed(crops, out=out)  # wakes threads, compiles for this size, fills caches
    wall_ms, spent = [], process_time()
    end = perf_counter() + turn.seconds
    while True:
        begun = perf_counter()
        engine.embed(crops, out=out)
        done = perf_counter()
        wall_ms.append(1e3 * (done - begun))
        if done >= end:
            return Times(wall_ms=wall_ms, cpu_ms=1e3 * (process_time() - spent))


def _crops(engine: Engine, count: int) -> NDArray[Any]:
    """Seeded noise, in memory that the engine reads where it lies."""
    crops = engine.batch_memory(count)
    levels = np.random.default_rng(0).integers(0, 256, crops.shape)
    crops[...] = levels if crops.dtype == np.uint8 else levels / 255
    return crops
