"""A tracking job as a user names it, by files, and what these hold, open."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reidkit.runtime.detectors import Detections, Detector
from reidkit.runtime.engines import Engine, build_engine, open_artifact
from reidkit.runtime.errors import ArtifactUntrusted, EngineNotBuilt, InvalidConfig, InvalidInput
from reidkit.runtime.files import refuse_overwriting
from reidkit.runtime.pipeline.results import RESULTS, VIDEO_FILE
from reidkit.runtime.tracking import BotSortConfig
from reidkit.runtime.video.frame_rate import frame_rate_of
from reidkit.runtime.video.mot_files import read_detections
from reidkit.runtime.video.sources import Frame, Source, local_path, open_source

NO_REID = "none"


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


@dataclass(frozen=True, slots=True)
class Footage:
    """What a job looks at, open.

    Attributes:
        job: which names it.
        source: the frames.
        frame_rate: frames per second, and where that is known from (`frame_rate_source`).
        given: the detections file's, by frame; none where a detector is to find them.
        detect: a frame's detections.
    """

    job: TrackingJob
    source: Source
    frame_rate: float
    frame_rate_source: str
    given: Mapping[int, Detections]
    detect: Callable[[Frame], Detections]

    def warnings(self, last_frame: int, *, interrupted: bool) -> list[str]:
        """What the user should know of it once frame `last_frame` was the last to be tracked."""
        if self.source.warning is not None:
            return [self.source.warning]
        unread = sum(frame > last_frame for frame in self.given)
        if not unread or interrupted or self.job.max_frames is not None:
            return []
        return [f"{self.job.detections} has detections in {unread} frames after the last, {last_frame}"]


@contextmanager
def open_footage(
    job: TrackingJob, detector: Detector | None, *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Footage]:
    """A job's frames and detections for the duration of a `with` block; `detector` is there where the job names one.

    `should_stop` is asked while the input does not open.

    Raises:
        InvalidInput: nothing, or more than one thing, tells where people are.
        InvalidFile: a file cannot be read.
        Interrupted: `should_stop` said so.
    """
    if (job.detections is None) == (detector is None):
        raise InvalidInput(f"{job.input} needs either detections or a detector")
    given = read_detections(job.detections) if job.detections is not None else {}

    def detect(frame: Frame) -> Detections:
        return detector.detect(frame.image) if detector is not None else given.get(frame.index, Detections.none())

    with closing(open_source(job.input, should_stop=should_stop)) as source:
        frame_rate, origin = frame_rate_of(source, job.input, fps=job.fps, detections=job.detections)
        yield Footage(job, source, frame_rate, origin, given, detect)


def refuse_own_inputs(job: TrackingJob, config: BotSortConfig, folder: Path) -> None:
    """Refuse to write into `folder` where that would harm what the job reads. Raises `InvalidInput`.

    Args:
        job: what is read.
        config: its tracker's settings.
        folder: for results.
    """
    read = local_path(job.input.removeprefix("file://"))
    named = (read, job.detections, job.detector, job.attributes, job.tracker, config.camera_motion_file)
    refuse_overwriting([folder / name for name in RESULTS], [Path(each) for each in named if each is not None])
    holds_video = read is not None and read.is_file() and Path(job.input).is_dir()
    if job.draw and holds_video and folder.exists() and folder.samefile(job.input):
        raise InvalidInput(
            f"{VIDEO_FILE} would be the second video of {job.input}, a sequence that holds one in place of images",
            remedy="choose another --output",
        )


def appearance_of(job: TrackingJob, config: BotSortConfig) -> tuple[Engine | None, BotSortConfig, list[str]]:
    """The engine that the job and its settings agree on, the settings to use with it, and what to tell about it."""
    if job.reid == NO_REID:
        return None, dataclasses.replace(config, with_reid=False, auto=()), []
    if not config.with_reid:
        given = {
            job.reid: job.reid is not None,
            f"--device {job.device}": job.device != "auto",
            "--build": job.build,
            "--trust": job.trusted,
        }
        unused = ", ".join(str(each) for each, is_given in given.items() if is_given)
        return None, config, [f"{job.tracker} says with_reid: false: not used: {unused}"] if unused else []
    folder = job.reid or config.reid_model
    if folder is None:
        raise InvalidConfig(
            f"{job.tracker} tracks by appearance, but no artifact is named", remedy="give --reid DIR or --reid none"
        )
    engine, told = _open(folder, job)
    try:
        return engine, config.resolved(engine.manifest), told
    except InvalidConfig:
        engine.close()
        raise


def _open(folder: str, job: TrackingJob) -> tuple[Engine, list[str]]:
    """The artifact's engine, built before where that is asked for and necessary, and what to tell about it."""
    try:
        return open_artifact(folder, device=job.device, threads=job.threads, trusted=job.trusted), []
    except (EngineNotBuilt, ArtifactUntrusted):
        if not job.build:
            raise
    because = build_engine(folder, device=job.device)
    told = [f"the engine of {folder} was built anew: {because}"] if because else []
    return open_artifact(folder, device=job.device, threads=job.threads), told


def engine_facts(engine: Engine) -> dict[str, Any]:
    """What a summary says of the engine."""
    manifest = engine.manifest
    return {
        "artifact": manifest.name,
        "engine": manifest.engine,
        "precision": manifest.precision.built,
        "device": engine.device,
        **engine.execution,
    }
