"""The last gate: is the artifact worth having, faster than the best float artifact of its network on this very box?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from reidkit.calibration.benchmark.choice import Choice, choose
from reidkit.calibration.benchmark.contest import measure, usual_threads
from reidkit.calibration.gates.limits import WorthLimits
from reidkit.calibration.gates.report import GateReport, at_most, not_run
from reidkit.runtime.artifact import built_here, read_artifact
from reidkit.runtime.artifact.manifest import Manifest
from reidkit.runtime.engines import EngineBase, engines
from reidkit.runtime.errors import ReidkitError

NAME = "worth_it"
PRINCIPAL = "time_ratio"
FLOATS = ("fp32", "fp16", "bf16")
PEOPLE = 8
_ROUNDS = 5


def worth_gate(
    candidate: Path,
    rivals: Sequence[Path],
    limits: WorthLimits,
    *,
    seconds: float,
    allow_slower: bool = False,
    trusted: bool = False,
    on_turn: Callable[[int, int], None] = lambda done, of: None,
) -> GateReport:
    """Whether `candidate` takes less time for a frame than each of `rivals`; they take turns.

    Args:
        candidate: an artifact's folder.
        rivals: float artifacts' folders.
        limits: how much of the best rival's time it may take.
        seconds: to measure each batch size of each for.
        allow_slower: measure, and hold it to nothing.
        trusted: as for `open_artifact`.
        on_turn: as for `measure`.

    Raises:
        ReidkitError: one of them cannot be opened or run.
    """
    if not rivals:
        return not_run(NAME, measure=PRINCIPAL, why="no float artifact of this network is here to beat")
    measured = measure(
        [candidate, *rivals],
        threads=usual_threads()[-1:],
        people=PEOPLE,
        rounds=_ROUNDS,
        seconds=seconds,
        trusted=trusted,
        on_turn=on_turn,
    )
    own, best = choose(measured[:1], people=PEOPLE)[0], choose(measured[1:], people=PEOPLE)[0]
    ratio = own.frame_ms / best.frame_ms
    named = next(each.manifest.name for each in measured if str(each.artifact) == best.artifact)
    figures = {"people": PEOPLE, "frame_ms": own.frame_ms, "best_float": {"name": named, **_shown(best)}}
    note = f"{own.frame_ms:.1f} ms for {PEOPLE} people, {named} takes {best.frame_ms:.1f} ms"
    limit = None if allow_slower else limits.time_ratio
    if limit is not None and ratio > limit:
        note = f"no win here: {note}"
    elif ratio > limits.time_ratio:
        note = f"no win here, which was allowed: {note}"
    return at_most(NAME, [(PRINCIPAL, ratio, limit)], note=note, figures=figures)


def float_siblings(folder: Path, of: Manifest) -> list[Path]:
    """The float artifacts in `folder` that are of the same network and weights as `of` and can run here, by name."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            manifest, _ = read_artifact(path)
        except ReidkitError:
            continue  # no artifact, or not a sound one: nothing to compare with
        if manifest.precision.built in FLOATS and is_same_network(manifest, of) and runs_here(manifest):
            found.append(path)
    return found


def is_same_network(one: Manifest, other: Manifest) -> bool:
    """Whether two artifacts were made of the same weights."""
    first, second = one.backbone, other.backbone
    return (first.name, first.weights.source, first.weights.sha256) == (
        second.name,
        second.weights.source,
        second.weights.sha256,
    )


def runs_here(manifest: Manifest) -> bool:
    """Whether the artifact has an engine that may run here, and nothing is known against it."""
    known = engines()
    if not manifest.is_built or manifest.engine not in known:
        return False
    engine: type[EngineBase] = known[manifest.engine].load()
    return engine.available() is None and (not engine.runs_native_code or built_here(manifest))


def _shown(choice: Choice) -> dict[str, float | int | str]:
    return {
        "target": choice.target,
        "precision": choice.precision,
        "frame_ms": choice.frame_ms,
        "batch": choice.batch,
        "threads": choice.threads,
    }
