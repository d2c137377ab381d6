"""Which build of a network to run on this box, and how: by what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reidkit.calibration.benchmark.contest import Measured
from reidkit.runtime.artifact import Manifest
from reidkit.runtime.errors import InvalidInput

_TO_SPEAK_OF = 0.9
"""Medians of one artifact differ by a few percent from one measurement to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smaller:
    """A size of batch with which an artifact would take less time for a frame, were it exported for no larger one."""

    batch: int
    threads: int
    frame_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An artifact at its best, as it is.

    Attributes:
        batch: crops of a frame that it is given at once.
        frame_ms: for all crops of a frame, the median.
        smaller: what it would gain by; None where that is nothing to speak of.
    """

    artifact: str
    target: str
    precision: str
    batch: int
    threads: int
    frame_ms: float
    smaller: Smaller | None


def expect_one_network(manifests: Sequence[Manifest]) -> None:
    """Hold artifacts to be builds of one network with the same weights.

    Otherwise the fastest is the smallest, and whether it is good enough is not to be seen from its speed.

    Raises:
        InvalidInput: they are of several.
    """
    networks = {(manifest.backbone.name, manifest.backbone.weights.sha256) for manifest in manifests}
    if len(networks) > 1:
        raise InvalidInput(
            f"--auto chooses among builds of one network with the same weights, these are of {len(networks)}: "
            f"{', '.join(manifest.name for manifest in manifests)}",
            remedy="name the builds of one, or leave --auto out",
        )


def choose(measured: Sequence[Measured], *, people: int) -> list[Choice]:
    """Each artifact at its best, the one to take first: the least time for a frame of so many people.

    That frame must have been measured as a whole, since that is how a run embeds it.
    """
    return sorted((_best(each, people) for each in measured), key=lambda choice: choice.frame_ms)


def _best(each: Measured, people: int) -> Choice:
    batch = min(people, each.manifest.batch.max)
    frame_ms, threads = min(
        (figure.p50_ms, run.threads) for run in each.runs for figure in run.figures if figure.batch == people
    )
    smaller = min(
        (
            Smaller(batch=figure.batch, threads=run.threads, frame_ms=math.ceil(people / figure.batch) * figure.p50_ms)
            for run in each.runs
            for figure in run.figures
            if figure.batch < batch
        ),
        key=lambda cut: cut.frame_ms,
        default=None,
    )
    return Choice(
        artifact=str(each.artifact),
        target=each.manifest.target,
        precision=each.manifest.precision.built,
        batch=batch,
        threads=threads,
        frame_ms=frame_ms,
        smaller=smaller if smaller and smaller.frame_ms < _TO_SPEAK_OF * frame_ms else None,
    )
