"""From weights to a published artifact, or to an error and nothing.

    original ─ ONNX ─ engine ─ golden, manifest ─ publication
        ╘═══════ ╪ ═════ ╪          every bar across: judged against the original

All is written into a temporary folder, which becomes the artifact by a rename at the very end.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import metadata, version
from pathlib import Path
from typing import Any

from reidkit.export.fidelity import Fidelity, Verdict, golden
from reidkit.export.onnx import run_onnx
from reidkit.export.originals import Original
from reidkit.runtime.artifact.digests import record_files
from reidkit.runtime.artifact.folder import write_golden, write_manifest
from reidkit.runtime.artifact.manifest import SCHEMA_VERSION, Batch, Embedding, Manifest, PrecisionInfo
from reidkit.runtime.artifact.publication import publication
from reidkit.runtime.engines import engines
from reidkit.runtime.errors import ExportFailure, InvalidInput, TargetUnavailable
from reidkit.targets import BuildJob, Precision, Target, find_target
from reidkit.targets.target import refuse_precision


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """What to export.

    Attributes:
        original: gives the network; called once the target is known to be there.
        target: name of the target.
        precision: what to build; a target that cannot build it refuses.
        output: folder in which the artifact's own folder is made.
        name: the artifact's name, by default MODEL-TARGET-PRECISION.
        max_batch: most crops the engine sees at once. Processors gain nothing beyond 8.
        crops: folder of real crops to check with; None for rendered ones.
    """

    original: Callable[[], Original]
    target: str
    precision: Precision
    output: Path
    name: str | None = None
    max_batch: int = 8
    crops: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """A published artifact and how it was judged."""

    artifact: Path
    manifest: Manifest
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """What ``reid-export --json`` prints."""
        built = self.manifest.precision.built
        return {"artifact": str(self.artifact), "precision_built": built, **self.verdict.to_dict()}


def export(job: ExportJob, *, progress: Callable[[str], None] = lambda stage: None) -> ExportResult:
    """Convert, build, judge and publish.

    Args:
        job: what to export.
        progress: told of each stage as it begins.

    Raises:
        InvalidFile: what the original is made from is not what it should be.
        TargetUnavailable, MissingDependency: something that this needs is not installed.
        ExportFailure: the model could not be converted, built or written.
        GateFailure: the result is not faithful to the original.
    """
    target = _usable_target(job)
    progress("reading the weights")
    original = job.original()
    artifact = job.output / _name(job, original)
    fidelity = Fidelity.to(original, folder=job.crops, max_batch=job.max_batch)
    try:
        with publication(artifact) as folder:
            progress("converting to ONNX")
            graph = folder / "graph.onnx"
            original.write_onnx(graph)
            fidelity.on_few().judge("the ONNX graph", run_onnx(graph), Precision.FP32)

            progress(f"building for {target.name}")
            batch = Batch(dynamic=True, max=job.max_batch, buckets=[])
            built = target.build(BuildJob(onnx_path=graph, folder=folder, precision=job.precision, batch=batch))
            graph.unlink()
            checks = golden(original)
            write_golden(folder, checks)
            manifest = Manifest(
                schema_version=SCHEMA_VERSION,
                name=artifact.name,
                created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                reidkit_version=version("reidkit"),
                backbone=original.backbone,
                preprocessing=original.preprocessing,
                embedding=Embedding(dim=checks.embeddings.shape[1], l2="runtime"),
                batch=batch,
                precision=PrecisionInfo(requested=str(job.precision), built=str(built.precision_built)),
                target=target.name,
                engine=target.engine,
                engine_file=built.engine_file,
                toolchain={**{library: version(library) for library in original.libraries}, **built.toolchain},
                built_on=_this_machine(),
                calibration=None,
                parity={},
                gates={},
                thresholds=None,
                files=record_files(folder),
            )

            progress(f"checking {len(fidelity.crops)} crops on the engine")
            with engines()[target.engine].load()(manifest, folder, device="auto", threads=None) as engine:
                embed = partial(engine.embed, normalize=False)
                verdict = fidelity.judge(f"the {target.name} engine", embed, built.precision_built)
            parity = {**verdict.parity.to_dict(), **fidelity.to_dict()}
            manifest = replace(manifest, parity=parity, gates={verdict.gate.name: verdict.gate.to_dict()})
            write_manifest(folder, manifest)
    except OSError as error:
        raise ExportFailure(f"cannot write {artifact} ({error.strerror or error})") from error
    return ExportResult(artifact=artifact, manifest=manifest, verdict=verdict)


def _usable_target(job: ExportJob) -> Target:
    """The target, if it can build the job here; told now and not after ten seconds of conversion."""
    target = find_target(job.target)
    refuse_precision(target, job.precision)
    if reason := target.available():
        ours = target.name in metadata("reidkit").get_all("Provides-Extra", [])
        raise TargetUnavailable(
            f"target {target.name} cannot build here: {reason}",
            remedy=f"pip install 'reidkit[{target.name}]'" if ours else "",
        )
    return target


def _name(job: ExportJob, original: Original) -> str:
    name = f"{original.backbone.name}-{job.target}-{job.precision}" if job.name is None else job.name
    if not name or name.startswith(".") or Path(name).name != name:
        raise InvalidInput(f"{name!r} cannot name an artifact", remedy="give a plain folder name; --output says where")
    return name


def _this_machine() -> dict[str, str]:
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    """The processor's name where the system tells it, else an empty string."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
