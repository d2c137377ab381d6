"""What was tried on every target, as a page: docs/targets.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from reidkit.export.trials import STATUSES, Trial, Trials
from reidkit.targets import Precision, find_target, targets


def markdown(found: Trials) -> str:
    """A summary of all targets, then a table for each with what came of every backbone."""
    parts = [
        "# Targets",
        "Written by `reidkit targets --crops CROPS --measured docs/targets.json --table docs/targets.md`: every "
        f"backbone exported to every target in every precision it offers. Last on {found.machine}.",
        "\n".join(f"* *{status}*: {meaning}" for status, meaning in STATUSES.items()),
        "Beside it the worst cosine to torch over a few crops, one at a time and all at once; the size of all files; "
        "and the processor seconds from the graph to the engine. Weights are random, but for `osnet_x0_25`, which has "
        "those that come with reidkit: what half precision or int8 costs a trained network, its own export says.",
        _table(("target", *Precision), [(f"`{name}`", *_summary(found, name)) for name in targets()]),
    ]
    for name in targets():
        if trials := [trial for trial in found.trials.values() if trial.target == name]:
            parts += [f"## {name}", *_section(trials)]
    return "\n\n".join(parts) + "\n"


def _summary(found: Trials, target: str) -> list[str]:
    """For each precision what came of how many backbones."""
    cells = []
    for precision in Precision:
        trials = [trial for trial in found.trials.values() if (trial.target, trial.precision) == (target, precision)]
        counts = Counter(trial.status for trial in trials)
        told = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
        cells.append((told or "not tried") if precision in find_target(target).precisions else "-")
    return cells


def _section(trials: Sequence[Trial]) -> list[str]:
    """The table of one target, and the reasons below it."""
    precisions = [precision for precision in Precision if any(trial.precision == precision for trial in trials)]
    backbones = dict.fromkeys(trial.backbone for trial in trials)
    by_key = {(trial.backbone, trial.precision): trial for trial in trials}
    reasons: dict[str, int] = {}
    rows = []
    for backbone in backbones:
        cells = [by_key.get((backbone, str(precision))) for precision in precisions]
        rows.append((f"`{backbone}`", *(_cell(trial, reasons) for trial in cells)))
    toolchains = [set(trial.toolchain.items()) for trial in trials if trial.toolchain]
    common = set.intersection(*toolchains) if toolchains else set()
    told = [", ".join(f"{name} {version}" for name, version in sorted(common))] if common else []
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    return [*told, _table(("backbone", *precisions), rows), *(["\n".join(notes)] if notes else [])]


def _cell(trial: Trial | None, reasons: dict[str, int]) -> str:
    if trial is None:
        return "not tried"
    figures = [
        None if trial.cosine_min is None else f"{trial.cosine_min:.6f}",
        None if trial.megabytes is None else f"{trial.megabytes:.1f} MB",
        None if trial.build_cpu_s is None else f"{trial.build_cpu_s:.1f} s",
    ]
    note = f" ({reasons.setdefault(trial.reason, len(reasons) + 1)})" if trial.reason else ""
    return ", ".join([f"{trial.status}{note}", *filter(None, figures)])


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)
