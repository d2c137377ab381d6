"""An export before its gates: what was built beside the original it was built from.

Where the engine cannot run here, the graph is judged in its place, or what its file says is computed without it. What
it would be worth is not judged then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.gates import GateReport, worth
from reidkit.calibration.gates.embedder import Embedder
from reidkit.calibration.gates.judging import Evidence, Verdict, judge
from reidkit.calibration.gates.report import not_run
from reidkit.calibration.gates.worth import FLOATS, worth_gate
from reidkit.calibration.report import write_report
from reidkit.export.fidelity import Fidelity
from reidkit.export.onnx import run_onnx
from reidkit.export.originals import Original
from reidkit.runtime.artifact.folder import write_manifest
from reidkit.runtime.artifact.manifest import Manifest
from reidkit.runtime.artifact.recipe import GRAPH_FILE
from reidkit.runtime.engines import EngineBase, engines
from reidkit.targets import Precision, Target

Judged = Literal["engine", "graph", "program, evaluated operator by operator; not run on a device"]
_ORIGINAL_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What was built, before it is judged.

    Attributes:
        manifest: of the artifact, complete but for what is found out here.
        folder: with all files of the artifact but the manifest.
        target: what built it.
        evaluate: computes what the engine file says without the engine, if anything does; see `BuiltEngine`.
    """

    manifest: Manifest
    folder: Path
    target: Target
    evaluate: Callable[[NDArray[Any]], NDArray[np.float32]] | None


def judge_graph(graph: Path, fidelity: Fidelity, *, name: str, report: Path | None) -> None:
    """Hold the float32 graph to the original, before anything is made of it.

    Args:
        graph: the ONNX file.
        fidelity: crops with what the original makes of them.
        name: of the artifact.
        report: where to write a page about it if it fails; None for nowhere.

    Raises:
        GateFailure: it differs.
    """
    few = fidelity.on_few()
    verdict = few.judge(run_onnx(graph), Precision.FP32)
    if report is not None and not verdict.passed:
        write_report(report, name=name, verdict=verdict)
    few.expect_near("the ONNX graph", verdict, Precision.FP32)


def judge_build(
    build: Build,
    original: Original,
    fidelity: Fidelity,
    *,
    evidence: Evidence | None,
    floats: Callable[[Path], list[Path]],
    report: Path | None,
    progress: Callable[[str], None],
) -> tuple[Verdict, Judged]:
    """The verdict on what was built, and what was judged.

    Args:
        build: its folder gets a manifest, for whoever measures it.
        original: what it is held to.
        fidelity: crops with what the original makes of them.
        evidence: what else to judge by; None for the first gate alone.
        floats: the float artifacts that int8 has to beat; those that are not there yet are built in the folder given.
        report: where to write a page about it, passed or not; None for nowhere.
        progress: told of each stage as it begins.

    Raises:
        GateFailure: a gate failed.
    """
    manifest = build.manifest
    precision = Precision(manifest.precision.built)
    with _running(build) as (candidate, judged):
        progress(f"checking {len(fidelity.crops)} crops on the {judged}")
        verdict = near = fidelity.judge(candidate.answer, precision)
        if near.passed and evidence is not None:
            write_manifest(build.folder, manifest)
            verdict = judge(
                candidate,
                Embedder(original.reference, original.preprocessing, _ORIGINAL_BATCH, original.embed).as_reference(),
                evidence,
                embedding=near.gate("embedding"),
                parity=near.parity,
                worth_it=partial(_worth, build, evidence, judged, floats, progress),
                progress=progress,
            )
    if report is not None:
        write_report(report, name=manifest.name, verdict=verdict, manifest=manifest)
    fidelity.expect_near(f"the {candidate.name}", near, precision)
    facts = {"artifact": None, "precision_built": str(precision)}
    verdict.expect_passed(manifest.name, remedy="nothing was published", facts=facts)
    return verdict, judged


@contextmanager
def _running(build: Build) -> Iterator[tuple[Embedder, Judged]]:
    """The engine, or what can run here in its place: the graph, or the engine's file without it."""
    manifest, target = build.manifest, build.target
    kind: type[EngineBase] = engines()[manifest.engine].load()
    preprocessing, batch = manifest.preprocessing, manifest.batch.max
    if target.portable and (not manifest.is_built or kind.available() is not None):
        yield Embedder("ONNX graph", preprocessing, batch, run_onnx(build.folder / GRAPH_FILE)), "graph"
        return
    if build.evaluate is not None and kind.available() is not None:
        without = Embedder(f"{target.name} program", preprocessing, batch, build.evaluate)
        yield without, "program, evaluated operator by operator; not run on a device"
        return
    with kind(manifest, build.folder, device="auto", threads=None) as engine:
        yield Embedder(f"{target.name} engine", preprocessing, batch, Embedder.of(engine).answer), "engine"


def _worth(
    build: Build,
    evidence: Evidence,
    judged: Judged,
    floats: Callable[[Path], list[Path]],
    progress: Callable[[str], None],
) -> GateReport:
    """The last gate."""
    skipped = partial(not_run, worth.NAME, measure=worth.PRINCIPAL)
    built = build.manifest.precision.built
    if judged != "engine":
        return skipped(why="its engine cannot run here")
    if built in FLOATS:
        return skipped(why=f"{built} is float itself")
    with TemporaryDirectory(prefix="reidkit-float-") as scratch:
        return worth_gate(
            build.folder,
            floats(Path(scratch)),
            evidence.limits.worth_it,
            seconds=evidence.seconds,
            allow_slower=evidence.allow_slower,
            trusted=True,
            on_turn=lambda done, of: progress(f"measuring, turn {done} of {of}"),
        )
