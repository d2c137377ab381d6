"""`reidkit tune`: the tracker's settings for a site, from a sequence that somebody labelled there."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import yaml

from reidkit.calibration.tuning import Tuning, record, tune
from reidkit.calibration.tuning.recording import pieces_of
from reidkit.runtime import BotSortConfig, open_artifact
from reidkit.runtime.commands.shell import (
    FiniteRange,
    ProgressLine,
    ReidkitCommand,
    json_option,
    print_json,
    refuse_idle,
    stop_signals,
)
from reidkit.runtime.errors import GateFailure, Interrupted
from reidkit.runtime.files import expect_place, whole_file
from reidkit.runtime.tracking.translation import translate
from reidkit.runtime.video.frame_rate import frame_rate_of
from reidkit.runtime.video.sources import expect_kept, open_source

_path = click.Path(path_type=Path)


@click.command("tune", cls=ReidkitCommand)
@click.option(
    "--input", "sources", type=_path, multiple=True, required=True, help="Video or MOTChallenge sequence; repeatable."
)
@click.option("--detections", type=_path, multiple=True, help="Its boxes; as often as --input. [default: det/det.txt]")
@click.option("--gt", "truths", type=_path, multiple=True, help="Its ground truth; likewise. [default: gt/gt.txt]")
@click.option("--reid", required=True, help="Artifact folder, or 'none'.")
@click.option("--tracker", default="botsort.yaml", show_default=True, help="Settings to begin with.")
@click.option("--output", type=_path, required=True, help="Settings file to write, e.g. gate.yaml.")
@click.option(
    "--metric", type=click.Choice(["HOTA", "IDF1", "MOTA"]), default="HOTA", show_default=True, help="To be raised."
)
@click.option("--trials", type=click.IntRange(min=1), default=60, show_default=True, help="Of each search.")
@click.option(
    "--folds", type=click.IntRange(min=2), default=3, show_default=True, help="Pieces to hold out in turn, at least."
)
@click.option("--minutes", type=FiniteRange(min=0, min_open=True), help="Time budget.  [default: none]")
@click.option("--fps", type=FiniteRange(min=0.01, max=10_000), help="Frames per second.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the searches.")
@click.option("--trust", is_flag=True, help="Run native code in the artifact even if it was built elsewhere.")
@json_option
def tune_settings(
    sources: tuple[Path, ...],
    detections: tuple[Path, ...],
    truths: tuple[Path, ...],
    reid: str,
    tracker: str,
    output: Path,
    metric: str,
    trials: int,
    folds: int,
    minutes: float | None,
    fps: float | None,
    seed: int,
    trust: bool,
    as_json: bool,
) -> None:
    """Search the tracker's settings on labelled sequences of your own, and say what of the gain is to be expected.

    The expected score is cross-validated: of pieces that had no part in the search for what they were tracked with.
    Where it is not above that of the settings given, nothing is written and the exit code is 3. Nor is it when the
    search is interrupted; --minutes ends it in time.
    """
    for given, option in ((detections, "--detections"), (truths, "--gt")):
        if given and len(given) != len(sources):
            raise click.UsageError(f"{option} is given {len(given)} times, --input {len(sources)} times")
    if reid == "none":
        refuse_idle(["trust"], "with --reid none")
    expect_place(output, option="--output")
    boxes: list[Path | None] = [*detections] or [None] * len(sources)
    labels: list[Path | None] = [*truths] or [None] * len(sources)
    expect_kept(sources[0], purpose="asking for its frame rate first")
    with closing(open_source(sources[0])) as source:
        frame_rate, _ = frame_rate_of(source, sources[0], fps=fps, detections=boxes[0])
    config = BotSortConfig.load(tracker, frame_rate=frame_rate)
    if reid == "none":
        config = replace(config, with_reid=False)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        line = stack.enter_context(ProgressLine())
        engine = stack.enter_context(open_artifact(reid, trusted=trust)) if config.with_reid else None
        if engine is not None:
            config = config.resolved(engine.manifest)
        takes = [
            record(
                source,
                detections=box_file,
                truth=truth_file,
                engine=engine,
                config=config,
                fps=fps,
                on_frame=lambda index, source=source: line.write(f"{source}: frame {index}"),  # type: ignore[misc]
                should_stop=stop.is_set,
            )
            for source, box_file, truth_file in zip(sources, boxes, labels, strict=True)
        ]
        if stop.is_set():
            raise Interrupted("interrupted before the search: nothing is written")
        pieces = pieces_of(takes, folds)
        in_all = trials * (len(pieces) + 1)
        tuning = tune(
            pieces,
            config,
            metric=metric,
            trials=trials,
            seed=seed,
            max_seconds=None if minutes is None else 60 * minutes,
            on_trial=lambda number, best: line.write(f"trial {number} of {in_all}, {metric} {best:.2f}"),
            should_stop=stop.is_set,
        )
    if not tuning.verdict.complete:
        raise Interrupted(
            f"interrupted after {tuning.trials} trials: nothing is written, as what the settings are worth was not "
            "found out",
            remedy="--minutes ends a search in time",
        )
    if tuning.verdict.holds:
        with whole_file(output) as temporary:
            temporary.write_text(_file(tuning, sources, tracker), encoding="utf-8")
    report = _report(tuning, output)
    if not as_json:
        click.echo(_text(tuning, output))
    elif tuning.verdict.holds:
        print_json(report)
    if not tuning.verdict.holds:
        raise GateFailure(
            f"no win here: {metric} {tuning.verdict.expected:.2f} is to be expected of tuned settings, "
            f"{tuning.verdict.given:.2f} of those given",
            remedy=f"keep {tracker}, or give more labelled sequences",
            report=report,
        )


def _file(tuning: Tuning, sources: tuple[Path, ...], tracker: str) -> str:
    """The settings with their figures above them."""
    verdict = tuning.verdict
    settings: dict[str, Any] = {"schema": "reidkit", **translate(tuning.config, "reidkit").settings}
    head = [
        f"Found by `reidkit tune` in {tuning.trials} trials on {', '.join(source.name for source in sources)},",
        f"beginning with {Path(tracker).name}. {tuning.metric}, mean of {len(tuning.pieces)} pieces:",
        f"{verdict.given:.2f} with those, {verdict.found:.2f} with these; to be expected",
        f"elsewhere, by cross-validation: {verdict.expected:.2f}.",
    ]
    return "".join(f"# {text}\n" for text in head) + yaml.safe_dump(settings, sort_keys=False)


def _report(tuning: Tuning, output: Path) -> dict[str, Any]:
    verdict = tuning.verdict
    return {
        "output": str(output) if verdict.holds else None,
        "metric": tuning.metric,
        "given": verdict.given,
        "found": verdict.found,
        "expected": verdict.expected,
        "settings": tuning.settings,
        "pieces": tuning.pieces,
        "trials": tuning.trials,
    }


def _text(tuning: Tuning, output: Path) -> str:
    rows: list[tuple[str, ...]] = [("", "frames", "given", "found", "expected")]
    rows += [
        (piece["name"], str(piece["frames"]), *(f"{piece[key]:.2f}" for key in ("given", "found", "expected")))
        for piece in tuning.pieces
    ]
    verdict = tuning.verdict
    rows.append(("mean", "", *(f"{score:.2f}" for score in (verdict.given, verdict.found, verdict.expected))))
    width = max(len(row[0]) for row in rows)
    lines = [f"{tuning.metric} in percent, {tuning.trials} trials"]
    lines += [f"  {row[0]:<{width}}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows]
    lines += [f"  {name}: {value:g}" for name, value in tuning.settings.items()]
    if verdict.holds:
        lines.append(f"-> {output}")
    return "\n".join(lines)
