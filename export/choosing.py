"""`--precision auto`: whatever the target offers is built and judged, what passes is measured, the quickest is kept.

fp32 ─┐
fp16 ─┼─ export into a scratch folder ─ gates ─ take turns on this box ─ the quickest ─► published
int8 ─┘        (left out, with the reason, where that fails)
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from reidkit.calibration.benchmark.choice import Choice, choose
from reidkit.calibration.benchmark.contest import measure, usual_threads
from reidkit.calibration.gates.judging import Evidence
from reidkit.calibration.gates.worth import PEOPLE
from reidkit.export.pipeline import ExportJob, ExportResult, export, place_of, usable_target
from reidkit.runtime.artifact.publication import publication, workspace, writing
from reidkit.runtime.engines import EngineBase, engines
from reidkit.runtime.errors import EngineFailure, ExportFailure, GateFailure, MissingDependency, TargetUnavailable
from reidkit.runtime.files import whole_file
from reidkit.targets import Precision, Target, find_target
from reidkit.targets.target import options_for, read_options, takes_crops

_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What was published, and why.

    Attributes:
        result: the artifact.
        choices: all that were measured, the quickest first.
        left_out: by precision, why it was not measured.
    """

    result: ExportResult
    choices: list[Choice]
    left_out: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` says of the choice."""
        choices = [{name: value for name, value in asdict(each).items() if name != "artifact"} for each in self.choices]
        return {"people": PEOPLE, "choices": choices, "left_out": self.left_out}

    def lines(self) -> list[str]:
        """The choice for people."""
        measured = [f"  {each.precision:<7} {each.frame_ms:.1f} ms for {PEOPLE} people" for each in self.choices]
        return [*measured, *(f"  {precision:<7} left out: {why}" for precision, why in self.left_out.items())]


def export_quickest(job: ExportJob, *, progress: Callable[[str], None] = lambda stage: None) -> Chosen:
    """Export in the precision that is quickest on this box among those that pass the gates.

    Args:
        job: what to export; its precision does not count. int8 is tried if there is something to calibrate with.
        progress: told of each stage as it begins.

    Raises:
        TargetUnavailable: what the target builds cannot run here, so nothing can be measured.
        ReidkitError: not even float32 passes; as `export` raises it.
    """
    _expect_measurable(find_target(job.target))
    jobs, left_out = _jobs(job)
    progress("reading the weights")
    for each in jobs.values():
        place_of(each, each.original())
    with workspace(job.output / "auto") as scratch:
        results, refused = _exported(jobs, scratch, job.report, progress)
        progress(f"measuring {len(results)} artifacts")
        measured = measure(
            [result.artifact for result in results.values()],
            threads=usual_threads()[-1:],
            people=PEOPLE,
            rounds=_ROUNDS,
            seconds=(job.evidence or Evidence()).seconds,
            trusted=True,
        )
        choices = choose(measured, people=PEOPLE)
        quickest = Precision(choices[0].precision)
        best = results[quickest]
        artifact = job.output / best.artifact.name
        with publication(artifact) as folder, writing(artifact):
            shutil.copytree(best.artifact, folder, dirs_exist_ok=True)
        _publish_page(_page(scratch, quickest), job.report)
    return Chosen(result=replace(best, artifact=artifact), choices=choices, left_out={**left_out, **refused})


def _expect_measurable(target: Target) -> None:
    engine: type[EngineBase] = engines()[target.engine].load()
    if reason := engine.available():
        raise TargetUnavailable(
            f"--precision auto chooses by measurement, and {target.name} runs nothing here: {reason}",
            remedy="name the precision",
        )


def _jobs(job: ExportJob) -> tuple[dict[Precision, ExportJob], dict[str, str]]:
    """A job for each precision that can be tried, all of one original that is read once; and why others cannot."""
    target = find_target(job.target)
    options = {precision: options_for(target, job.options, precision) for precision in target.precisions}
    for precision, given in options.items():
        read_options(target, given, precision, job.batch)
    left_out: dict[str, str] = {}
    tried = [each for each in Precision if each in target.precisions]
    if Precision.INT8 in tried and job.calibration is None and takes_crops(target, job.options):
        tried.remove(Precision.INT8)
        left_out[Precision.INT8.value] = "nothing to calibrate with: give --calibration"
    original = cache(job.original)
    evidence = replace(job.evidence or Evidence(), allow_slower=True)  # what is measured in the end decides
    jobs = {
        precision: replace(
            job,
            original=original,
            precision=precision,
            options=options[precision],
            calibration=job.calibration if precision is Precision.INT8 else None,
            evidence=evidence,
        )
        for precision in tried
    }
    for each in jobs.values():
        usable_target(each)
    return jobs, left_out


def _exported(
    jobs: Mapping[Precision, ExportJob], scratch: Path, report: Path | None, progress: Callable[[str], None]
) -> tuple[dict[Precision, ExportResult], dict[str, str]]:
    """What passes, each in a folder of `scratch` with its page beside it; and why the rest does not."""
    results: dict[Precision, ExportResult] = {}
    refused: dict[str, str] = {}
    for precision, job in jobs.items():
        page = None if report is None else _page(scratch, precision)
        alone = replace(job, output=scratch / precision, report=page)
        try:
            results[precision] = export(alone, progress=partial(_tell, progress, precision))
        except (GateFailure, ExportFailure, EngineFailure, MissingDependency) as error:
            if precision is Precision.FP32:
                _publish_page(_page(scratch, precision), report)
                raise
            refused[precision.value] = error.message
    return results, refused


def _page(scratch: Path, precision: Precision) -> Path:
    return scratch / f"{precision}.html"


def _publish_page(page: Path, report: Path | None) -> None:
    """Copy the page about one precision to where it was asked for, if there is one and it was."""
    if report is not None and page.exists():
        with whole_file(report) as temporary:
            shutil.copyfile(page, temporary)


def _tell(progress: Callable[[str], None], precision: Precision, stage: str) -> None:
    progress(f"{precision}: {stage}")
