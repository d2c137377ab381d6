"""Artifacts that take turns, and what is seen of each: latency, throughput, memory, start-up, size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from reidkit.calibration.benchmark.contender import Contender
from reidkit.calibration.benchmark.worker import Times, Turn
from reidkit.runtime.artifact import read_artifact
from reidkit.runtime.artifact.manifest import Batch, Manifest
from reidkit.runtime.box.processor import usable_processors
from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.latencies import Latency, this_machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Batches of one size; what is more than the artifact takes at once is cut, and timed as a whole.

    Attributes:
        samples: how many were timed.
        p50_ms: the median of a whole batch, by the clock; `p95_ms` and `p99_ms` are its other percentiles.
        cpu_ms: of all threads, the mean for a batch; what else runs on the machine does not count.
        crops_per_s: crops of all batches by the time of all.
    """

    batch: int
    samples: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms: float
    crops_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An artifact with one thread count.

    Attributes:
        open_ms: what opening it took, with all checks.
        start_ms: from the start of a process to its first embedding.
        peak_mib: the most memory that process had, after its largest batch; None where the system does not tell.
        device: what it really ran on.
        execution: what else is known of how it ran; see `EngineBase`.
    """

    threads: int
    open_ms: float
    start_ms: float
    peak_mib: float | None
    device: str
    execution: Mapping[str, Any]
    figures: list[Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """An artifact, and what was measured of it; `bytes` is all its files but the manifest."""

    artifact: Path
    manifest: Manifest
    bytes: int
    runs: list[Run]


def measure(
    artifacts: Sequence[Path],
    *,
    threads: Sequence[int] = (),
    batches: Sequence[int] = (),
    people: int | None = None,
    rounds: int = 5,
    seconds: float = 2.0,
    device: str = "auto",
    trusted: bool = False,
    on_turn: Callable[[int, int], None] = lambda done, of: None,
) -> list[Measured]:
    """What each artifact does here.

    Args:
        artifacts: their folders.
        threads: to measure each with; by default 1, 2, 4 … and as many as this process may use.
        batches: sizes to measure; by default each artifact's own.
        people: crops of a frame to measure besides, embedded as a run embeds them: cut where they are more than an
            artifact takes at once.
        rounds: how often all take their turn, each round beginning with another one.
        seconds: for one figure, over all rounds.
        device: as for `open_artifact`.
        trusted: likewise.
        on_turn: told after each turn how many are done, and of how many.

    Raises:
        InvalidInput: an artifact is named twice or does not take batches of such a size, there is no such time, or
            there are fewer processors than threads.
        ReidkitError: an artifact cannot be opened or run.
    """
    if not 0 <= seconds < math.inf:
        raise InvalidInput(f"nothing can be measured for {seconds} seconds")
    if (most := usual_threads()[-1]) < max(threads or [1]):
        raise InvalidInput(f"{max(threads)} threads on {most} processors measure nothing", remedy="give fewer")
    manifests = {path: read_artifact(path)[0] for path in artifacts}
    if len({path.resolve() for path in artifacts}) < len(artifacts):
        raise InvalidInput("an artifact is named twice", remedy="name each once")
    frame = set() if people is None else {people}
    sizes = {path: sorted({*_sizes(manifest, batches), *frame}) for path, manifest in manifests.items()}
    contenders = [(path, count) for path in artifacts for count in threads or usual_threads()]
    turns: dict[tuple[Path, int, int], list[Times]] = {
        (path, count, batch): [] for path, count in contenders for batch in sizes[path]
    }
    with ExitStack() as stack:
        running = {
            (path, count): stack.enter_context(Contender(path, threads=count, device=device, trusted=trusted))
            for path, count in contenders
        }
        done = 0
        for number in range(rounds):
            first = number % len(contenders)
            for path, count in contenders[first:] + contenders[:first]:
                for batch in sizes[path]:
                    turn = Turn(batch=batch, seconds=seconds / rounds)
                    turns[path, count, batch].append(running[path, count].take_turn(turn))
                    done += 1
                    on_turn(done, rounds * len(turns))
        runs = {
            (path, count): Run(
                threads=count,
                open_ms=contender.ready.open_ms,
                start_ms=contender.start_ms,
                peak_mib=contender.peak_mib(),
                device=contender.ready.device,
                execution=contender.ready.execution,
                figures=[_figure(batch, turns[path, count, batch]) for batch in sizes[path]],
            )
            for (path, count), contender in running.items()
        }
    return [
        Measured(
            artifact=path,
            manifest=manifest,
            bytes=sum(record.bytes for record in manifest.files.values()),
            runs=[run for (of, _), run in runs.items() if of == path],
        )
        for path, manifest in manifests.items()
    ]


def usual_threads() -> list[int]:
    """1, 2, 4 … and as many processors as this process may use."""
    usable = usable_processors()
    return sorted({usable, *(1 << power for power in range(usable.bit_length()))})


def usual_batches(batch: Batch) -> list[int]:
    """An artifact's buckets; where it has none one crop, eight, and its maximum."""
    return batch.buckets or sorted({1, min(8, batch.max), batch.max})


def latencies_of(measured: Sequence[Measured]) -> list[Latency]:
    """The figures as this box's cache keeps them."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return [
        Latency(
            backbone=each.manifest.backbone.name,
            artifact=each.manifest.name,
            target=each.manifest.target,
            precision=each.manifest.precision.built,
            batch=figure.batch,
            threads=run.threads,
            latency_ms=round(figure.p50_ms, 4),
            machine=this_machine(),
            measured=now,
        )
        for each in measured
        for run in each.runs
        for figure in run.figures
        if figure.batch <= each.manifest.batch.max  # others are several batches
    ]


def _sizes(manifest: Manifest, asked: Sequence[int]) -> list[int]:
    if asked and max(asked) > manifest.batch.max:
        raise InvalidInput(
            f"{manifest.name} takes at most {manifest.batch.max} crops at once, not {max(asked)}",
            remedy="longer batches are cut: measure what they are cut into",
        )
    return list(asked) or usual_batches(manifest.batch)


def _figure(batch: int, turns: Sequence[Times]) -> Figure:
    wall_ms = np.concatenate([turn.wall_ms for turn in turns])
    p50, p95, p99 = (float(value) for value in np.percentile(wall_ms, (50, 95, 99)))
    return Figure(
        batch=batch,
        samples=len(wall_ms),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        cpu_ms=sum(turn.cpu_ms for turn in turns) / len(wall_ms),
        crops_per_s=float(1e3 * batch * len(wall_ms) / wall_ms.sum()),
    )
