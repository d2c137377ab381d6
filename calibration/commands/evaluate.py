"""`reidkit eval`: how well tracks follow the ground truth of a sequence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from reidkit.calibration.metrics import Benchmark, TrackingScores, score_tracking
from reidkit.runtime.commands.shell import ReidkitCommand, json_option, print_json
from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.video.mot_files import read_tracks


@click.command("eval", cls=ReidkitCommand)
@click.option("--gt", type=click.Path(path_type=Path), required=True, help="Ground truth, a MOTChallenge gt.txt.")
@click.option(
    "--tracks",
    "files",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    help="A tracker's output, MOTChallenge text; several are shown one below the other.",
)
@click.option(
    "--benchmark",
    type=click.Choice(["auto", *(benchmark.value for benchmark in Benchmark)]),
    default="auto",
    show_default=True,
    help="Whose rules say which boxes count; auto: mot17 where the ground truth has classes, else mot15.",
)
@json_option
def evaluate(gt: Path, files: tuple[Path, ...], benchmark: str, as_json: bool) -> None:
    """Compare tracks with ground truth: HOTA, IDF1, MOTA and their parts, equal to TrackEval's."""
    truth = read_tracks(gt)
    if not len(truth):
        raise InvalidFile(f"{gt} holds no boxes", remedy="name a sequence's gt.txt")
    rules = None if benchmark == "auto" else Benchmark(benchmark)
    scores = {str(file): score_tracking(truth, read_tracks(file), benchmark=rules) for file in files}
    if as_json:
        objects = {file: _to_dict(of) for file, of in scores.items()}
        print_json({"tracks": objects} if len(files) > 1 else objects[str(files[0])])
    else:
        click.echo("\n".join(_table(scores)))


def _to_dict(scores: TrackingScores) -> dict[str, Any]:
    return {**scores.percentages(), **scores.counts(), "benchmark": scores.benchmark.value}


def _table(scores: Mapping[str, TrackingScores]) -> Iterator[str]:
    rules = next(iter(scores.values())).benchmark.value
    yield f"percent, by the rules of {rules}"
    yield from _rows({file: {k: f"{v:.2f}" for k, v in of.percentages().items()} for file, of in scores.items()})
    yield "counts"
    yield from _rows({file: {k: str(v) for k, v in of.counts().items()} for file, of in scores.items()})


def _rows(cells: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """A line of names and one for each file, which is named where there are several."""
    width = max(map(len, cells)) if len(cells) > 1 else 0
    yield " " * width + "".join(f"{name:>8}" for name in next(iter(cells.values())))
    for file, row in cells.items():
        yield f"{file if width else '':{width}}" + "".join(f"{value:>8}" for value in row.values())
