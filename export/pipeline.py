"""From weights to a published artifact, or to an error and nothing.

    original ─ ONNX in fp32 ─ ONNX as wanted ─ engine ─ golden, manifest ─ publication
        ╘══════════ ╪ ═══════════════════════════ ╪          every bar across: judged against the original

A target that consumes torch's exported program gets that in the graph's place, in fp32 whatever the precision.

All is written into a temporary folder, which becomes the artifact by a rename at the very end. Where a portable target
cannot build, the artifact is a bundle, whose engine is built on the box; where what it builds cannot run, the graph is
judged in the engine's place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reidkit.calibration.gates import EMBEDDING_LIMITS
from reidkit.calibration.gates.judging import Evidence, Verdict
from reidkit.calibration.gates.worth import float_siblings
from reidkit.calibration.quantization import CalibrationSet
from reidkit.export.fidelity import Fidelity, golden
from reidkit.export.judgement import Build, judge_build, judge_graph
from reidkit.export.onnx import lower
from reidkit.export.originals import Original
from reidkit.export.quantizing import Int8Settings, quantize
from reidkit.runtime.artifact.digests import record_files
from reidkit.runtime.artifact.folder import write_golden, write_manifest
from reidkit.runtime.artifact.manifest import SCHEMA_VERSION, Batch, Embedding, Manifest, PrecisionInfo
from reidkit.runtime.artifact.publication import expect_replaceable, publication, writing
from reidkit.runtime.artifact.recipe import GRAPH_FILE, Recipe, write_recipe
from reidkit.runtime.artifact.trust import vouch
from reidkit.runtime.box.libraries import extras_with
from reidkit.runtime.engines import EngineBase, engines
from reidkit.runtime.errors import ExportFailure, InvalidInput, TargetUnavailable
from reidkit.targets import BuildJob, BuiltEngine, Precision, Target, find_target
from reidkit.targets._bundle import this_machine
from reidkit.targets.target import no_calibration, options_for, read_options, refuse_precision, takes_crops


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """What to export.

    Attributes:
        original: gives the network; called once the target is known to be there.
        target: name of the target.
        precision: what to build; a target that cannot build it refuses.
        output: folder in which the artifact's own folder is made.
        name: the artifact's name, by default MODEL-TARGET-PRECISION.
        model: what it is called after there; None for its backbone.
        batch_sizes: sizes to build for, ascending; the last is the most crops that the engine sees at once. Processors
            gain nothing beyond 8.
        options: the target's own settings.
        crops: folder of real crops to check with; None for rendered ones.
        calibration: folder of crops, or set of `reidkit calibrate`, whose activations int8 is scaled by; None for none.
        int8: how a graph of ours is quantised.
        evidence: what to judge by besides, and the limits; None for the embeddings alone.
        report: where to write a page about what was judged besides; None for nowhere.
    """

    original: Callable[[], Original]
    target: str
    precision: Precision
    output: Path
    name: str | None = None
    model: str | None = None
    batch_sizes: tuple[int, ...] = (8,)
    options: Mapping[str, str] = field(default_factory=dict)
    crops: Path | None = None
    calibration: Path | None = None
    int8: Int8Settings = field(default_factory=Int8Settings)
    evidence: Evidence | None = None
    report: Path | None = None

    @property
    def batch(self) -> Batch:
        """The sizes as the manifest has them."""
        buckets = list(self.batch_sizes) if len(self.batch_sizes) > 1 else []
        return Batch(dynamic=True, max=self.batch_sizes[-1], buckets=buckets)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """A published artifact and how it was judged."""

    artifact: Path
    manifest: Manifest
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """What ``reid-export --json`` prints."""
        manifest = self.manifest
        return {
            "artifact": str(self.artifact),
            "is_built": manifest.is_built,
            "precision_built": manifest.precision.built,
            **self.verdict.to_dict(),
        }


def export(job: ExportJob, *, progress: Callable[[str], None] = lambda stage: None) -> ExportResult:
    """Convert, build, judge and publish.

    Args:
        job: what to export.
        progress: told of each stage as it begins.

    Raises:
        InvalidFile: what the original is made from is not what it should be, or the artifact cannot be written.
        TargetUnavailable, MissingDependency: something that this needs is not installed.
        ExportFailure: the model could not be converted or built.
        InvalidInput: the target has no such option, or int8 has nothing to be calibrated with.
        GateFailure: the result is not faithful to the original, or not worth having.
    """
    target = usable_target(job)
    progress("reading the weights")
    original = _original(job, target)
    artifact = place_of(job, original)
    with publication(artifact) as folder:
        inputs = _Inputs.of(job, target, original, name=artifact.name)
        with writing(artifact):
            provenance = _write_graph(inputs, folder / GRAPH_FILE, progress)
            progress(f"building for {target.name}")
            built = _built(inputs, folder / GRAPH_FILE)
            manifest = _described(inputs, built, folder, provenance)
        verdict, judged = judge_build(
            Build(manifest=manifest, folder=folder, target=target, evaluate=built.evaluate),
            original,
            inputs.fidelity,
            evidence=job.evidence,
            floats=partial(_floats, inputs, manifest),
            report=job.report,
            progress=progress,
        )
        parity = {**verdict.gate("embedding").figures, **inputs.fidelity.to_dict(), "judged": judged}
        manifest = replace(manifest, parity=parity, gates=verdict.gates_dict(), thresholds=verdict.thresholds)
        with writing(artifact):
            write_manifest(folder, manifest)
    engine: type[EngineBase] = engines()[target.engine].load()
    if manifest.is_built and engine.runs_native_code:
        vouch(manifest)
    return ExportResult(artifact=artifact, manifest=manifest, verdict=verdict)


def usable_target(job: ExportJob) -> Target:
    """The target, if it can build the job here; told now and not after ten seconds of conversion."""
    target = find_target(job.target)
    refuse_precision(target, job.precision)
    read_options(target, job.options, job.precision, job.batch)
    if target.most_batch_sizes is not None and len(job.batch_sizes) > target.most_batch_sizes:
        raise InvalidInput(
            f"target {target.name} builds for at most {target.most_batch_sizes} batch sizes, found "
            f"{', '.join(map(str, job.batch_sizes))}",
            remedy="give MIN,OPT,MAX",
        )
    if job.precision is Precision.INT8 and job.calibration is None and takes_crops(target, job.options):
        raise no_calibration()
    if (reason := target.available()) and not target.portable:
        bringing = extras_with(reason.split()[0])
        extra = target.name if target.name in bringing else next(iter(bringing), None)
        raise TargetUnavailable(
            f"target {target.name} cannot build here: {reason}",
            remedy=f"pip install 'reidkit[{extra}]'" if extra else "",
        )
    return target


def place_of(job: ExportJob, original: Original) -> Path:
    """The folder that the artifact will be. Raises `InvalidInput` if it cannot have its name, or something else has."""
    name = f"{job.model or original.backbone.name}-{job.target}-{job.precision}" if job.name is None else job.name
    if not name or name.startswith(".") or Path(name).name != name:
        raise InvalidInput(f"{name!r} cannot name an artifact", remedy="give a plain folder name; --output says where")
    expect_replaceable(job.output / name)
    return job.output / name


def _original(job: ExportJob, target: Target) -> Original:
    original = job.original()
    if target.consumes == "exported_program" and original.program is None:
        raise ExportFailure(
            f"target {target.name} is built from a network in torch, {original.backbone.name} is none",
            remedy="give its weights and backbone, or choose a target that is built from ONNX, such as onnxruntime",
        )
    return original


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    """All that an artifact is made from, read and found sound."""

    name: str
    job: ExportJob
    target: Target
    original: Original
    calibration: CalibrationSet | None
    fidelity: Fidelity

    @staticmethod
    def of(job: ExportJob, target: Target, original: Original, *, name: str) -> _Inputs:
        limits = EMBEDDING_LIMITS if job.evidence is None else job.evidence.limits.embedding
        return _Inputs(
            name=name,
            job=job,
            target=target,
            original=original,
            calibration=None
            if job.calibration is None
            else CalibrationSet.read(job.calibration, original.preprocessing),
            fidelity=Fidelity.to(original, folder=job.crops, max_batch=job.batch.max, limits=limits),
        )


def _write_graph(inputs: _Inputs, graph: Path, progress: Callable[[str], None]) -> dict[str, Any] | None:
    """Write what a target that consumes ONNX is fed, and return what the manifest says of eight bits in it."""
    job, target, fidelity = inputs.job, inputs.target, inputs.fidelity
    if target.consumes != "onnx":
        return None
    progress("converting to ONNX")
    inputs.original.write_onnx(graph)
    judge_graph(graph, fidelity, name=inputs.name, report=job.report)
    if job.precision is Precision.INT8 and target.int8_layout and inputs.calibration:
        return quantize(
            graph, inputs.calibration, fidelity, layout=target.int8_layout, settings=job.int8, progress=progress
        )
    if job.precision not in (Precision.FP32, Precision.INT8, *target.by_hint):
        progress(f"typing the graph in {job.precision}")
        lower(graph, job.precision, crops=fidelity.crops)
    return None


def _built(inputs: _Inputs, graph: Path) -> BuiltEngine:
    """What the target builds in `graph`'s folder; of a portable one the graph stays, with a recipe beside it."""
    job, target, original = inputs.job, inputs.target, inputs.original
    task = BuildJob(
        onnx_path=graph,
        folder=graph.parent,
        precision=job.precision,
        batch=job.batch,
        options=job.options,
        cache_folder=job.output,
        program=original.program if target.consumes == "exported_program" else None,
        backbone=original.backbone,
        preprocessing=original.preprocessing,
        calibration=None if inputs.calibration is None else inputs.calibration.crops,
    )
    if not target.portable:
        built = target.build(task)
        graph.unlink(missing_ok=True)
        return built
    write_recipe(graph.parent, Recipe(graph=graph.name, options=dict(job.options)))
    if target.available() is None:
        return target.build(task)
    return BuiltEngine(engine_file="", toolchain={}, precision_built=job.precision)


def _described(inputs: _Inputs, built: BuiltEngine, folder: Path, provenance: dict[str, Any] | None) -> Manifest:
    """All that is known before it is judged; the golden embeddings are written into the folder.

    Args:
        inputs: what the artifact is made from.
        built: what the target built in its folder.
        folder: that one.
        provenance: of the eight bits in the graph, if there are any.
    """
    job, target, original, calibration = inputs.job, inputs.target, inputs.original, inputs.calibration
    checks = golden(original)
    write_golden(folder, checks)
    libraries = original.libraries if target.consumes == "onnx" else ("torch",)
    if built.calibrated and calibration:
        provenance = calibration.to_dict()
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=inputs.name,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        reidkit_version=version("reidkit"),
        backbone=original.backbone,
        ensemble=original.ensemble,
        preprocessing=original.preprocessing,
        embedding=Embedding(dim=checks.embeddings.shape[1], l2="runtime"),
        batch=job.batch,
        precision=PrecisionInfo(requested=str(job.precision), built=str(built.precision_built)),
        target=target.name,
        engine=target.engine,
        engine_file=built.engine_file,
        toolchain={**{library: version(library) for library in libraries}, **built.toolchain},
        built_on=this_machine(),
        calibration=provenance,
        parity={},
        gates={},
        thresholds=None,
        files=record_files(folder),
    )


def _floats(inputs: _Inputs, manifest: Manifest, scratch: Path) -> list[Path]:
    """The float artifacts of this network that lie in the output, and one for the same target, built in `scratch`."""
    job, siblings = inputs.job, float_siblings(inputs.job.output, manifest)
    if job.evidence is not None and job.evidence.allow_slower:
        return siblings
    again = replace(
        job,
        original=lambda: inputs.original,
        precision=Precision.FP32,
        options=options_for(inputs.target, job.options, Precision.FP32),
        output=scratch,
        name="float",
        calibration=None,
        evidence=None,
        report=None,
    )
    return [*siblings, export(again).artifact]
