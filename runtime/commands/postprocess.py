"""`reidkit postprocess`: tracks made better once the video is over."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from reidkit.runtime import open_artifact
from reidkit.runtime.commands.shell import (
    FiniteRange,
    ProgressLine,
    ReidkitCommand,
    json_option,
    print_json,
    refuse_idle,
    stop_signals,
)
from reidkit.runtime.errors import Interrupted
from reidkit.runtime.files import refuse_overwriting
from reidkit.runtime.postprocessing import (
    Join,
    JoinSettings,
    Tracklet,
    add_tracklets,
    embed_tracklets,
    fill_gaps,
    join_tracklets,
    read_tracklets,
)
from reidkit.runtime.video.frame_rate import told_frame_rate
from reidkit.runtime.video.mot_files import TracksWriter
from reidkit.runtime.video.sources import local_path

_path = click.Path(path_type=Path)


@click.command("postprocess", cls=ReidkitCommand)
@click.option("--tracks", type=_path, required=True, help="tracks.txt of a tracker, any tracker.")
@click.option("--output", type=_path, required=True, help="tracks.txt to write.")
@click.option(
    "--fill", type=click.IntRange(min=0), default=20, show_default=True, help="Fill gaps of so many frames; 0: none."
)
@click.option("--reid", type=_path, help="Artifact by which to join tracks of one person; needs --input.")
@click.option("--input", "video", help="The video that was tracked.")
@click.option(
    "--min-cosine",
    type=FiniteRange(-1, 1),
    default=0.7,
    show_default=True,
    help="Join tracks at least so alike. For an OSNet x0.25; other models have other scales.",
)
@click.option(
    "--margin",
    type=FiniteRange(0, 2),
    default=0.05,
    show_default=True,
    help="Every other candidate must be less alike by this.",
)
@click.option(
    "--max-gap",
    "max_gap_s",
    type=FiniteRange(min=0, max=86_400),
    default=15,
    show_default=True,
    help="Seconds that somebody may have been away.",
)
@click.option(
    "--max-speed",
    type=FiniteRange(min=0, max=1000),
    default=2,
    show_default=True,
    help="How fast they may have moved, in their heights a second.",
)
@click.option("--reentry", is_flag=True, help="Also join who left the picture with who comes in.")
@click.option(
    "--fps",
    type=FiniteRange(min=0.01, max=10_000),
    help="Frames per second. Without it what seqinfo.ini says, else the video.",
)
@click.option("--trust", is_flag=True, help="Run native code in the artifact even if it was built elsewhere.")
@json_option
def postprocess(
    tracks: Path,
    output: Path,
    fill: int,
    reid: Path | None,
    video: str | None,
    min_cosine: float,
    margin: float,
    max_gap_s: float,
    max_speed: float,
    reentry: bool,
    fps: float | None,
    trust: bool,
    as_json: bool,
) -> None:
    """Fill the gaps in tracks and, with --reid, join tracks of one person by appearance.

    For recordings: it knows what comes later. A joined track keeps its earlier id.
    """
    if (reid is None) != (video is None):
        raise click.UsageError("--reid and --input go together")
    if reid is None:
        idle = ("min_cosine", "margin", "max_gap_s", "max_speed", "reentry", "fps", "trust")
        refuse_idle(idle, "without --reid")
    read = None if video is None else local_path(video.removeprefix("file://"))
    refuse_overwriting([output], [tracks, *([read] if read else [])])
    tracklets = read_tracklets(tracks)
    before = len(tracklets)
    joins: list[Join] = []
    with TracksWriter.open(output) as writer:
        if reid is not None and video is not None:
            settings = JoinSettings(
                min_cosine=min_cosine, margin=margin, max_gap_s=max_gap_s, max_speed=max_speed, reentry=reentry
            )
            tracklets, joins = _joined(tracklets, settings, video=video, artifact=reid, trusted=trust, fps=fps)
        boxes = sum(len(each.frames) for each in tracklets)
        filled = [fill_gaps(each, max_gap=fill) for each in tracklets]
        added = sum(len(each.frames) for each in filled) - boxes
        add_tracklets(filled, writer)
    if as_json:
        print_json(
            {
                "output": str(output),
                "tracks": {"before": before, "after": len(filled)},
                "boxes": {"before": boxes, "filled": added},
                "joins": [
                    {"id": join.id, "joined_id": join.joined_id, "gap": join.gap, "cosine": round(join.cosine, 4)}
                    for join in joins
                ],
            }
        )
        return
    for join in joins:
        click.echo(f"{join.joined_id} is {join.id}, cosine {join.cosine:.2f}, {join.gap} frames later")
    click.echo(f"{before} tracks became {len(filled)}, {added} boxes were filled in\n-> {output}")


def _joined(
    tracklets: Sequence[Tracklet],
    settings: JoinSettings,
    *,
    video: str,
    artifact: Path,
    trusted: bool,
    fps: float | None,
) -> tuple[list[Tracklet], list[Join]]:
    """The tracklets of a video with those joined that are one person's, and which those were."""
    with ExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        line = stack.enter_context(ProgressLine())
        engine = stack.enter_context(open_artifact(artifact, trusted=trusted))
        line.write(f"looking at {len(tracklets)} tracks")
        sampled = embed_tracklets(tracklets, video, engine, should_stop=stop.is_set)
        if stop.is_set():
            raise Interrupted("interrupted: nothing is written")
    told = told_frame_rate(sampled.frame_rate, video, fps=fps)
    if told is None:
        raise click.UsageError(f"nothing tells the frame rate of {video}; name --fps")
    return join_tracklets(tracklets, sampled.embeddings, settings, frame_rate=told[0], size=sampled.size)
