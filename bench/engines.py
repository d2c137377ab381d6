"""`python -m bench.engines ARTIFACT…`: what our engine costs over the library's bare call.

One process, one thread, one batch: `Engine.embed` checks the batch, has it run, copies the rows, looks for what is not
finite and normalises; the bare call is the library's own, on the very same compiled model (a second one lies elsewhere
in memory, which alone is some percent), and gives its rows as they are. Calls alternate, and each round begins with the
other one. *Ours alone* is `embed` with the library's answer given at once: what no load on the machine can blur.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bench.measurement import table
from reidkit.runtime import open_artifact
from reidkit.runtime.commands.shell import print_json
from reidkit.runtime.latencies import this_machine

Bare = Callable[[NDArray[Any]], Any]


@dataclass(frozen=True)
class Overhead:
    """Of a batch, by the clock: medians of the quickest tenth of the calls, which the machine disturbed least.

    `percent` is ours by bare, less one; `alone_percent` is ours alone by bare.
    """

    artifact: str
    batch: int
    ours_ms: float
    bare_ms: float
    percent: float
    alone_us: float
    alone_percent: float


def openvino_call(engine: Any, batch: int) -> Bare:
    request = engine._request(batch)
    return lambda crops: request.infer([crops], share_inputs=True, share_outputs=True)[0]


def onnxruntime_call(engine: Any, batch: int) -> Bare:
    session, outputs, name = engine._session, [engine._output], engine._input
    return lambda crops: session.run(outputs, {name: crops})[0]


BARE = {"openvino": openvino_call, "onnxruntime": onnxruntime_call}


def compare(folder: Path, *, batch: int, rounds: int) -> Overhead:
    with open_artifact(folder, threads=1) as engine:
        crops = engine.batch_memory(batch)
        crops[...] = np.random.default_rng(0).integers(0, 256, crops.shape)
        out = np.empty((batch, engine.embedding_dim), np.float32)
        bare = BARE[engine.manifest.engine](engine, batch)
        answer = np.array(bare(crops))
        ours_ms, bare_ms = quickest([lambda: engine.embed(crops, out=out), lambda: bare(crops)], rounds)
        assert np.allclose(out, answer / np.linalg.norm(answer, axis=1, keepdims=True), atol=1e-5)
        engine._run = lambda batch: answer  # type: ignore[attr-defined]
        (alone_ms,) = quickest([lambda: engine.embed(crops, out=out)], rounds)
    return Overhead(
        engine.manifest.name,
        batch,
        ours_ms,
        bare_ms,
        percent=100 * (ours_ms / bare_ms - 1),
        alone_us=1e3 * alone_ms,
        alone_percent=100 * alone_ms / bare_ms,
    )


def quickest(calls: list[Callable[[], Any]], rounds: int) -> list[float]:
    """Median milliseconds of the quickest tenth of `rounds` calls of each, in turns."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(-2, rounds):  # two to warm up
        turn = list(zip(calls, times, strict=True))
        for call, kept in turn if number % 2 else reversed(turn):
            begun = perf_counter()
            call()
            if number >= 0:
                kept.append(1e3 * (perf_counter() - begun))
    return [statistics.median(sorted(kept)[: max(1, rounds // 10)]) for kept in times]


@click.command()
@click.argument("artifacts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--batch", "batches", type=int, multiple=True, default=(1, 8), show_default=True, help="Sizes.")
@click.option("--rounds", default=400, show_default=True, help="Calls of each.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(artifacts: tuple[Path, ...], batches: tuple[int, ...], rounds: int, as_json: bool) -> None:
    """Measure what `Engine.embed` costs over the bare call of OpenVINO and ONNX Runtime."""
    found = [compare(folder, batch=batch, rounds=rounds) for folder in artifacts for batch in batches]
    if as_json:
        print_json({"machine": this_machine(), "overhead": [asdict(each) for each in found]})
        return
    columns = {
        "ours, ms": [f"{each.ours_ms:.3f}" for each in found],
        "bare, ms": [f"{each.bare_ms:.3f}" for each in found],
        "overhead": [f"{each.percent:+.1f} %" for each in found],
        "ours alone": [f"{each.alone_us:.0f} µs, {each.alone_percent:.1f} %" for each in found],
    }
    names = [f"{each.artifact}, {each.batch} crops" for each in found]
    click.echo(this_machine())
    click.echo(table("", {column: dict(zip(names, cells, strict=True)) for column, cells in columns.items()}))


if __name__ == "__main__":
    main()
