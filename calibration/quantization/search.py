"""Which parts of a network can be eight bits wide, where all of it cannot: found by measuring.

Each group of layers is quantised alone and its damage measured. Then those that do the most damage for the work that
they save go back to float, no more of them than the gate asks for; at last each of them is tried in eight bits again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from reidkit.calibration.gates import ParityReport

MOST_GROUPS = 32

Outcome = Literal["all in int8", "some in float", "none found", "out of time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One mixture, measured.

    Attributes:
        in_float: groups that stay in float.
        cosine_min: to the reference, over the gate's crops; None where an embedding is not finite.
        cosine_p01: likewise.
        cosine_median: likewise.
        passed: whether the gate takes it.
        seconds: since the search began.
    """

    in_float: list[str]
    cosine_min: float | None
    cosine_p01: float | None
    cosine_median: float | None
    passed: bool
    seconds: float


@dataclass(slots=True, kw_only=True)
class SearchTrace:
    """How a mixture was found.

    Attributes:
        outcome: how it ended.
        work: share of the multiplications of each group.
        damage: one minus the median cosine with this group alone in eight bits; of those that were measured.
        trials: what was tried, in order.
        in_float: groups that stay in float in the end.
        seconds: how long it took.
    """

    outcome: Outcome = "none found"
    work: dict[str, float] = field(default_factory=dict)
    damage: dict[str, float] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    in_float: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def found(self) -> bool:
        """Whether a mixture passes."""
        return any(trial.passed for trial in self.trials)

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


def grouped(modules: Mapping[str, str]) -> dict[str, list[str]]:
    """Products by the module they are in, as deep as gives at most 32 groups; without modules, neighbours together.

    Args:
        modules: by product's name, in the order of computation: ``path.of.module/node``.
    """
    paths = {name: re.split(r"[./]", module.rpartition("/")[0].strip("/")) for name, module in modules.items()}
    best: dict[str, list[str]] = {}
    for depth in range(1, 1 + max(map(len, paths.values()))):
        groups: dict[str, list[str]] = {}
        for name, path in paths.items():
            groups.setdefault(".".join(path[:depth]), []).append(name)
        if len(groups) <= MOST_GROUPS:
            best = groups
    if len(best) > 1:
        return best
    names, count = list(modules), min(MOST_GROUPS // 2, len(modules))
    cuts = [place * len(names) // count for place in range(count + 1)]
    return {f"part {place + 1} of {count}": names[cuts[place] : cuts[place + 1]] for place in range(count)}


def search(
    groups: Mapping[str, Sequence[str]],
    work: Mapping[str, float],
    *,
    measure: Callable[[list[str]], ParityReport],
    passes: Callable[[ParityReport], bool],
    budget_s: float,
    progress: Callable[[str], None] = lambda stage: None,
    clock: Callable[[], float] = time.monotonic,
) -> SearchTrace:
    """The mixture that passes with the least work in float; its trace says whether there is one.

    Args:
        groups: products by group.
        work: multiplications by product.
        measure: quantises these products and compares the network with its reference.
        passes: the gate.
        budget_s: after so many seconds no further trial begins, but one with everything quantised always does.
        progress: told of each trial.
        clock: seconds.
    """
    begun = clock()
    total = sum(work.values())
    trace = SearchTrace(work={name: sum(work[one] for one in group) / total for name, group in groups.items()})

    def in_time() -> bool:
        return clock() - begun < budget_s

    def tried(in_float: list[str]) -> bool:
        progress(f"int8 with {', '.join(in_float) or 'nothing'} in float")
        parity = measure([one for name, group in groups.items() if name not in in_float for one in group])
        trace.trials.append(
            Trial(
                in_float=in_float,
                cosine_min=parity.cosine_min,
                cosine_p01=parity.cosine_p01,
                cosine_median=parity.cosine_median,
                passed=passes(parity),
                seconds=round(clock() - begun, 3),
            )
        )
        return trace.trials[-1].passed

    def ended(outcome: Outcome, in_float: list[str]) -> SearchTrace:
        trace.outcome, trace.in_float, trace.seconds = outcome, in_float, round(clock() - begun, 3)
        return trace

    if tried([]):
        return ended("all in int8", [])
    for name, group in groups.items():
        if not in_time():
            return ended("out of time", [])
        progress(f"the damage of int8 in {name}")
        median = measure(list(group)).cosine_median
        trace.damage[name] = 1.0 if median is None else 1 - median
    worst = sorted(groups, key=lambda name: trace.damage[name] / max(trace.work[name], 1e-6), reverse=True)
    # The fewest of them that pass: more in float is taken to be nearer to the reference.
    fails, works = 0, len(worst)
    while works - fails > 1:
        if not in_time():
            break
        count = (fails + works) // 2
        fails, works = (fails, count) if tried(worst[:count]) else (count, works)
    if works == len(worst):  # all in float is no int8, whatever it passes
        return ended("none found" if in_time() else "out of time", [])
    kept = worst[:works]
    for name in sorted(kept, key=lambda name: trace.work[name], reverse=True):
        fewer = [one for one in kept if one != name]
        known = any(set(trial.in_float) == set(fewer) for trial in trace.trials)
        if fewer and not known and in_time() and tried(fewer):
            kept = fewer
    return ended("some in float", kept)
