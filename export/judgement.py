"""An export before its gates: what was built beside the original it was built from.

Where the engine cannot run here, the graph is judged in its place, or what its file says is computed without it. What
it would be worth is not judged then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from reidkit.calibration.gates.worth import FLOATS, float_siblings, worth_gate
from reidkit.calibration.report import write_report
from reidkit.export.fidelity import Fidelity
from reidkit.export.onnx import run_onnx
from reidkit.export.originals import Original
from reidkit.runtime.artifact.folder import write_manifest
from reidkit.runtime.artifact.manifest import Manifest
from reidkit.runtime.artifact.recipe import GRAPH_FILE
from reidkit.runtime.engines import EngineBase, engines
from reidkit.targets import Precision, Target

Answer = Callable[[NDArray[Any]], NDArray[np.float32]]
"""Input tensors to raw embeddings."""

Judged = Literal["engine", "graph", "program, evaluated operator by operator; not run on a device"]
_ORIGINAL_BATCH = 32


def judge_build(
    manifest: Manifest,
    folder: Path,
    original: Original,
    fidelity: Fidelity,
    evidence: Evidence | None,
    *,
    target: Target,
    evaluate: Answer | None,
    output: Path,
    build_float: Callable[[Path], Path],
    report: Path | None,
    progress: Callable[[str], None],
) -> tuple[Verdict, Judged]:
    """The verdict on what was built, and what was judged.

    Args:
        manifest: of the artifact, complete but for what is found out here.
        folder: with all files of the artifact but the manifest; one is written, for whoever measures it.
        original: what it is held to.
        fidelity: crops with what the original makes of them.
        evidence: what else to judge by; None for the first gate alone.
        target: what built it.
        evaluate: computes what the engine file says without the engine, if anything does; see `BuiltEngine`.
        output: where other artifacts of this network may lie.
        build_float: builds the same in fp32 in a folder, and returns the artifact.
        report: where to write a page about it, passed or not; None for nowhere.
        progress: told of each stage as it begins.

    Raises:
        GateFailure: a gate failed.
    """
    with _running(manifest, folder, target, evaluate) as (candidate, judged):
        progress(f"checking {len(fidelity.crops)} crops on the {judged}")
        precision = Precision(manifest.precision.built)
        near = fidelity.judge(f"the {candidate.name}", candidate.answer, precision)
        if evidence is None:
            return near, judged
        write_manifest(folder, manifest)
        reference = Embedder(original.reference, original.preprocessing, _ORIGINAL_BATCH, original.embed).as_reference()
        verdict = judge(
            candidate,
            reference,
            evidence,
            embedding=near.gates[0],
            parity=near.parity,
            worth_it=partial(_worth, manifest, folder, evidence, judged, output, build_float, progress),
            progress=progress,
        )
    if report is not None:
        write_report(report, name=manifest.name, verdict=verdict, manifest=manifest)
    facts = {"artifact": None, "precision_built": str(precision)}
    verdict.expect_passed(manifest.name, remedy="nothing was published", facts=facts)
    return verdict, judged


@contextmanager
def _running(
    manifest: Manifest, folder: Path, target: Target, evaluate: Answer | None
) -> Iterator[tuple[Embedder, Judged]]:
    """The engine, or what can run here in its place: the graph, or the engine's file without it."""
    kind: type[EngineBase] = engines()[manifest.engine].load()
    preprocessing, batch = manifest.preprocessing, manifest.batch.max
    if target.portable and (not manifest.is_built or kind.available() is not None):
        yield Embedder("ONNX graph", preprocessing, batch, run_onnx(folder / GRAPH_FILE)), "graph"
        return
    if evaluate is not None and kind.available() is not None:
        without = Embedder(f"{target.name} program", preprocessing, batch, evaluate)
        yield without, "program, evaluated operator by operator; not run on a device"
        return
    with kind(manifest, folder, device="auto", threads=None) as engine:
        yield Embedder(f"{target.name} engine", preprocessing, batch, Embedder.of(engine).answer), "engine"


def _worth(
    manifest: Manifest,
    folder: Path,
    evidence: Evidence,
    judged: Judged,
    output: Path,
    build_float: Callable[[Path], Path],
    progress: Callable[[str], None],
) -> GateReport:
    """The last gate: beside the float artifacts that are here, and one of the same target, built to be beaten."""
    skipped = partial(not_run, worth.NAME, measure=worth.PRINCIPAL)
    if judged != "engine":
        return skipped(why="its engine cannot run here")
    if manifest.precision.built in FLOATS:
        return skipped(why=f"{manifest.precision.built} is float itself")
    with TemporaryDirectory(prefix="reidkit-float-") as scratch:
        rivals = float_siblings(output, manifest)
        if not evidence.allow_slower:
            rivals.append(build_float(Path(scratch)))
        return worth_gate(
            folder,
            rivals,
            evidence.limits.worth_it,
            seconds=evidence.seconds,
            allow_slower=evidence.allow_slower,
            trusted=True,
            on_turn=lambda done, of: progress(f"measuring, turn {done} of {of}"),
        )
