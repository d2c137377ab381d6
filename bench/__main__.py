"""`bench/run`, or `python -m bench` where reidkit and the peers are installed: all tables as Markdown."""

from __future__ import annotations

from dataclasses import asdict

import click

from bench import camera_motion, crops, tracker
from bench.measurement import machine, table, with_ratios
from reidkit.runtime.commands.shell import print_json


@click.command()
@click.argument("what", type=click.Choice(["all", "tracker", "crops", "camera_motion"]), default="all")
@click.option("--frames", default=80, show_default=True, help="Frames of a crowd, or of a camera.")
@click.option("--rounds", default=3, show_default=True, help="How often the contenders take turns.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def main(what: str, frames: int, rounds: int, as_json: bool) -> None:
    """Measure reidkit beside its peers; times are CPU time of all threads, medians over rounds in turns."""
    host = machine()
    crowds = list(tracker.compare(frames=frames, rounds=rounds)) if what in ("all", "tracker") else []
    batches = list(crops.compare(rounds=rounds)) if what in ("all", "crops") else []
    cameras = list(camera_motion.compare(frames=frames, rounds=rounds)) if what in ("all", "camera_motion") else []
    if as_json:
        measured = {"tracker": crowds, "crops": batches, "camera_motion": cameras}
        print_json(
            {"machine": host, **{name: [asdict(result) for result in found] for name, found in measured.items()}}
        )
        return
    for name, value in host.items():
        click.echo(f"* {name}: {value}")
    if crowds:
        speeds = {f"{crowd.people} people": with_ratios(crowd.milliseconds, lambda ms: 1e3 / ms) for crowd in crowds}
        quality = {
            f"{crowd.people} people": {name: f"{idf1:.1f}" for name, idf1 in crowd.idf1.items()} for crowd in crowds
        }
        click.echo(f"\n{table('updates/s', speeds)}\n\n{table('IDF1', quality)}")
    if batches:
        times = {
            f"{batch.crops} crops": with_ratios(batch.milliseconds, lambda ms, crops=batch.crops: 1e3 * ms / crops)
            for batch in batches
        }
        click.echo(f"\n{table('µs a crop', times)}")
    if cameras:
        costs = {f"{one.camera} camera": with_ratios(one.milliseconds, lambda ms: 1e3 * ms) for one in cameras}
        missed = {
            f"{one.camera} camera": {
                name: f"{median:.2f} ({worst:.2f})" for name, (median, worst) in one.error_px.items()
            }
            for one in cameras
        }
        click.echo(f"\n{table('µs a frame', costs)}\n\n{table('pixels off (worst)', missed)}")


if __name__ == "__main__":
    main()
