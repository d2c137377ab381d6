"""`reidkit cameras`: recordings of several cameras, one id for a person in all of them."""

from __future__ import annotations

from pathlib import Path

import click

from reidkit.runtime.commands.shell import (
    INTERRUPTED,
    FiniteRange,
    ProgressLine,
    ReidkitCommand,
    json_option,
    print_json,
    stop_signals,
)
from reidkit.runtime.engines.engine import MOST_THREADS
from reidkit.runtime.pipeline import TrackingJob
from reidkit.runtime.pipeline.together import CamerasJob, run_together
from reidkit.runtime.tracking.across_cameras import AcrossCamerasConfig

_path = click.Path(path_type=Path)


@click.command("cameras", cls=ReidkitCommand)
@click.option("--input", "sources", multiple=True, required=True, help="A camera's recording; name two or more.")
@click.option("--detections", type=_path, multiple=True, help="Its MOTChallenge det.txt; as often as --input.")
@click.option("--detector", type=_path, help="Or a detector's .onnx, for all.")
@click.option("--reid", required=True, help="Artifact folder.")
@click.option("--tracker", default="tuned.yaml", show_default=True, help="Settings file, or a packaged preset.")
@click.option("--across", type=_path, help="Settings of recognition across cameras: passages, ground, thresholds.")
@click.option("--output", type=_path, required=True, help="Folder for the results: 0/tracks.txt, 1/tracks.txt, …")
@click.option("--draw", is_flag=True, help="Also write each camera's annotated.mp4.")
@click.option("--fps", type=FiniteRange(min=0.01, max=10_000), help="Frames per second of all cameras.")
@click.option("--threads", type=click.IntRange(1, MOST_THREADS), help="Threads for inference.")
@click.option("--trust", is_flag=True, help="Run native code in the artifact even if it was built elsewhere.")
@click.option("--max-frames", type=click.IntRange(min=1), help="Stop after so many frames of each.")
@json_option
def cameras(
    sources: tuple[str, ...],
    detections: tuple[Path, ...],
    detector: Path | None,
    reid: str,
    tracker: str,
    across: Path | None,
    output: Path,
    draw: bool,
    fps: float | None,
    threads: int | None,
    trust: bool,
    max_frames: int | None,
    as_json: bool,
) -> None:
    """Track people through several cameras at once; who is seen by two has one id in both.

    The recordings must have begun at the same moment. What an earlier run left in the output folder is replaced.
    --across FILE says how the cameras, numbered from 0 as --input names them, lie:

    \b
      min_cosine: 0.45
      passages:           # none: any two may see one person, at once or a minute apart
      - {cameras: [0, 1], min_s: 2, max_s: 30}
      # where both see one place: {cameras: [0, 1], overlap: true}
    """  # noqa: D301 - click wants the character itself
    if bool(detections) == (detector is not None) or (detections and len(detections) != len(sources)):
        raise click.UsageError("name either --detector, or --detections as often as --input")
    boxes: list[Path | None] = [*detections] or [None] * len(sources)
    job = CamerasJob(
        cameras=tuple(
            TrackingJob(
                input=source,
                output=output / str(number),
                detections=own,
                detector=detector,
                reid=reid,
                tracker=tracker,
                draw=draw,
                fps=fps,
                threads=threads,
                trusted=trust,
                max_frames=max_frames,
            )
            for number, (source, own) in enumerate(zip(sources, boxes, strict=True))
        ),
        across=AcrossCamerasConfig.load(across, cameras=len(sources)) if across else AcrossCamerasConfig(),
        output=output,
    )
    with stop_signals() as stop, ProgressLine() as line:
        summary = run_together(
            job,
            on_frame=lambda camera, frame: line.write(f"camera {camera}, frame {frame}"),
            should_stop=stop.is_set,
        )
    for number, each in enumerate(summary["cameras"]):
        for warning in each["warnings"]:
            click.echo(f"warning: camera {number}: {warning}", err=True)
    if as_json:
        print_json(summary)
    else:
        for number, each in enumerate(summary["cameras"]):
            click.echo(f"{number}: {each['people']} people in {each['frames']} frames -> {each['folder']}")
        click.echo(f"{summary['people']} people in all, at {summary['fps']:.1f} frames/s; {summary['joined']} joins")
    if summary["interrupted"]:
        raise SystemExit(INTERRUPTED)
