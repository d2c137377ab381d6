"""A tracking job as a user names it, by files; run, and summed up."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reidkit.runtime.artifact import Manifest
from reidkit.runtime.attributes import TrackAttributes, open_attributes
from reidkit.runtime.detectors import Detections, open_detector
from reidkit.runtime.engines import Engine, build_engine, open_artifact
from reidkit.runtime.errors import ArtifactUntrusted, EngineNotBuilt, InvalidConfig, InvalidFile, InvalidInput
from reidkit.runtime.pipeline.recording import TRACKS_FILE, VIDEO_FILE, Recording, track_video
from reidkit.runtime.pipeline.session import TrackingSession
from reidkit.runtime.tracking import BotSort, BotSortConfig
from reidkit.runtime.video.mot_files import read_detections
from reidkit.runtime.video.publication import whole_file
from reidkit.runtime.video.sequence_info import find_sequence_info
from reidkit.runtime.video.sources import Frame, Source, open_source

SUMMARY_FILE = "summary.json"
ATTRIBUTES_FILE = "attributes.json"
NO_REID = "none"
_DEFAULT_RATE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingJob:
    """What to track and how.

    Attributes:
        input: video file, URL, folder of images or sequence folder.
        output: folder for the results; made if need be.
        detections: MOTChallenge detections; either these or a `detector`.
        detector: network file of a detector.
        reid: artifact folder, ``"none"``, or None for the model that the tracker's settings name.
        tracker: settings file or packaged preset.
        draw: also write the annotated video.
        fps: frames per second; None to find out.
        threads: threads for inference; None leaves it to the libraries.
        device: what the artifact is to run on, as its engine calls it.
        build: have the artifact's engine built where it has none that fits this box.
        trusted: run native code in the artifact even if it was built elsewhere.
        max_frames: stop after so many; None for all.
        attributes: a model of attributes (see `reidkit.runtime.attributes`); None: none are estimated.
        by_confidence: weight each of its looks by its confidence and the detection's score.
        min_detection_score: detections below it are not looked at.
    """

    input: str
    output: Path
    detections: Path | None = None
    detector: Path | None = None
    reid: str | None = None
    tracker: str = "botsort.yaml"
    draw: bool = False
    fps: float | None = None
    threads: int | None = None
    device: str = "auto"
    build: bool = False
    trusted: bool = False
    max_frames: int | None = None
    attributes: Path | None = None
    by_confidence: bool = False
    min_detection_score: float = 0.0


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
        crops_saved: boxes that might have been embedded too and were not worth it.
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
    on_frame: Callable[[Recording], None] = lambda recording: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Summary:
    """Do the job and write its files. They appear when it has ended; after an error there are none.

    Args:
        job: what to do.
        on_frame: called after every frame with the state of things.
        should_stop: asked after every frame; if so, what there is by then is written.

    Raises:
        ReidkitError: a file, setting or library that the job names is missing or unfit; or an engine failed.
    """
    if (job.detections is None) == (job.detector is None):
        raise InvalidInput("a tracking job has either detections or a detector")
    with ExitStack() as stack:
        given = read_detections(job.detections) if job.detections is not None else {}
        source = stack.enter_context(closing(open_source(job.input)))
        frame_rate, rate_source = frame_rate_of(job, source)
        config = BotSortConfig.load(job.tracker, frame_rate=frame_rate)
        engine, config, warnings = appearance_of(job, config)
        if engine is not None:
            stack.enter_context(engine)
        detector = None
        if job.detector is not None:
            detector = stack.enter_context(closing(open_detector(job.detector, threads=job.threads)))

        def detect(frame: Frame) -> Detections:
            if detector is not None:
                return detector.detect(frame.image)
            return given.get(frame.index, Detections.none())

        attributes = None
        if job.attributes is not None:
            attributes = TrackAttributes(
                open_attributes(job.attributes, threads=job.threads),
                by_confidence=job.by_confidence,
                min_score=job.min_detection_score,
            )
        tracker = BotSort(config)
        session = TrackingSession(tracker, detect, engine=engine, attributes=attributes)
        make_folder(job.output)
        recording = track_video(
            source,
            session,
            job.output,
            frame_rate=frame_rate,
            draw=job.draw,
            max_frames=job.max_frames,
            on_frame=on_frame,
            should_stop=should_stop,
        )
        unread = sum(frame > recording.last_frame for frame in given)
        if source.warning is not None:
            warnings.append(source.warning)
        elif unread and job.max_frames is None and not recording.interrupted:
            warnings.append(
                f"{job.detections} has detections in {unread} frames after the last, {recording.last_frame}"
            )
        summary = Summary(
            frames=recording.frames,
            fps=round(recording.frames / recording.seconds, 3),
            stage_ms={stage: round(total / recording.frames, 4) for stage, total in session.total_ms.items()},
            appearance=dataclasses.asdict(tracker.appearance),
            people=len(recording.ids),
            boxes=recording.boxes,
            crops=session.crops,
            crops_saved=tracker.appearance.spared,
            frame_rate=frame_rate,
            frame_rate_source=rate_source,
            size=recording.size,
            input=job.input,
            detections=None if job.detections is None else str(job.detections),
            detector=None if detector is None else {"file": str(job.detector), "library": detector.library},
            reid=None if engine is None else engine_facts(engine),
            tracker=job.tracker,
            files=[
                TRACKS_FILE,
                *([VIDEO_FILE] if job.draw else []),
                *([ATTRIBUTES_FILE] if attributes else []),
                SUMMARY_FILE,
            ],
            warnings=warnings,
            interrupted=recording.interrupted,
        )
    if attributes is not None:
        known = {track: {name: each.to_dict() for name, each in of.items()} for track, of in attributes.all().items()}
        with whole_file(job.output / ATTRIBUTES_FILE) as temporary:
            temporary.write_text(json.dumps(known, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    with whole_file(job.output / SUMMARY_FILE) as temporary:
        temporary.write_text(json.dumps(summary.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return summary


def frame_rate_of(job: TrackingJob, source: Source) -> tuple[float, str]:
    """Frames per second of the input, and who says so."""
    if job.fps is not None:
        return job.fps, "--fps"
    if (info := find_sequence_info(Path(job.input), job.detections)) is not None:
        return info.frame_rate, os.path.relpath(info.path)
    if source.frame_rate is not None:
        return source.frame_rate, "input"
    return _DEFAULT_RATE, "default"


def appearance_of(job: TrackingJob, config: BotSortConfig) -> tuple[Engine | None, BotSortConfig, list[str]]:
    """The engine that the job and its settings agree on, the settings to use with it, and what to tell about it."""
    if job.reid == NO_REID:
        return None, dataclasses.replace(config, with_reid=False, auto=()), []
    if not config.with_reid:
        unused = [] if job.reid is None else [f"{job.tracker} says with_reid: false, so {job.reid} is not used"]
        return None, config, unused
    folder = job.reid or config.reid_model
    if folder is None:
        raise InvalidConfig(
            f"{job.tracker} tracks by appearance, but no artifact is named", remedy="give --reid DIR or --reid none"
        )
    engine = _open(folder, job)
    try:
        return engine, for_artifact(config, engine.manifest, job), []
    except InvalidConfig:
        engine.close()
        raise


def for_artifact(config: BotSortConfig, manifest: Manifest, job: TrackingJob) -> BotSortConfig:
    """The settings as they are with this artifact. Raises `InvalidConfig` where they do not fit it."""
    if config.embedding_dim not in (None, manifest.embedding.dim):
        raise InvalidConfig(
            f"{job.tracker} says embedding_dim: {config.embedding_dim}, {manifest.name} gives {manifest.embedding.dim}",
            remedy="correct one or name another artifact",
        )
    return config.resolved(manifest)


def _open(folder: str, job: TrackingJob) -> Engine:
    try:
        return open_artifact(folder, device=job.device, threads=job.threads, trusted=job.trusted)
    except (EngineNotBuilt, ArtifactUntrusted):
        if not job.build:
            raise
    build_engine(folder)
    return open_artifact(folder, device=job.device, threads=job.threads)


def engine_facts(engine: Engine) -> dict[str, str]:
    """What a summary says of the engine."""
    manifest = engine.manifest
    return {
        "artifact": manifest.name,
        "engine": manifest.engine,
        "precision": manifest.precision.built,
        "device": engine.device,
    }


def make_folder(folder: Path) -> None:
    """Make a folder for results. Raises `InvalidFile`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidFile(f"cannot make the folder {folder} ({error.strerror})", remedy="choose another") from error
