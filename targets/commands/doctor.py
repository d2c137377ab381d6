"""`reidkit doctor`: what this box is, what it can build and run, and what to do about the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from reidkit.runtime.commands.shell import ProgressLine, ReidkitCommand, json_option, print_json

if TYPE_CHECKING:
    from reidkit.runtime.box import Box
    from reidkit.runtime.box.libraries import Library
    from reidkit.targets._diagnosis import EngineReport, TargetReport, Verdict
    from reidkit.targets.self_test import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that `reidkit doctor` has to say; its JSON has the same names.

    Attributes:
        reidkit: its version.
        kernels: instruction set that our own kernels use.
        export_libraries: what making ONNX of weights needs.
        self_test: outcome by target; None if none was asked for.
    """

    reidkit: str
    box: Box
    kernels: str
    export_libraries: list[Library]
    export: Verdict
    engines: dict[str, EngineReport]
    targets: dict[str, TargetReport]
    self_test: dict[str, Outcome] | None


@click.command("doctor", cls=ReidkitCommand)
@click.option("--self-test", is_flag=True, help="Build a tiny network for every target, run it, compare with NumPy.")
@json_option
def doctor(self_test: bool, as_json: bool) -> None:
    """Say what this box is, which targets can be built and run here, and what to do about those that cannot.

    Installs nothing and changes nothing. Leaves with exit code 1 if a self-test failed.
    """
    report = _examine(self_test=self_test)
    if as_json:
        print_json(asdict(report))
    else:
        click.echo(_text(report))
    if any(outcome.status == "failed" for outcome in (report.self_test or {}).values()):
        raise SystemExit(1)


def _examine(*, self_test: bool) -> Report:
    # Here rather than above, so that a broken extension is told as every error is.
    from reidkit.runtime.box import read_box
    from reidkit.runtime.native import instruction_set
    from reidkit.targets._diagnosis import examine_engines, examine_export, examine_targets

    box = read_box()
    engines = examine_engines(box.nvidia)
    targets = examine_targets(box.nvidia, engines)
    export_libraries, export = examine_export()
    return Report(
        reidkit=version("reidkit"),
        box=box,
        kernels=instruction_set(),
        export_libraries=export_libraries,
        export=export,
        engines=engines,
        targets=targets,
        self_test=_prove(list(targets)) if self_test else None,
    )


def _prove(names: list[str]) -> dict[str, Outcome]:
    from reidkit.targets.self_test import prove_apart

    outcomes = {}
    with ProgressLine() as line:
        for name in names:
            line.write(f"{name} …")
            outcomes[name] = prove_apart(name)
    return outcomes


def _text(report: Report) -> str:
    """The report for people."""
    system, processor, memory = report.box.system, report.box.processor, report.box.memory
    fast = " and ".join(processor.fast_precisions)
    gain = f"; has instructions for {fast}" if fast else ""
    shared = "" if processor.usable == processor.logical else f", {processor.usable} of them usable"
    limit = "" if memory.limit_mib is None else f", at most {memory.limit_mib} for this container"
    facts = {
        "reidkit": report.reidkit,
        "system": ", ".join(filter(None, (system.name, system.kernel, system.machine, system.libc)))
        + f", Python {system.python}",
        "board": system.board,
        "processor": f"{processor.name}, {processor.logical} logical{shared}",
        "instructions": f"{', '.join(processor.instructions) or 'unknown'}{gain}",
        "our kernels": report.kernels,
        "memory": f"{memory.total_mib or 'unknown'} MiB, {memory.available_mib or 'unknown'} free{limit}",
        "NVIDIA": _nvidia(report),
        "libraries": _versions({library.name: library for library in _libraries(report)}),
    }
    lines = [f"{name:12}  {value}" for name, value in facts.items() if value]
    rows = [["target", "precisions", "build here", "run here", *([] if report.self_test is None else ["self-test"])]]
    for name, target in report.targets.items():
        row = [name, ", ".join(target.precisions), *("yes" if v.possible else "no" for v in (target.build, target.run))]
        rows.append(row if report.self_test is None else [*row, report.self_test[name].status.replace("_", " ")])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines += ["", *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows), ""]
    lines += _why("export from weights", report.export)
    for name, target in report.targets.items():
        lines += [*_why(f"build {name}", target.build), *_why(f"run {name}", target.run)]
    for name, outcome in (report.self_test or {}).items():
        lines.append(f"self-test of {name}: {outcome.detail}")
    return "\n".join(lines).rstrip()


def _nvidia(report: Report) -> str:
    nvidia = report.box.nvidia
    found = {
        "driver": nvidia.driver,
        "CUDA": nvidia.cuda,
        "Jetson Linux": nvidia.jetson_linux,
        "JetPack": nvidia.jetpack,
        "the system's TensorRT": nvidia.tensorrt,
    }
    return (
        "; ".join([*map(str, nvidia.gpus), *(f"{what} {value}" for what, value in found.items() if value)])
        or "no GPU, no driver"
    )


def _libraries(report: Report) -> list[Library]:
    return [*report.export_libraries, *(library for engine in report.engines.values() for library in engine.libraries)]


def _versions(libraries: Mapping[str, Library]) -> str:
    return ", ".join(f"{name} {library.version or '(not installed)'}" for name, library in libraries.items())


def _why(what: str, verdict: Verdict) -> list[str]:
    """The reason and the remedy; nothing where all is well."""
    if verdict.possible:
        return []
    return [f"cannot {what}: {verdict.reason}", *([f"  -> {verdict.remedy}"] if verdict.remedy else [])]
