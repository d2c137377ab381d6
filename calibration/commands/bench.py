"""`reidkit bench`: how fast artifacts are on this box, side by side, and which to take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from reidkit.calibration.benchmark.choice import Choice, choose, expect_one_network
from reidkit.calibration.benchmark.contest import Measured, latencies_of, measure
from reidkit.runtime.artifact import read_artifact
from reidkit.runtime.commands.shell import (
    FiniteRange,
    ProgressLine,
    ReidkitCommand,
    json_option,
    print_json,
    refuse_idle,
)
from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.latencies import latencies_file, record_latencies, this_machine


def _naturals(ctx: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, ...]:
    parts = [] if text is None else text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"{text!r} is not a list such as 1,4,8", ctx, parameter)
    return tuple(sorted({int(part) for part in parts}))


@click.command("bench", cls=ReidkitCommand)
@click.argument("artifacts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--batch", callback=_naturals, help="Batch sizes, such as 1,8.  [default: each artifact's own]")
@click.option("--threads", callback=_naturals, help="Thread counts, such as 1,2.  [default: 1, 2, 4 … all]")
@click.option("--device", default="auto", show_default=True, help="As for reid-track.")
@click.option("--seconds", type=FiniteRange(min=0, max=3600), default=2, show_default=True, help="For each figure.")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="How often all take their turn."
)
@click.option("--auto", is_flag=True, help="Also say which of these builds of one network to take, and how to run it.")
@click.option(
    "--people", type=click.IntRange(min=1), default=8, show_default=True, help="In a frame, for --auto to choose by."
)
@click.option("--trust", is_flag=True, help="Run native code in an artifact even if it was built elsewhere.")
@json_option
def bench(
    artifacts: tuple[Path, ...],
    batch: tuple[int, ...],
    threads: tuple[int, ...],
    device: str,
    seconds: float,
    rounds: int,
    auto: bool,
    people: int,
    trust: bool,
    as_json: bool,
) -> None:
    """Measure ARTIFACTS on this box: latency, throughput, memory, start-up and size.

    Each runs in a process of its own, and they take turns. The medians are kept for reid-models --recommend
    --budget-ms, unless --device names another than auto. Times are the clock's, but for CPU ms, of all threads, in
    which other work does not count.
    """
    if auto:
        expect_one_network([read_artifact(path)[0] for path in artifacts])
    else:
        refuse_idle(["people"], "without --auto")
    load = os.getloadavg()[0]
    if load > (os.cpu_count() or 1) / 2:
        click.echo(
            f"warning: other work runs here (load {load:.1f}): the times are too long, and a choice by them is unsure",
            err=True,
        )
    with ProgressLine() as line:
        measured = measure(
            artifacts,
            threads=threads,
            batches=batch,
            people=people if auto else None,
            rounds=rounds,
            seconds=seconds,
            device=device,
            trusted=trust,
            on_turn=lambda done, of: line.write(f"turn {done} of {of}"),
        )
    choices = choose(measured, people=people) if auto else []
    recorded = _recorded(measured) if device == "auto" else None
    if as_json:
        print_json(
            {
                "machine": this_machine(),
                "load": load,
                "device": device,
                "artifacts": [_report(each) for each in measured],
                "auto": {"people": people, "choices": [asdict(choice) for choice in choices]} if auto else None,
                "recorded": recorded,
            }
        )
    else:
        click.echo(_text(measured, choices, people))


def _recorded(measured: Sequence[Measured]) -> str | None:
    """Keep the medians, and say where; None, after a warning, where they cannot be kept."""
    try:
        record_latencies(latencies_of(measured))
    except InvalidFile as error:
        click.echo(f"warning: the times are told and not kept: {error}", err=True)
        return None
    return str(latencies_file())


def _report(each: Measured) -> dict[str, Any]:
    manifest = each.manifest
    return {
        "artifact": str(each.artifact),
        "name": manifest.name,
        "backbone": manifest.backbone.name,
        "target": manifest.target,
        "precision": manifest.precision.built,
        "bytes": each.bytes,
        "runs": [asdict(run) for run in each.runs],
    }


def _text(measured: Sequence[Measured], choices: Sequence[Choice], people: int) -> str:
    """The tables for people."""
    times = [["artifact", "threads", "batch", "p50 ms", "p95 ms", "p99 ms", "CPU ms", "crops/s"]]
    costs = [["artifact", "threads", "start ms", "open ms", "peak MiB", "size MB"]]
    for each in measured:
        for run in each.runs:
            label = [each.manifest.name, str(run.threads)]
            peak = "?" if run.peak_mib is None else f"{run.peak_mib:.0f}"
            costs.append([*label, f"{run.start_ms:.0f}", f"{run.open_ms:.0f}", peak, f"{each.bytes / 1e6:.1f}"])
            for of in run.figures:
                figures = [f"{ms:.2f}" for ms in (of.p50_ms, of.p95_ms, of.p99_ms, of.cpu_ms)]
                times.append([*label, str(of.batch), *figures, f"{of.crops_per_s:.0f}"])
    lines = [*_table(times), "", *_table(costs)]
    if choices:
        lines += ["", f"{people} people a frame:", *_table([["", "ms", "batches of", "threads"], *map(_row, choices)])]
        best = choices[0]
        lines += [
            "",
            f"take {best.target} {best.precision}: reid-track --reid {best.artifact} --threads {best.threads}",
            *(
                f"{Path(each.artifact).name} exported anew with --batch {cut.batch} would take {cut.frame_ms:.2f} ms, "
                f"with {cut.threads} threads"
                for each in choices
                if (cut := each.smaller)
            ),
        ]
    return "\n".join(lines)


def _row(choice: Choice) -> list[str]:
    return [Path(choice.artifact).name, f"{choice.frame_ms:.2f}", str(choice.batch), str(choice.threads)]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
