"""A sequence decoded, embedded and its camera's motion measured once, to be tracked many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.metrics import Benchmark, score_tracking
from reidkit.runtime.detectors import Detections
from reidkit.runtime.engines import Engine, have_pixels
from reidkit.runtime.errors import InvalidFile, InvalidInput
from reidkit.runtime.pipeline.appearance import in_their_rows
from reidkit.runtime.tracking import BotSort, BotSortConfig
from reidkit.runtime.tracking.camera_motion import Affine, camera_motion_of
from reidkit.runtime.tracking.schemas import IN_SECONDS
from reidkit.runtime.video.frame_rate import frame_rate_of, frames_at
from reidkit.runtime.video.mot_files import MotTable, read_detections, read_tracks
from reidkit.runtime.video.sources import open_source, read_ahead


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """A frame, as a tracker is told of it.

    Attributes:
        index: its number, from 1.
        timestamp_s: when it was taken.
        seen: its detections.
        embeddings: (N, D) float32, rows that are not `embedded` are zero; None without appearance.
        embedded: (N,) bool.
        motion: of the camera since the frame before; None where it is not measured.
    """

    index: int
    timestamp_s: float
    seen: Detections
    embeddings: NDArray[np.float32] | None
    embedded: NDArray[np.bool_]
    motion: Affine | None


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """A recorded piece of a sequence with its ground truth.

    Attributes:
        name: of the sequence, and of the piece where there are several.
        truth: of these frames.
        benchmark: whose rules say which boxes count.
        size: height and width of a frame.
        frame_rate: frames per second, by which seconds of the settings are frames here.
    """

    name: str
    truth: MotTable
    benchmark: Benchmark
    size: tuple[int, int]
    frame_rate: float
    _moments: tuple[_Moment, ...]

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self._moments)

    def split(self, parts: int) -> list[Take]:
        """Pieces of about equal length, one after the other, without those in which nobody is labelled."""
        bounds = [len(self._moments) * part // parts for part in range(parts + 1)]
        pieces = []
        for number, (start, end) in enumerate(pairwise(bounds), 1):
            moments = self._moments[start:end]
            indices = np.array([moment.index for moment in moments])
            truth = self.truth.pick(np.isin(self.truth.frames, indices))
            if len(truth):
                name = f"{self.name} {number}/{parts}"
                pieces.append(replace(self, name=name, truth=truth, _moments=moments))
        return pieces

    def scores(self, config: BotSortConfig) -> dict[str, float]:
        """HOTA, IDF1, MOTA and the others in percent, of a fresh tracker with these settings at this frame rate."""
        tracker = BotSort(_lasting_as_long(config, self.frame_rate))
        frame = np.broadcast_to(np.uint8(0), self.size)  # only its size is looked at; the motion is known
        tracked = []
        for moment in self._moments:
            tracks = tracker.update(
                moment.seen.boxes_xyxy,
                moment.seen.scores,
                classes=moment.seen.classes,
                embeddings=moment.embeddings,
                embedded=moment.embedded,
                frame=frame,
                camera_motion=moment.motion,
                timestamp_s=moment.timestamp_s,
            )
            tracked.append((moment.index, tracks))
        return score_tracking(self.truth, MotTable.of(tracked), benchmark=self.benchmark).percentages()


def record(
    source: Path,
    *,
    detections: Path | None,
    truth: Path | None,
    engine: Engine | None,
    config: BotSortConfig,
    fps: float | None = None,
    on_frame: Callable[[int], None] = lambda index: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Take:
    """A sequence, ready to be tracked with any settings that keep the method of camera motion.

    Args:
        source: video, folder of images or MOTChallenge sequence.
        detections: in MOTChallenge's layout; None: the sequence's own ``det/det.txt``.
        truth: likewise; None: its ``gt/gt.txt``.
        engine: embeds every detection; None to track without appearance.
        config: names the method of camera motion.
        fps: frames per second; None: what `seqinfo.ini` says, else the source.
        on_frame: told of each frame.
        should_stop: asked at each frame, and while none comes; what was recorded so far is returned.

    Raises:
        InvalidInput: a file of boxes is not named and not found.
        InvalidFile: a file cannot be read, or labels nobody.
        Interrupted: `should_stop` said so before the sequence was open.
    """
    seen = read_detections(_named(detections, source, "det/det.txt", "--detections"))
    gt = _named(truth, source, "gt/gt.txt", "--gt")
    labelled = read_tracks(gt)
    if not len(labelled):
        raise InvalidFile(f"{gt} labels nobody", remedy="name the sequence's gt.txt")
    camera = camera_motion_of(config)
    moments: list[_Moment] = []
    size = (0, 0)
    with ExitStack() as stack:
        pictures = stack.enter_context(closing(open_source(source, should_stop=should_stop)))
        frame_rate, _ = frame_rate_of(pictures, source, fps=fps, detections=detections)
        ahead = read_ahead(frames_at(pictures, frame_rate), should_stop=should_stop)
        for frame, _ in stack.enter_context(closing(ahead)):
            if should_stop():
                break
            found = seen.get(frame.index, Detections.none())
            size = frame.image.shape[:2]
            embeddings, embedded = None, have_pixels(found.boxes_xyxy, height=size[0], width=size[1])
            if engine is not None:
                rows = np.flatnonzero(embedded)
                vectors = engine.embed_crops(frame.image, found.boxes_xyxy[rows])
                embeddings, embedded = in_their_rows(vectors, rows, of=len(found))
            motion = None if camera is None else camera.estimate(frame.image, found.boxes_xyxy)
            moments.append(_Moment(frame.index, frame.timestamp_s, found, embeddings, embedded, motion))
            on_frame(frame.index)
    return Take(source.stem, labelled, Benchmark.of(labelled), size, frame_rate, tuple(moments))


def pieces_of(takes: Sequence[Take], parts: int) -> list[Take]:
    """What cross-validation holds out one of: the takes, or pieces of them where they are fewer than `parts`."""
    if len(takes) >= parts:
        return list(takes)
    each = -(-parts // len(takes))
    return [piece for take in takes for piece in take.split(each)]


def _lasting_as_long(config: BotSortConfig, frame_rate: float) -> BotSortConfig:
    """The settings for another frame rate: what they count in frames takes as many seconds there."""
    frames = {name: round(getattr(config, name) * frame_rate / config.frame_rate) for name in IN_SECONDS.values()}
    return replace(config, frame_rate=frame_rate, **frames)


def _named(file: Path | None, source: Path, usual: str, option: str) -> Path:
    found = file or source / usual
    if not found.is_file():
        raise InvalidInput(f"{found} is not there", remedy=f"name the file by {option}")
    return found
