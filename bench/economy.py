"""`python -m bench.economy SCENE TRUTH`: what sparing crops costs.

A sequence that `bench.observe` has seen once is tracked with every crop's embedding, and again with those alone that
the tracker wants under the settings `economy_…`; nothing else differs. The gain is the share of crops spared, the cost
the IDF1 lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from bench.measurement import table
from bench.observe import SeenFrame, read_scene
from bench.occlusion import run_whole
from reidkit.runtime.commands.shell import print_json
from reidkit.runtime.tracking import BotSortConfig
from reidkit.runtime.video.mot_files import MotTable, read_tracks


@dataclass(frozen=True, slots=True)
class Economy:
    """A sequence tracked with some of its crops.

    Attributes:
        saved_percent: crops not embedded, of all that might have been.
        hota: percent.
        idf1: percent.
        hota_lost: points below the same settings with every crop; negative for a gain.
        idf1_lost: the same of IDF1.
    """

    saved_percent: float
    hota: float
    idf1: float
    hota_lost: float
    idf1_lost: float


def measure(
    frames: Sequence[SeenFrame], truth: MotTable, lavish: BotSortConfig, *thrifty: BotSortConfig
) -> list[Economy]:
    """What each of the `thrifty` settings saves and costs beside the `lavish` ones, which embed every crop."""
    everything = run_whole(frames, lavish, truth)
    crops = sum(int((frame.scores >= max(lavish.high_score, lavish.min_embedding_score)).sum()) for frame in frames)
    found = []
    for config in thrifty:
        some = run_whole(frames, config, truth)
        saved = 100 * some.appearance.spared / max(crops, 1)
        found.append(Economy(saved, some.hota, some.idf1, everything.hota - some.hota, everything.idf1 - some.idf1))
    return found


@click.command()
@click.argument("scene", type=click.Path(exists=True, path_type=Path))
@click.argument("truth", type=click.Path(exists=True, path_type=Path))
@click.option("--tracker", "trackers", multiple=True, default=("botsort.yaml", "tuned.yaml"), show_default=True)
@click.option("--refresh", "refreshes", type=int, multiple=True, default=(3, 5, 10), show_default=True)
@click.option("--margin", "margins", type=float, multiple=True, default=(0.5,), show_default=True)
@click.option("--max-crops", type=int, help="Budget in crops a frame.")
@click.option("--frame-rate", type=float, default=30.0, show_default=True, help="Frames/s that seconds mean.")
@click.option("--embeddings", default="embeddings", show_default=True, help="Name of the embeddings in SCENE.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(
    scene: Path,
    truth: Path,
    trackers: tuple[str, ...],
    refreshes: tuple[int, ...],
    margins: tuple[float, ...],
    max_crops: int | None,
    frame_rate: float,
    embeddings: str,
    as_json: bool,
) -> None:
    """Track SCENE, as `bench.observe` wrote it, whose ground truth is the file TRUTH, with ever fewer crops."""
    people = read_tracks(truth)
    frames = read_scene(scene, people, embeddings=embeddings)
    budgets = [(frames_old, margin) for frames_old in refreshes for margin in margins]
    results: dict[str, dict[str, Economy]] = {}
    for name in trackers:
        lavish = BotSortConfig.load(name, frame_rate=frame_rate)
        thrifty = [
            replace(lavish, economy_refresh_frames=old, economy_margin=margin, economy_max_crops=max_crops)
            for old, margin in budgets
        ]
        labels = [f"refresh {old}, margin {margin:g}" for old, margin in budgets]
        results[name] = dict(zip(labels, measure(frames, people, lavish, *thrifty), strict=True))
    if as_json:
        print_json({name: {label: asdict(one) for label, one in found.items()} for name, found in results.items()})
        return
    columns = {
        name: {
            label: f"{one.saved_percent:.0f} % saved, {one.hota:.1f} / {one.idf1:.1f}, lost {one.idf1_lost:+.2f}"
            for label, one in found.items()
        }
        for name, found in results.items()
    }
    click.echo(table("HOTA / IDF1, points of IDF1 lost", columns))


if __name__ == "__main__":
    main()
