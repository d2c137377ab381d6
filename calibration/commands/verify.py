"""`reidkit verify`: does an artifact still tell people apart as its original does, and is it worth having?"""

from __future__ import annotations

from pathlib import Path

import click

from reidkit.calibration.gates.judging import Evidence
from reidkit.calibration.gates.limits import read_limits
from reidkit.calibration.gates.tracking import Recording
from reidkit.calibration.gates.verifying import Subject, Verification, verify
from reidkit.calibration.report import points_of, write_report
from reidkit.runtime.artifact import read_artifact
from reidkit.runtime.commands.shell import FiniteRange, ProgressLine, ReidkitCommand, json_option, print_json
from reidkit.runtime.files import expect_place

_path = click.Path(path_type=Path)


@click.command("verify", cls=ReidkitCommand)
@click.argument("artifact", type=_path)
@click.option(
    "--preprocessing",
    help="Of a bare .onnx or .xml file in the artifact's place: what its input holds, e.g. bgr-0-255-256x128.  "
    "[default: the file beside it, MODEL.preprocessing.yaml]",
)
@click.option("--precision", help="Of a bare file: what it computes in.  [default: fp32]")
@click.option("--reference", type=_path, help="What to hold it to: a float artifact, or a bare model file.")
@click.option("--reference-preprocessing", help="Of a bare file as reference: what its input holds.")
@click.option("--crops", type=_path, help="Folder of crops to compare on one by one.  [default: the golden crops]")
@click.option("--gallery", type=_path, help="Folder of crops named as Market-1501's, to look people up in.")
@click.option("--sequence", type=_path, help="Video or MOTChallenge folder to track in.")
@click.option("--detections", type=_path, help="People in --sequence.  [default: its det/det.txt]")
@click.option("--gt", type=_path, help="Ground truth of --sequence.  [default: gt/gt.txt, if it is there]")
@click.option("--tracker", default="botsort.yaml", show_default=True, help="Settings to track with.")
@click.option("--thresholds", type=_path, help="YAML file with other limits than the packaged ones.")
@click.option("--allow-slower", is_flag=True, help="Do not refuse what is slower than the best float artifact.")
@click.option(
    "--seconds",
    type=FiniteRange(min=0, max=3600),
    default=1.0,
    show_default=True,
    help="To measure each batch size of each artifact for.",
)
@click.option("--trust", is_flag=True, help="Run native code in an artifact even if it was built elsewhere.")
@click.option("--report", type=_path, help="Also write a page to look at: one self-contained HTML file.")
@click.option(
    "--beside", type=_path, multiple=True, help="On that page: artifacts to compare by time and mAP, this one included."
)
@json_option
def verify_command(
    artifact: Path,
    preprocessing: str | None,
    precision: str | None,
    reference: Path | None,
    reference_preprocessing: str | None,
    crops: Path | None,
    gallery: Path | None,
    sequence: Path | None,
    detections: Path | None,
    gt: Path | None,
    tracker: str,
    thresholds: Path | None,
    allow_slower: bool,
    seconds: float,
    trust: bool,
    report: Path | None,
    beside: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Judge ARTIFACT by all gates there is something to run on: exit code 3 if one fails.

    ARTIFACT is an artifact's folder, or a bare .onnx or OpenVINO .xml file. Without --reference it is held to its
    golden embeddings, and on the gallery of its export to what the original reached there.
    """
    if sequence is None and (detections is not None or gt is not None):
        raise click.UsageError("--detections and --gt are of a --sequence")
    if beside and (report is None or gallery is None):
        raise click.UsageError("--beside is for a --report on a --gallery")
    subject = Subject(path=artifact, preprocessing=preprocessing, precision=precision or "fp32")
    if not subject.is_bare and (preprocessing is not None or precision is not None):
        raise click.UsageError(f"--preprocessing and --precision are of a bare model file; {artifact} is none")
    against = None if reference is None else Subject(path=reference, preprocessing=reference_preprocessing)
    if reference_preprocessing is not None and (against is None or not against.is_bare):
        raise click.UsageError("--reference-preprocessing is of a bare model file as --reference")
    if report is not None:
        expect_place(report, option="--report")
    recording = None
    if sequence is not None:
        recording = Recording.find(sequence, detections=detections, truth=gt, tracker=tracker)
    job = Verification(
        subject=subject,
        reference=against,
        crops=crops,
        evidence=Evidence(
            gallery=gallery,
            recording=recording,
            limits=read_limits(thresholds),
            allow_slower=allow_slower,
            seconds=seconds,
        ),
        trusted=trust,
    )
    with ProgressLine() as line:
        verdict = verify(job, progress=line.write)
    if report is not None:
        points, missing = points_of(beside, gallery=verdict.gate("retrieval").figures.get("gallery"))
        manifest = None if subject.is_bare else read_artifact(artifact)[0]
        write_report(report, name=artifact.name, verdict=verdict, manifest=manifest, points=points, missing=missing)
    facts = {"artifact": str(artifact)}
    if as_json and verdict.passed:
        print_json({**facts, **verdict.to_dict()})
    elif not as_json:
        click.echo("\n".join([str(artifact), *verdict.lines()]))
    verdict.expect_passed(artifact.name, remedy="do not track with it", facts=facts)
