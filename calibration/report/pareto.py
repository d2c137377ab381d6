"""Which artifacts are worth having: time for a frame against how well people are found again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reidkit.calibration.gates.worth import PEOPLE
from reidkit.runtime.artifact import read_artifact
from reidkit.runtime.latencies import read_latencies


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One artifact: milliseconds for a frame of eight people on this box, and mAP in percent."""

    name: str
    frame_ms: float
    mean_average_precision: float


def points_of(artifacts: Sequence[Path], *, gallery: str | None) -> tuple[list[Point], list[str]]:
    """The artifacts that can be placed, and why each of the others cannot.

    Args:
        artifacts: folders of artifacts that were judged on a gallery and measured by `reidkit bench`.
        gallery: digest of the gallery that all have to be judged on.

    Raises:
        ArtifactInvalid: one is no artifact.
    """
    placed, missing = [], []
    for path in artifacts:
        manifest, _ = read_artifact(path)
        figures = manifest.gates.get("retrieval", {}).get("figures", {})
        frame_ms = recorded_frame_ms(manifest.name)
        if gallery is None or figures.get("gallery") != gallery:
            missing.append(f"{manifest.name} was not exported with this gallery as --gate")
        elif frame_ms is None:
            missing.append(f"{manifest.name} was not measured here by reidkit bench")
        else:
            placed.append(Point(name=manifest.name, frame_ms=frame_ms, mean_average_precision=figures["map"]))
    return placed, missing


def recorded_frame_ms(artifact: str) -> float | None:
    """The least time for a frame of eight people that this box has on record for an artifact of that name."""
    records = [record for record in read_latencies() if record.artifact == artifact]
    return min((math.ceil(PEOPLE / record.batch) * record.latency_ms for record in records), default=None)


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in both, the quickest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda each: (each.frame_ms, -each.mean_average_precision)):
        if not best or point.mean_average_precision > best[-1].mean_average_precision:
            best.append(point)
    return best
