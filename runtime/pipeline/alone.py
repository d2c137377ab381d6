"""A tracking job run, and summed up: one recording by itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reidkit.runtime.attributes import TrackAttributes, open_attributes
from reidkit.runtime.detectors import open_detector
from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.files import whole_file
from reidkit.runtime.pipeline.job import TrackingJob, appearance_of, engine_facts, open_footage, refuse_own_inputs
from reidkit.runtime.pipeline.recording import Progress, track_video
from reidkit.runtime.pipeline.results import ATTRIBUTES_FILE, SUMMARY_FILE, TRACKS_FILE, VIDEO_FILE, results
from reidkit.runtime.pipeline.session import TrackingSession
from reidkit.runtime.tracking import BotSort, BotSortConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a job went; `summary.json` holds the same.

    Attributes:
        frames: frames tracked.
        fps: frames tracked per second of wall time.
        stage_ms: mean milliseconds per frame, by stage. Decoding goes on beside the rest.
        appearance: how many matches appearance decided, changed and vetoed.
        people: distinct ids.
        boxes: lines of `tracks.txt`.
        crops: boxes that were embedded.
        crops_saved: boxes that would have been embedded too, were it not for the settings `economy_…`.
        frame_rate: frames per second of the input, and where that is known from (`frame_rate_source`).
        size: width and height in pixels.
        detector: network file and library that ran it, None with a detections file.
        reid: artifact, its precision and the device that it ran on, None without appearance.
        files: what was written.
        warnings: what the user should know.
        interrupted: whether it was stopped before the end.
    """

    frames: int
    fps: float
    stage_ms: dict[str, float]
    appearance: dict[str, int]
    people: int
    boxes: int
    crops: int
    crops_saved: int
    frame_rate: float
    frame_rate_source: str
    size: tuple[int, int]
    input: str
    detections: str | None
    detector: dict[str, str] | None
    reid: dict[str, str] | None
    tracker: str
    files: list[str]
    warnings: list[str]
    interrupted: bool

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON knows it."""
        return dataclasses.asdict(self)


def run(
    job: TrackingJob,
    *,
    on_frame: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Summary:
    """Do the job and write its files. They appear together when it has ended, in place of an earlier run's.

    After an error none of them is new.

    Args:
        job: what to do.
        on_frame: called after every frame with the state of things.
        should_stop: asked after every frame, and while none comes; if so, what there is by then is written.

    Raises:
        Interrupted: `should_stop` said so before there was a frame.
        ReidkitError: a file, setting or library that the job names is missing or unfit; or an engine failed.
    """
    if (job.detections is None) == (job.detector is None):
        raise InvalidInput("a tracking job has either detections or a detector")
    with ExitStack() as stack:
        detector = None
        if job.detector is not None:
            detector = stack.enter_context(closing(open_detector(job.detector, threads=job.threads)))
        footage = stack.enter_context(open_footage(job, detector, should_stop=should_stop))
        config = BotSortConfig.load(job.tracker, frame_rate=footage.frame_rate)
        refuse_own_inputs(job, config, job.output)
        engine, config, warnings = appearance_of(job, config)
        if engine is not None:
            stack.enter_context(engine)
        attributes = _attributes(job)
        tracker = BotSort(config)
        session = TrackingSession(tracker, footage.detect, engine=engine, attributes=attributes)
        optional = {VIDEO_FILE: job.draw, ATTRIBUTES_FILE: attributes is not None}
        files = [TRACKS_FILE, *(name for name, wanted in optional.items() if wanted), SUMMARY_FILE]
        output = stack.enter_context(results(job.output, files))
        progress = track_video(
            footage.source,
            session,
            output,
            frame_rate=footage.frame_rate,
            draw=job.draw,
            max_frames=job.max_frames,
            on_frame=on_frame,
            should_stop=should_stop,
        )
        summary = Summary(
            frames=progress.frames,
            fps=round(progress.frames / progress.seconds, 3),
            stage_ms={stage: round(total / progress.frames, 4) for stage, total in session.total_ms.items()},
            appearance=dataclasses.asdict(tracker.appearance),
            people=len(progress.ids),
            boxes=progress.boxes,
            crops=session.crops,
            crops_saved=session.crops_saved,
            frame_rate=footage.frame_rate,
            frame_rate_source=footage.frame_rate_source,
            size=progress.size,
            input=job.input,
            detections=None if job.detections is None else str(job.detections),
            detector=None if detector is None else {"file": str(job.detector), "library": detector.library},
            reid=None if engine is None else engine_facts(engine),
            tracker=job.tracker,
            files=files,
            warnings=[*warnings, *footage.warnings(progress.last_frame, interrupted=progress.interrupted)],
            interrupted=progress.interrupted,
        )
        if attributes is not None:
            write_json(_known(attributes), output / ATTRIBUTES_FILE)
        write_json(summary.to_dict(), output / SUMMARY_FILE)
    return summary


def write_json(content: dict[Any, Any], path: Path) -> None:
    """Write a result of which people and programs read."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _attributes(job: TrackingJob) -> TrackAttributes | None:
    """What looks at the tracks' attributes, None where the job names no model of them."""
    if job.attributes is None:
        return None
    return TrackAttributes(
        open_attributes(job.attributes, threads=job.threads),
        by_confidence=job.by_confidence,
        min_score=job.min_detection_score,
    )


def _known(attributes: TrackAttributes) -> dict[int, dict[str, Any]]:
    """What is known of every track, as JSON has it."""
    return {track: {name: each.to_dict() for name, each in of.items()} for track, of in attributes.all().items()}
