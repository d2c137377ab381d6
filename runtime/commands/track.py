"""`reidkit track`, alias `reid-track`: a video in, identities out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import click

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
from reidkit.runtime.engines.engine import MOST_THREADS
from reidkit.runtime.pipeline import Summary, TrackingJob, run
from reidkit.runtime.pipeline.job import NO_REID
from reidkit.runtime.pipeline.recording import Progress

_PROGRESS_S = 0.2


@click.command("track", cls=ReidkitCommand)
@click.option("--input", "source", required=True, help="Video file, folder of images, MOTChallenge sequence or URL.")
@click.option("--detections", type=click.Path(path_type=Path), help="Boxes from a MOTChallenge det.txt.")
@click.option(
    "--detector", "--detector-weights", "detector", type=click.Path(path_type=Path), help="Or a detector's .onnx file."
)
@click.option("--reid", help="Artifact folder, or 'none'. Without it the model that the settings name.")
@click.option("--tracker", default="botsort.yaml", show_default=True, help="Settings file, or a packaged preset.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option("--draw", is_flag=True, help="Also write annotated.mp4.")
@click.option(
    "--fps",
    type=FiniteRange(min=0.01, max=10_000),
    help="Frames per second. Without it what seqinfo.ini says, else the video.",
)
@click.option(
    "--threads", type=click.IntRange(1, MOST_THREADS), help="Threads for inference. Without it the library's choice."
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="What the artifact runs on, as its engine calls it: cpu, gpu, cuda:1, …",
)
@click.option("--build", is_flag=True, help="Build the artifact's engine first where it has none that fits this box.")
@click.option("--trust", is_flag=True, help="Run native code in the artifact even if it was built elsewhere.")
@click.option(
    "--checkpoint", type=click.Path(path_type=Path), help="Model of attributes: .onnx with its .yaml beside it."
)
@click.option("--confidence-based", is_flag=True, help="Weight its estimates by their confidence.")
@click.option(
    "--min-detection-conf",
    type=FiniteRange(0, 1),
    default=0.0,
    show_default=True,
    help="Estimate nobody whose detection is less certain.",
)
@click.option("--max-frames", type=click.IntRange(min=1), help="Stop after so many frames.")
@json_option
def track(
    source: str,
    detections: Path | None,
    detector: Path | None,
    reid: str | None,
    tracker: str,
    output: Path,
    draw: bool,
    fps: float | None,
    threads: int | None,
    device: str,
    build: bool,
    trust: bool,
    checkpoint: Path | None,
    confidence_based: bool,
    min_detection_conf: float,
    max_frames: int | None,
    as_json: bool,
) -> None:
    """Track people through a video.

    Writes tracks.txt (MOTChallenge), summary.json, with --draw annotated.mp4 and with --checkpoint attributes.json into
    the output folder, in place of those of an earlier run. Ctrl-C ends the run after the frame it is at and keeps what
    there is.
    """
    if (detections is None) == (detector is None):
        raise click.UsageError("name either --detections or --detector")
    if reid == NO_REID:
        refuse_idle(("device", "build", "trust"), f"with --reid {NO_REID}")
    if checkpoint is None:
        refuse_idle(("confidence_based", "min_detection_conf"), "without --checkpoint")
    if reid == NO_REID and detector is None and checkpoint is None:
        refuse_idle(("threads",), "where no network runs")
    job = TrackingJob(
        input=source,
        output=output,
        detections=detections,
        detector=detector,
        reid=reid,
        tracker=tracker,
        draw=draw,
        fps=fps,
        threads=threads,
        device=device,
        build=build,
        trusted=trust,
        max_frames=max_frames,
        attributes=checkpoint,
        by_confidence=confidence_based,
        min_detection_score=min_detection_conf,
    )
    with stop_signals() as stop, ProgressLine() as line:
        summary = run(job, on_frame=_progress(line), should_stop=stop.is_set)
    for warning in summary.warnings:
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        print_json(summary.to_dict())
    else:
        click.echo(_text(summary, output))
    if summary.interrupted:
        raise SystemExit(INTERRUPTED)


def _progress(line: ProgressLine) -> Callable[[Progress], None]:
    """Shows now and then how far the recording is."""
    next_s = monotonic() + _PROGRESS_S

    def show(progress: Progress) -> None:
        nonlocal next_s
        if line.shows and monotonic() >= next_s:
            next_s = monotonic() + _PROGRESS_S
            speed = progress.frames / progress.seconds
            line.write(f"frame {progress.last_frame}, {speed:.0f} frames/s")

    return show


def _text(summary: Summary, output: Path) -> str:
    """The summary for people."""
    width, height = summary.size
    stages = "  ".join(f"{stage.replace('_', ' ')} {mean:.2f}" for stage, mean in summary.stage_ms.items())
    lines = [
        f"{summary.frames} frames of {width}x{height} at {summary.frame_rate:g} frames/s ({summary.frame_rate_source})",
        f"{summary.people} people, {summary.boxes} boxes; tracked at {summary.fps:.1f} frames/s",
        f"ms a frame  {stages}",
    ]
    if summary.reid is not None:
        counts = summary.appearance
        lines.append(
            f"appearance decided {counts['decided']} matches, changed {counts['changed']}, vetoed {counts['vetoed']}; "
            f"{summary.crops} crops by {summary.reid['artifact']}"
            + (f", {summary.crops_saved} saved" if summary.crops_saved else "")
        )
    lines += [f"-> {output / name}" for name in summary.files]
    return "\n".join(lines)
