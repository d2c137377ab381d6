"""`python -m bench.engines ARTIFACT…`: what our engine costs over the library's bare call.

One process, one thread, one batch: `Engine.embed` checks the batch, has it run, copies the rows, looks for what is not
finite and normalises; the bare call is the library's own, on a model compiled apart with the same settings, and gives
its rows as they are. Calls alternate, and each round begins with the other one.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bench.measurement import table
from reidkit.runtime import Engine, open_artifact
from reidkit.runtime.commands.shell import print_json
from reidkit.runtime.latencies import this_machine

Bare = Callable[[NDArray[Any]], Any]


@dataclass(frozen=True)
class Overhead:
    """CPU milliseconds of a batch, medians, and the quotient of both, less one, in percent.

    `least_percent` is the same of the quickest calls, which the machine disturbed least, by the clock.
    """

    artifact: str
    batch: int
    ours_ms: float
    bare_ms: float
    percent: float
    least_percent: float


def openvino_call(folder: Path, engine: Engine, batch: int) -> Bare:
    import openvino

    core = openvino.Core()
    model = core.read_model(folder / engine.manifest.engine_file)
    model.reshape([batch, *engine.batch_memory(1).shape[1:]])
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": "1"}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda crops: request.infer([crops], share_inputs=True, share_outputs=True)[0]


def onnxruntime_call(folder: Path, engine: Engine, batch: int) -> Bare:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        folder / engine.manifest.engine_file, options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda crops: session.run(None, {name: crops})[0]


BARE = {"openvino": openvino_call, "onnxruntime": onnxruntime_call}


def compare(folder: Path, *, batch: int, rounds: int) -> Overhead:
    with open_artifact(folder, threads=1) as engine:
        crops = engine.batch_memory(batch)
        crops[...] = np.random.default_rng(0).integers(0, 256, crops.shape)
        out = np.empty((batch, engine.embedding_dim), np.float32)
        bare = BARE[engine.manifest.engine](folder, engine, batch)
        calls = [lambda: engine.embed(crops, out=out), lambda: bare(crops)]
        answers = [np.array(call()) for call in calls]
        rows = answers[1] / np.linalg.norm(answers[1], axis=1, keepdims=True)
        assert np.allclose(answers[0], rows, atol=1e-5), "the bare call computes something else"
        cpu: list[list[float]] = [[], []]
        wall: list[list[float]] = [[], []]
        for number in range(rounds):
            for which in (0, 1) if number % 2 else (1, 0):
                spent, begun = process_time(), perf_counter()
                calls[which]()
                wall[which].append(1e3 * (perf_counter() - begun))
                cpu[which].append(1e3 * (process_time() - spent))
        ours_ms, bare_ms = map(statistics.median, cpu)
        name = engine.manifest.name
    quickest = [statistics.median(sorted(times)[: max(1, rounds // 10)]) for times in wall]
    return Overhead(name, batch, ours_ms, bare_ms, 100 * (ours_ms / bare_ms - 1), 100 * (quickest[0] / quickest[1] - 1))


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
        "ours, CPU ms": [f"{each.ours_ms:.3f}" for each in found],
        "bare, CPU ms": [f"{each.bare_ms:.3f}" for each in found],
        "overhead": [f"{each.percent:+.1f} %" for each in found],
        "of the quickest tenth": [f"{each.least_percent:+.1f} %" for each in found],
    }
    names = [f"{each.artifact}, {each.batch} crops" for each in found]
    click.echo(this_machine())
    click.echo(table("", {column: dict(zip(names, cells, strict=True)) for column, cells in columns.items()}))


if __name__ == "__main__":
    main()
