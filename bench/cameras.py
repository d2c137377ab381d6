"""`python -m bench.cameras`: many cameras into one engine, by `CropBatcher` and by a mutex and a queue.

Eight cameras send 30 frames a second with 20 people each. *Wait* is what passes from a crop's turn to be cut until the
engine's thread takes its batch. With ``--stall-ms`` camera 0 stops so long, once a second, with rows reserved and half
written. The engine is an artifact's, or one that sleeps for a while, as one on a device does for the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from time import monotonic, process_time, sleep
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bench.crops import people, picture
from bench.measurement import table
from reidkit.runtime import CropBatcher, Engine, open_artifact
from reidkit.runtime.commands.shell import print_json


@dataclass
class Load:
    """What the cameras do."""

    cameras: int
    rate: float
    people: int
    seconds: float
    stall_ms: float


@dataclass
class Seen:
    """What came of it: of the crops of all cameras, of the frames of all but the one that stalls."""

    waits_ms: list[float] = field(default_factory=list)
    frames_ms: list[float] = field(default_factory=list)
    missed: int = 0


class SleepingEngine:
    """Answers with zeros after a while."""

    embedding_dim = 512

    def __init__(self, engine: Engine, batch_ms: float) -> None:
        self.manifest, self.batch_memory, self.cut = engine.manifest, engine.batch_memory, engine.cut
        self._seconds = batch_ms / 1e3

    def embed(self, batch: NDArray[Any], *, out: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `EngineBase.embed`, without looking at the crops."""
        sleep(self._seconds)
        out[:] = 0
        return out


class TimedRing:
    """A batcher's ring that notes when rows begin to be cut and when their batch is taken."""

    def __init__(self, ring: Any, seen: Seen) -> None:
        self._ring, self._seen = ring, seen
        self._begun: dict[tuple[int, int], float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ring, name)

    def writing(self, rows: tuple[int, int, int], *label: int) -> Any:
        """As the ring's."""
        now, (buffer, first, count) = monotonic(), rows
        self._begun.update({(buffer, row): now for row in range(first, first + count)})
        return self._ring.writing(rows, *label)

    def next(self) -> Any:
        """As the ring's."""
        if (sealed := self._ring.next()) is not None:
            now, (buffer, parts) = monotonic(), sealed
            for first, count, *_ in parts:
                self._seen.waits_ms += [1e3 * (now - self._begun[buffer, row]) for row in range(first, first + count)]
        return sealed


def by_batcher(engine: Any, load: Load, seen: Seen, *, batch: int, deadline_ms: float, stack: ExitStack) -> Any:
    """How a camera has a frame's crops embedded."""
    batcher = CropBatcher(engine, batch=batch, buffers=6, deadline_ms=deadline_ms, on_full="iou_only")
    batcher.close()
    ring = batcher._ring = batcher._service.ring = TimedRing(batcher._ring, seen)
    batcher.restart()
    stack.callback(batcher.close)

    def stall() -> None:
        if (rows := ring.reserve(3)) is not None:
            sleep(load.stall_ms / 1e3)
            ring.commit(rows, 0, 0, 0, 0)

    def submit(camera: int, frame: NDArray[np.uint8], boxes: NDArray[np.float32]) -> Callable[[], int]:
        ticket = batcher.submit(frame, boxes, camera=camera)
        return lambda: int((~ticket.result().valid).sum())

    return submit, stall


def by_queue(engine: Any, load: Load, seen: Seen, *, batch: int, deadline_ms: float, stack: ExitStack) -> Any:
    """The same with a lock: crops are cut into arrays of their own, queued, gathered and copied together."""
    crops: Queue[tuple[float, NDArray[Any], Queue[None]]] = Queue(6 * batch)
    stop = Event()

    def serve() -> None:
        answers = np.empty((batch, engine.embedding_dim), np.float32)
        while not stop.is_set():
            gathered: list[tuple[float, NDArray[Any], Queue[None]]] = []
            try:
                gathered.append(crops.get(timeout=0.05))
                while len(gathered) < batch:
                    gathered.append(crops.get(timeout=max(0.0, gathered[0][0] + deadline_ms / 1e3 - monotonic())))
            except Empty:
                if not gathered:
                    continue
            now = monotonic()
            seen.waits_ms += [1e3 * (now - cut) for cut, _, _ in gathered]
            engine.embed(np.stack([crop for _, crop, _ in gathered]), out=answers[: len(gathered)])
            for _, _, done in gathered:
                done.put(None)

    thread = Thread(target=serve)
    thread.start()
    stack.callback(thread.join)
    stack.callback(stop.set)

    def submit(camera: int, frame: NDArray[np.uint8], boxes: NDArray[np.float32]) -> Callable[[], int]:
        done: Queue[None] = Queue()
        queued, begun = 0, monotonic()
        for crop in engine.cut(frame, boxes):
            if not crops.full():
                crops.put((begun, crop, done))
                queued += 1

        def missed() -> int:
            for _ in range(queued):
                done.get()
            return len(boxes) - queued

        return missed

    return submit, lambda: sleep(load.stall_ms / 1e3)


def measure(
    contender: Callable[..., Any], engine: Any, load: Load, *, batch: int, deadline_ms: float
) -> dict[str, float]:
    """Figures of one contender."""
    seen = Seen()
    frame, boxes = picture(), [people(load.people, seed=camera) for camera in range(load.cameras)]
    with ExitStack() as stack:
        submit, stall = contender(engine, load, seen, batch=batch, deadline_ms=deadline_ms, stack=stack)
        begin, cpu = monotonic() + 0.1, process_time()

        def camera(number: int) -> None:
            for index in range(int(load.seconds * load.rate)):
                sleep(max(0.0, begin + (index + number / load.cameras) / load.rate - monotonic()))
                if number == 0 and load.stall_ms and index % int(load.rate) == 0:
                    stall()
                started = monotonic()
                missed = submit(number, frame, boxes[number])()
                seen.missed += missed
                if number:
                    seen.frames_ms.append(1e3 * (monotonic() - started))

        threads = [Thread(target=camera, args=(number,)) for number in range(load.cameras)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cpu = process_time() - cpu
    frames = int(load.seconds * load.rate) * load.cameras
    return {
        "wait p50 ms": float(np.percentile(seen.waits_ms, 50)),
        "wait p99 ms": float(np.percentile(seen.waits_ms, 99)),
        "wait max ms": max(seen.waits_ms),
        "frame p99 ms": float(np.percentile(seen.frames_ms, 99)),
        "frame max ms": max(seen.frames_ms),
        "without embedding %": 100 * seen.missed / (frames * load.people),
        "CPU ms a frame": 1e3 * cpu / frames,
    }


@click.command()
@click.argument("artifact", type=click.Path(exists=True, path_type=Path))
@click.option("--batch-ms", type=float, help="Sleep so long for a batch instead of running the artifact.")
@click.option("--cameras", default=8, show_default=True)
@click.option("--rate", default=30.0, show_default=True, help="Frames a second of each camera.")
@click.option("--people", "count", default=20, show_default=True, help="People in a frame.")
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--stall-ms", default=500.0, show_default=True)
@click.option("--batch", default=8, show_default=True)
@click.option("--deadline-ms", default=5.0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(
    artifact: Path,
    batch_ms: float | None,
    cameras: int,
    rate: float,
    count: int,
    seconds: float,
    stall_ms: float,
    batch: int,
    deadline_ms: float,
    as_json: bool,
) -> None:
    """Measure what many cameras wait for one engine, without and with a camera that stalls."""
    found: dict[str, dict[str, float]] = {}
    with open_artifact(artifact, threads=1) as real:
        engine: Any = real if batch_ms is None else SleepingEngine(real, batch_ms)
        for name, contender in (("CropBatcher", by_batcher), ("mutex and queue", by_queue)):
            for stalls in (0.0, stall_ms):
                load = Load(cameras, rate, count, seconds, stalls)
                figures = measure(contender, engine, load, batch=batch, deadline_ms=deadline_ms)
                found[name + (", one stalls" if stalls else "")] = figures
    if as_json:
        print_json(found)
        return
    headings = next(iter(found.values()))
    click.echo(table("", {heading: {name: f"{found[name][heading]:.1f}" for name in found} for heading in headings}))


if __name__ == "__main__":
    main()
