"""Which build of a network to run on this box, and how: by what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reidkit.calibration.benchmark.contest import Measured
from reidkit.runtime.artifact import Manifest
from reidkit.runtime.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An artifact at its best; `frame_ms` is for all crops of a frame, by the medians of its batches."""

    artifact: str
    target: str
    precision: str
    batch: int
    threads: int
    frame_ms: float


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
    """Each artifact at its best, the one to take first: the least time for a frame of so many people."""
    return sorted((_best(each, people) for each in measured), key=lambda choice: choice.frame_ms)


def _best(each: Measured, people: int) -> Choice:
    frame_ms, batch, threads = min(
        (math.ceil(people / figure.batch) * figure.p50_ms, figure.batch, run.threads)
        for run in each.runs
        for figure in run.figures
    )
    return Choice(
        artifact=str(each.artifact),
        target=each.manifest.target,
        precision=each.manifest.precision.built,
        batch=batch,
        threads=threads,
        frame_ms=frame_ms,
    )
