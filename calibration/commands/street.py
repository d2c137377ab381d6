"""`reidkit street`: a rendered sequence with ground truth, for whoever has no data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from reidkit.calibration.street.camera import CameraMotion
from reidkit.calibration.street.overlap import write_views
from reidkit.calibration.street.sequence import WrittenSequence, write_sequence
from reidkit.calibration.street.street import Street, StreetConfig
from reidkit.runtime.commands.shell import ProgressLine, ReidkitCommand, json_option, print_json


def _size(ctx: click.Context, param: click.Parameter, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a size such as 640x480", ctx, param)
    return int(match[1]), int(match[2])


@click.command("street", cls=ReidkitCommand)
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="Folder to put the sequence's folder in."
)
@click.option("--name", help="Of the sequence's folder. Without it street-SEED.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another street.")
@click.option("--people", type=int, default=10, show_default=True, help="How many walk here, look-alikes included.")
@click.option(
    "--look-alikes", type=int, help="How many wear somebody else's clothes.  [default: 2, but at most half of --people]"
)
@click.option("--frames", type=int, default=300, show_default=True, help="How many to render.")
@click.option(
    "--size",
    callback=_size,
    default="640x480",
    metavar="WIDTHxHEIGHT",
    show_default=True,
    help="Of a frame, in pixels.",
)
@click.option("--fps", type=float, default=15, show_default=True, help="Frames per second.")
@click.option("--camera", type=click.Choice(["still", "pan"]), default="still", show_default=True, help="How it moves.")
@click.option(
    "--views",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="How many cameras. Two see a part of the street both; each writes a folder of its own, view1 and view2, "
    "and views.json tells what they see of the ground.",
)
@click.option("--images", is_flag=True, help="Write img1/*.jpg instead of street.mp4.")
@json_option
def street(
    output: Path,
    name: str | None,
    seed: int,
    people: int,
    look_alikes: int | None,
    frames: int,
    size: tuple[int, int],
    fps: float,
    camera: CameraMotion,
    views: int,
    images: bool,
    as_json: bool,
) -> None:
    """Render a street full of people, with ground truth and a detector's boxes, in MOTChallenge's layout."""
    config = StreetConfig(
        seed=seed,
        people=people,
        look_alikes=min(2, people // 2) if look_alikes is None else look_alikes,
        frames=frames,
        width=size[0],
        height=size[1],
        fps=fps,
        camera=camera,
        views=views,
    )
    folder = output / (name or f"street-{seed}")
    with ProgressLine() as line:

        def on_frame(number: int) -> None:
            line.write(f"frame {number} of {frames}")

        if views == 1:
            sequence = write_sequence(Street(config), folder, images=images, on_frame=on_frame)
            report, text = _report(sequence), _text(sequence)
        else:
            written = write_views(Street(config), folder, images=images, on_frame=on_frame)
            report = {
                "views": [_report(sequence) for sequence in written.sequences],
                "views_file": str(written.views_file),
                "overlaps": written.overlaps,
            }
            seen = [
                f"{overlap['share']:.0%} of sightings are in {' and '.join(overlap['views'])} at once"
                for overlap in written.overlaps
            ]
            text = "\n".join([*map(_text, written.sequences), *seen, f"  {written.views_file}"])
    if as_json:
        print_json(report)
    else:
        click.echo(text)


def _report(written: WrittenSequence) -> dict[str, Any]:
    return {
        "input": str(written.input),
        "detections": str(written.detections_file),
        "gt": str(written.truth_file),
        "frames": written.frames,
        "identities": written.identities,
        "boxes": written.boxes,
        "detected": written.detections,
    }


def _text(written: WrittenSequence) -> str:
    return (
        f"{written.frames} frames, {written.identities} people in {written.boxes} boxes, "
        f"{written.detections} detections\n  {written.input}\n  {written.detections_file}\n  {written.truth_file}"
    )
