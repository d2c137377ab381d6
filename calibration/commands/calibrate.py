"""`reidkit calibrate`: the few hundred crops that stand for a camera, to calibrate with and to check with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.crops.selection import (
    Candidate,
    balanced_choice,
    candidates_of_folder,
    candidates_of_video,
    thumbnails,
)
from reidkit.calibration.crops.stored import SHEET_FILE, StoredSet, store
from reidkit.runtime import open_artifact
from reidkit.runtime.commands.shell import (
    ProgressLine,
    ReidkitCommand,
    json_option,
    print_json,
    refuse_idle,
    stop_signals,
)
from reidkit.runtime.detectors import open_detector
from reidkit.runtime.errors import Interrupted, InvalidFile

_path = click.Path(path_type=Path)
_STOPPED = "interrupted: nothing is written"


@click.command("calibrate", cls=ReidkitCommand)
@click.option(
    "--input", "videos", type=_path, multiple=True, help="Video, or a MOTChallenge sequence; may be repeated."
)
@click.option(
    "--crops",
    "folders",
    type=click.Path(file_okay=False, path_type=Path),
    multiple=True,
    help="Folder of crops; may be repeated.",
)
@click.option("--detector", "detector_file", type=_path, help="Detector's .onnx, for videos without a det/det.txt.")
@click.option("--detections", type=_path, help="File of boxes in MOTChallenge's layout, of the only --input.")
@click.option("--output", type=_path, required=True, help="Folder to write, e.g. gate.cal.")
@click.option("--count", type=click.IntRange(min=1), default=256, show_default=True, help="Crops to choose.")
@click.option(
    "--reid",
    "artifact",
    type=click.Path(file_okay=False, path_type=Path),
    help="Artifact that tells which crops are alike.  [default: thumbnails do]",
)
@click.option(
    "--frames", type=click.IntRange(min=1), default=300, show_default=True, help="Frames of a video to look at."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides between equals.")
@click.option("--trust", is_flag=True, help="Run native code in the artifact even if it was built elsewhere.")
@json_option
def calibrate(
    videos: tuple[Path, ...],
    folders: tuple[Path, ...],
    detector_file: Path | None,
    detections: Path | None,
    output: Path,
    count: int,
    artifact: Path | None,
    frames: int,
    seed: int,
    trust: bool,
    as_json: bool,
) -> None:
    """Choose the crops that stand for your camera: unlike each other, from all its hours, distances and lights.

    OUTPUT/crops holds them as found, OUTPUT/crops.json where each is from, OUTPUT/contact-sheet.jpg shows them.
    `reid-export --precision int8 --calibration OUTPUT` calibrates with them, `--crops OUTPUT` checks with them.
    """
    if not videos and not folders:
        raise click.UsageError("name --input or --crops")
    if detections is not None and len(videos) != 1:
        raise click.UsageError("--detections goes with one --input")
    if artifact is None:
        refuse_idle(["trust"], "without --reid")
    if not videos:
        refuse_idle(["detector_file", "frames"], "without --input")
    elif detections is not None:
        refuse_idle(["detector_file"], "beside --detections")
    candidates: list[Candidate] = []
    with ExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        line = stack.enter_context(ProgressLine())
        detector = None
        if detector_file is not None:
            detector = open_detector(detector_file)
            stack.callback(detector.close)
        for folder in folders:
            candidates += _told(line, folder, candidates_of_folder(folder))
        for video in videos:
            found = candidates_of_video(
                video, detector=detector, detections=detections, frames=frames, should_stop=stop.is_set
            )
            candidates += _told(line, video, found)
        if stop.is_set():
            raise Interrupted(_STOPPED)
        if not candidates:
            raise InvalidFile("nobody was found who could be cut out", remedy="check the detector or its boxes")
        line.write(f"comparing {len(candidates)} crops")
        embeddings = thumbnails(candidates) if artifact is None else _embeddings(candidates, artifact, trusted=trust)
        chosen = balanced_choice(candidates, embeddings, count, seed=seed)
        if stop.is_set():
            raise Interrupted(_STOPPED)
        line.write(f"writing {len(chosen)} crops")
        stored = store(
            [candidates[row] for row in chosen],
            output,
            seed=seed,
            compared_by="thumbnails" if artifact is None else f"artifact {artifact.resolve().name}",
            candidates=dict(Counter(candidate.source for candidate in candidates)),
        )
    if as_json:
        print_json({"output": str(output), **stored.to_dict()})
    else:
        click.echo(_text(output, stored))


def _told(line: ProgressLine, source: Path, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
    line.write(f"looking at {source}")
    return candidates


def _embeddings(candidates: list[Candidate], artifact: Path, *, trusted: bool) -> NDArray[np.float32]:
    """(N, D) float32, as the artifact sees them."""
    with open_artifact(artifact, trusted=trusted) as engine:
        wholes = [np.array([[0, 0, *candidate.image.shape[1::-1]]], np.float64) for candidate in candidates]
        rows = [engine.embed_crops(each.image, whole) for each, whole in zip(candidates, wholes, strict=True)]
    return np.concatenate(rows)


def _text(output: Path, stored: StoredSet) -> str:
    taken = Counter(crop.source for crop in stored.crops)
    lines = [
        f"{output}: {len(stored.crops)} crops, compared by {stored.compared_by}, digest {stored.digest[:12]}",
        *(f"  {taken[source]:>5} of {count} from {source}" for source, count in stored.candidates.items()),
        f"  look at {output / SHEET_FILE}",
    ]
    return "\n".join(lines)
