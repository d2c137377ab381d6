"""The third gate: does the tracker still decide as it does with the reference's embeddings?

    frames, detections ─┬─ reference ─ BotSort ─ links ─┐
                        └─ candidate ─ BotSort ─ links ─┴─ which detection goes on from which?

Ids say little: after one swap all that follow differ. A decision is which earlier detection a detection goes on from,
or that it begins a track, or that no track takes it; it is counted as changed where the two trackers disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.gates.embedder import Embedder
from reidkit.calibration.gates.limits import TrackingLimits
from reidkit.calibration.gates.report import GateReport, at_most
from reidkit.calibration.metrics import score_tracking
from reidkit.runtime.detectors import Detections
from reidkit.runtime.errors import InvalidFile, InvalidInput
from reidkit.runtime.pipeline.appearance import in_their_rows, rows_to_embed
from reidkit.runtime.tracking import BotSort, BotSortConfig, Tracks
from reidkit.runtime.video.frame_rate import frame_rate_of, frames_at
from reidkit.runtime.video.mot_files import MotTable, read_detections, read_tracks
from reidkit.runtime.video.sources import Frame, expect_kept, open_source

NAME = "tracking"
PRINCIPAL = "changed_decisions"

Detection = tuple[int, int]
"""A frame's number and a row of its detections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recorded sequence to track in.

    Attributes:
        source: video file, folder of images, or a MOTChallenge sequence.
        detections: MOTChallenge detections.
        truth: MOTChallenge ground truth; None where there is none.
        config: the tracker's settings.
    """

    source: Path
    detections: Path
    truth: Path | None
    config: BotSortConfig

    @staticmethod
    def find(
        source: Path, *, detections: Path | None = None, truth: Path | None = None, tracker: str = "botsort.yaml"
    ) -> Recording:
        """The recording at `source`; what is not named is looked for where MOTChallenge puts it.

        Raises:
            InvalidInput: no detections, pictures that come only once, or the tracker's settings leave appearance out.
            InvalidFile: there is no such source, it cannot be read, or as `BotSortConfig.load`.
            InvalidConfig: likewise.
        """
        if not source.exists():
            raise InvalidFile(f"there is no video or sequence {source}")
        expect_kept(source, purpose="comparing two networks")
        boxes = detections or source / "det" / "det.txt"
        if not boxes.is_file():
            raise InvalidInput(f"nothing tells where people are in {source}", remedy="name a det.txt by --detections")
        beside = boxes.parent.parent / "gt" / "gt.txt"
        with closing(open_source(source)) as frames:
            frame_rate, _ = frame_rate_of(frames, source, detections=boxes)
        config = BotSortConfig.load(tracker, frame_rate=frame_rate)
        if not config.with_reid:
            raise InvalidInput(f"{tracker} tracks without appearance: no embedding changes anything")
        return Recording(
            source=source,
            detections=boxes,
            truth=truth or (beside if beside.is_file() else None),
            config=config,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What a tracker made of a recording.

    Attributes:
        tracks: all boxes.
        goes_on_from: of each tracked detection the one before it in its track, None where a track begins.
    """

    tracks: MotTable
    goes_on_from: dict[Detection, Detection | None]


def replay(
    recording: Recording, embedders: Sequence[Embedder], *, on_frame: Callable[[int], None] = lambda index: None
) -> list[Replay]:
    """Track a recording once with each embedder, all on the same frames.

    Raises:
        NonFiniteEmbedding: an answer is NaN or infinite.
        InvalidFile: the recording cannot be read.
        InvalidInput: there is nobody in it.
    """
    seen = read_detections(recording.detections)
    runs = [_Run(BotSort(recording.config), embedder) for embedder in embedders]
    with closing(open_source(recording.source)) as source:
        for frame in frames_at(source, recording.config.frame_rate):
            for run in runs:
                run.step(frame, seen.get(frame.index, Detections.none()))
            on_frame(frame.index)
    if not all(run.goes_on_from for run in runs):
        raise InvalidInput(f"nobody is tracked in {recording.source}", remedy="name a sequence that shows people")
    return [run.finished() for run in runs]


def tracking_gate(
    candidate: Replay, reference: Replay, limits: TrackingLimits, *, truth: MotTable | None, by: str
) -> GateReport:
    """The verdict on what `candidate` decided otherwise, and on what that did to the scores where there is a truth."""
    either = candidate.goes_on_from.keys() | reference.goes_on_from.keys()
    changed = sum(_decision(candidate, each) != _decision(reference, each) for each in either)
    held = [(PRINCIPAL, 100 * changed / len(either), limits.changed_decisions)]
    figures: dict[str, Any] = {"decisions": len(either), "changed": changed, "reference": {"by": by}}
    note = f"{changed} of {len(either)} decisions differ from those with {by}"
    if truth is not None:
        own, theirs = (_scores(truth, each.tracks) for each in (candidate, reference))
        held += [
            ("idf1_drop", theirs["IDF1"] - own["IDF1"], limits.idf1_drop),
            ("hota_drop", theirs["HOTA"] - own["HOTA"], limits.hota_drop),
        ]
        figures |= own
        figures["reference"] |= theirs
        pairs = (f"{score} {own[score]:.4g} ({theirs[score]:.4g})" for score in own)
        note += f"; {', '.join(pairs)}"
    return at_most(NAME, held, note=note, figures=figures)


def scores_of(recording: Recording, run: Replay) -> dict[str, float]:
    """IDF1, HOTA and identity switches by the recording's ground truth; nothing where it has none."""
    return {} if recording.truth is None else _scores(read_tracks(recording.truth), run.tracks)


class _Run:
    """One tracker with one embedder, on its way through the recording."""

    def __init__(self, tracker: BotSort, embedder: Embedder) -> None:
        self._tracker, self._embedder = tracker, embedder
        self._latest: dict[int, Detection] = {}
        self._tracked: list[tuple[int, Tracks]] = []
        self.goes_on_from: dict[Detection, Detection | None] = {}

    def step(self, frame: Frame, seen: Detections) -> None:
        """Track one frame further."""
        embeddings, embedded = self._embed(frame, seen)
        tracks = self._tracker.update(
            seen.boxes_xyxy,
            seen.scores,
            classes=seen.classes,
            embeddings=embeddings,
            embedded=embedded,
            frame=frame.image,
            timestamp_s=frame.timestamp_s,
        )
        for identity, row in zip(tracks.ids.tolist(), tracks.detection_index.tolist(), strict=True):
            self.goes_on_from[frame.index, row] = self._latest.get(identity)
            self._latest[identity] = frame.index, row
        self._tracked.append((frame.index, tracks))

    def finished(self) -> Replay:
        """All that was tracked."""
        return Replay(MotTable.of(self._tracked), self.goes_on_from)

    def _embed(self, frame: Frame, seen: Detections) -> tuple[NDArray[np.float32] | None, NDArray[np.bool_]]:
        """Embeddings (N, D) of the detections worth it, None where there are none, and which rows (N,) those are."""
        rows = rows_to_embed(self._tracker, frame, seen)
        if not len(rows):
            return None, np.zeros(len(seen), np.bool_)
        found = self._embedder.embed(self._embedder.cut(frame.image, seen.boxes_xyxy[rows]))
        return in_their_rows(found, rows, of=len(seen))


def _decision(run: Replay, detection: Detection) -> Detection | str | None:
    return run.goes_on_from.get(detection, "left out")


def _scores(truth: MotTable, tracks: MotTable) -> dict[str, float]:
    scores = score_tracking(truth, tracks)
    percentages = scores.percentages()
    return {"IDF1": percentages["IDF1"], "HOTA": percentages["HOTA"], "IDSW": scores.counts()["IDSW"]}
