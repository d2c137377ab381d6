"""`reidkit distil`: a small model for the crops of your cameras, learned from a large one, without labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reidkit.export.backbones import backbones, find_backbone, use_backbones_of
from reidkit.runtime.commands.shell import (
    INTERRUPTED,
    FiniteRange,
    ProgressLine,
    ReidkitCommand,
    json_option,
    print_json,
    refuse_idle,
    stop_signals,
)
from reidkit.runtime.errors import Interrupted

if TYPE_CHECKING:
    from reidkit.export.distillation import DistillationResult, Report

_UNREADABLE_SHOWN = 20

_folder = click.Path(file_okay=False, path_type=Path)
_path = click.Path(path_type=Path)


@click.command("distil", cls=ReidkitCommand)
@click.option(
    "--teacher",
    type=_path,
    required=True,
    help="Artifact's folder, checkpoint of a backbone, or a vendor's .xml, .onnx.",
)
@click.option(
    "--teacher-preprocessing", help="What a vendor's file takes, e.g. bgr-0-255-256x128, rgb-imagenet-256x128."
)
@click.option("--student", required=True, help="Backbone, e.g. osnet_x0_25.")
@click.option(
    "--backbones", "backbones_file", type=_path, help="A .py file of yours that defines CARDS: more backbones."
)
@click.option("--init", "initial", type=_path, help="Weights to begin with.  [default: random ones]")
@click.option("--crops", "folders", type=_folder, multiple=True, help="Folder of crops; may be repeated.")
@click.option(
    "--video", "videos", type=_path, multiple=True, help="Video to cut crops from, or a MOTChallenge sequence."
)
@click.option(
    "--detections",
    type=_path,
    multiple=True,
    help="Its boxes, in MOTChallenge's layout; as often as --video.  [default: det/det.txt]",
)
@click.option("--detector", type=_path, help="Detector's .onnx for videos without a det/det.txt.")
@click.option(
    "--diverse", type=click.IntRange(min=1), default=800, show_default=True, help="Crops to keep of all the videos."
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help=".safetensors to write.")
@click.option("--labels", "gallery", type=_folder, help="Crops named by identity and camera, only to measure on.")
@click.option("--terms", help="Terms of the training data, for the card.")
@click.option("--views", type=click.IntRange(min=1), default=16, show_default=True, help="Views of each crop.")
@click.option("--epochs", type=click.IntRange(min=1), default=150, show_default=True, help="Passes over the crops.")
@click.option("--minutes", type=FiniteRange(min=0, min_open=True), help="Time budget.  [default: none]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of weights, views and batches.")
@click.option("--patience", type=click.IntRange(min=1), default=15, show_default=True, help="Epochs without progress.")
@click.option(
    "--unreadable",
    type=FiniteRange(0, 1),
    default=0.01,
    show_default=True,
    help="Share of a folder's images that may be unreadable; they are listed and skipped.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the unfinished training of this output, if there is one; leave a finished one.",
)
@click.option("--trust", is_flag=True, help="Run native code in the teacher even if it was built elsewhere.")
@json_option
def distil(
    teacher: Path,
    teacher_preprocessing: str | None,
    student: str,
    backbones_file: Path | None,
    initial: Path | None,
    folders: tuple[Path, ...],
    videos: tuple[Path, ...],
    detections: tuple[Path, ...],
    detector: Path | None,
    diverse: int,
    output: Path,
    gallery: Path | None,
    terms: str | None,
    views: int,
    epochs: int,
    minutes: float | None,
    seed: int,
    patience: int,
    unreadable: float,
    resume: bool,
    trust: bool,
    as_json: bool,
) -> None:
    """Train a small model to see likeness as a large one does, from crops without labels.

    Writes the weights (float16), NAME.card.md and NAME.card.json. NAME.work beside them keeps the teacher's answers and
    a checkpoint. Ctrl-C ends the training and writes the best weights so far; --resume goes on. Weights that are there
    already are not replaced by those of another training.
    """
    if not folders and not videos:
        raise click.UsageError("name --crops or --video")
    if output.suffix != ".safetensors":
        raise click.UsageError("--output must end in .safetensors")
    if detections and len(detections) != len(videos):
        raise click.UsageError(f"--detections is given {len(detections)} times, --video {len(videos)} times")
    if not videos:
        refuse_idle(["detector", "diverse"], "without --video")
    elif detections:
        refuse_idle(["detector"], "beside --detections")
    if not folders:
        refuse_idle(["unreadable"], "without --crops")
    if teacher.is_file():
        refuse_idle(["trust"], "unless --teacher is an artifact")
    backbones()  # without torch this says so, before anything below imports it
    if backbones_file is not None:
        use_backbones_of(backbones_file)
    card = find_backbone(student)

    from reidkit.export.distillation import CropSources, DistillationJob, Settings, Stopped
    from reidkit.export.distillation import distil as run

    job = DistillationJob(
        teacher=teacher,
        teacher_preprocessing=teacher_preprocessing,
        trusted=trust,
        student=card,
        initial=initial,
        sources=CropSources(
            folders=folders,
            videos=videos,
            detections=detections,
            detector=detector,
            diverse=diverse,
            unreadable_share=unreadable,
        ),
        output=output,
        gallery=gallery,
        settings=Settings(views=views, first_views=min(4, views), epochs=epochs, minutes=minutes, seed=seed),
        patience=patience,
        resume=resume,
        **({} if terms is None else {"terms": terms}),
    )
    with stop_signals() as stop, ProgressLine() as line:
        try:
            result = run(job, on_report=_progress(line), should_stop=stop.is_set)
        except Stopped:
            raise Interrupted("stopped before there was anything to keep; the teacher's answers are kept") from None
    if result.found:
        click.echo(f"finished before; to train further, give --init {output} and another --output", err=True)
    for path in result.unreadable[:_UNREADABLE_SHOWN]:
        click.echo(f"skipped, no whole image: {path}", err=True)
    if len(result.unreadable) > _UNREADABLE_SHOWN:
        click.echo(f"and {len(result.unreadable) - _UNREADABLE_SHOWN} more", err=True)
    if as_json:
        print_json(result.to_dict())
    else:
        click.echo(_summary(result))
    if result.interrupted:
        raise SystemExit(INTERRUPTED)


def _progress(line: ProgressLine) -> Callable[[Report], None]:
    """Shows the stage, how far, how long still."""
    figures = ""

    def show(report: Report) -> None:
        nonlocal figures
        if report.loss is not None and report.agreement is not None:
            figures = f", loss {report.loss:.2f}, agreement {report.agreement:.1%}"
        text = report.stage
        if report.seconds_left is not None:
            text = f"{report.progress:4.0%}, {_duration(report.seconds_left)} left{figures} ({report.stage})"
        line.write(text)

    return show


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _summary(result: DistillationResult) -> str:
    card = result.card
    weights, crops, course = card.weights, card.crops, card.course
    lines = [
        str(result.files[0]),
        f"  student   {card.student}, {weights['bytes'] / 1e6:.2f} MB, from {card.initialisation}",
        f"  teacher   {card.teacher['name']} in {card.teacher['precision']}",
        f"  crops     {crops['count']}, {crops['held_out']} of them held out, {crops['unreadable']} unreadable",
        f"  training  {course['epochs']:.1f} epochs in {course['minutes']:.1f} minutes: {course['ended']}",
        f"  agreement {card.neighbour_agreement:.1%} of the teacher's {card.neighbours_compared} nearest neighbours",
    ]
    lines += [
        f"  {who:<9} mAP {scores.mean_average_precision:.1f}, rank-1 {scores.rank_1:.1f}"
        for who, scores in card.labelled.items()
    ]
    return "\n".join(lines)
