"""`reidkit eval`: how well tracks follow the ground truth of a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from reidkit.calibration.metrics import Benchmark, TrackingScores, score_tracking
from reidkit.runtime.commands.shell import ReidkitCommand, json_option, print_json
from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.video.mot_files import read_tracks


@click.command("eval", cls=ReidkitCommand)
@click.option("--gt", type=click.Path(path_type=Path), required=True, help="Ground truth, a MOTChallenge gt.txt.")
@click.option("--tracks", type=click.Path(path_type=Path), required=True, help="A tracker's output, MOTChallenge text.")
@click.option(
    "--benchmark",
    type=click.Choice(["auto", *(benchmark.value for benchmark in Benchmark)]),
    default="auto",
    show_default=True,
    help="Whose rules say which boxes count; auto: mot17 where the ground truth has classes, else mot15.",
)
@json_option
def evaluate(gt: Path, tracks: Path, benchmark: str, as_json: bool) -> None:
    """Compare tracks with ground truth: HOTA, IDF1, MOTA and their parts, equal to TrackEval's."""
    truth = read_tracks(gt)
    if not len(truth):
        raise InvalidFile(f"{gt} holds no boxes", remedy="name a sequence's gt.txt")
    scores = score_tracking(truth, read_tracks(tracks), benchmark=None if benchmark == "auto" else Benchmark(benchmark))
    if as_json:
        print_json({**scores.percentages(), **scores.counts(), "benchmark": scores.benchmark.value})
    else:
        click.echo(_table(scores))


def _table(scores: TrackingScores) -> str:
    percentages = {name: f"{value:.2f}" for name, value in scores.percentages().items()}
    counts = {name: str(value) for name, value in scores.counts().items()}
    return "\n".join(
        [f"percent, by the rules of {scores.benchmark.value}", *_rows(percentages), "counts", *_rows(counts)]
    )


def _rows(cells: Mapping[str, str]) -> tuple[str, str]:
    return "".join(f"{name:>8}" for name in cells), "".join(f"{value:>8}" for value in cells.values())
