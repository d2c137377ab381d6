"""`BotSort.update` beside ultralytics' and boxmot's BoT-SORT: one crowd, equal settings, no camera motion.

Each tracker gets the detections in the form it likes best, prepared before the clock starts. IDF1 against the crowd's
true walk is reported beside the times, so that nobody is fast by doing less.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bench.measurement import Clock, Contender, medians
from reidkit.calibration.metrics import score_tracking
from reidkit.runtime.tracking import BotSort, BotSortConfig
from reidkit.runtime.video.mot_files import MotTable

PEOPLE = (10, 50, 100, 300, 1000)
PEERS_PATIENCE = 300  # people; the peers take a second for more
EMBEDDING_DIM = 512
WIDTH, HEIGHT = 1920, 1080
WARM_UP_FRAMES = 10


@dataclass(frozen=True)
class Frame:
    """What a detector and an engine say of a frame, and the people who are in it."""

    people_xyxy: NDArray[np.float64]
    boxes_xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    embeddings: NDArray[np.float32]


@dataclass(frozen=True)
class Peer:
    """A tracker and how to speak to it.

    Attributes:
        new: makes one.
        prepare: brings a frame into the form that `update` takes.
        update: the work to be timed.
        tracks: (T, 5) of what it returned: x1, y1, x2, y2, id.
    """

    new: Callable[[], Any]
    prepare: Callable[[Frame], Any]
    update: Callable[[Any, Any], Any]
    tracks: Callable[[Any], NDArray[np.float64]]


def reidkit(core: str) -> Peer:
    return Peer(
        new=lambda: BotSort(BotSortConfig(core=core)),
        prepare=lambda frame: frame,
        update=lambda tracker, frame: tracker.update(frame.boxes_xyxy, frame.scores, embeddings=frame.embeddings),
        tracks=lambda output: np.column_stack([output.boxes_xyxy, output.ids]),
    )


@dataclass(frozen=True)
class UltralyticsBoxes:
    """As much of ultralytics' own `Boxes` as its trackers read, without the cost of the rest."""

    xywh: NDArray[np.float64]
    conf: NDArray[np.float64]
    cls: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.conf)

    def __getitem__(self, rows: Any) -> UltralyticsBoxes:
        return UltralyticsBoxes(self.xywh[rows], self.conf[rows], self.cls[rows])


def ultralytics() -> Peer:
    from ultralytics.trackers.bot_sort import BOTSORT

    scores = {"track_high_thresh": 0.6, "track_low_thresh": 0.1, "new_track_thresh": 0.7, "track_buffer": 30}
    # Its gates are turned round: the least IoU, and the least 1 - (1 - cosine) / 2.
    gates = {"match_thresh": 0.8, "fuse_score": True, "proximity_thresh": 0.5, "appearance_thresh": 0.75}
    settings = SimpleNamespace(**scores, **gates, with_reid=True, model="auto", gmc_method="none")

    def prepare(frame: Frame) -> tuple[UltralyticsBoxes, NDArray[np.float32]]:
        low, high = frame.boxes_xyxy[:, :2], frame.boxes_xyxy[:, 2:]
        xywh = np.concatenate([(low + high) / 2, high - low], axis=1)
        return UltralyticsBoxes(xywh, frame.scores, np.zeros(len(xywh))), frame.embeddings

    return Peer(
        new=lambda: BOTSORT(settings),
        prepare=prepare,
        update=lambda tracker, prepared: tracker.update(prepared[0], None, prepared[1]),
        tracks=lambda output: np.asarray(output, dtype=float).reshape(len(output), -1)[:, :5],
    )


# Its gates are the largest 1 - IoU and the largest 1 - cosine.
BOXMOT_SETTINGS = {
    "track_high_thresh": 0.6,
    "track_low_thresh": 0.1,
    "new_track_thresh": 0.7,
    "track_buffer": 30,
    "match_thresh": 0.8,
    "fuse_first_associate": True,
    "proximity_thresh": 0.5,
    "appearance_thresh": 0.5,
    "use_cmc": False,
}


def boxmot(*, native: bool) -> Peer:
    """Its tracker in Python, or the one in C++ by the same public call."""
    import torch
    from boxmot.structures import Boxes, Detections
    from boxmot.trackers.box.botsort.native import NativeBotSortTracker
    from boxmot.trackers.box.botsort.tracker import BotSort as BoxmotBotSort

    logging.getLogger("boxmot").setLevel(logging.WARNING)  # else it lists its settings for each new tracker

    def prepare(frame: Frame) -> Detections:
        return Detections(
            geometry=Boxes(torch.from_numpy(frame.boxes_xyxy.astype(np.float32))),
            scores=torch.from_numpy(frame.scores.astype(np.float32)),
            class_ids=torch.zeros(len(frame.scores), dtype=torch.int64),
            sample_id="frame",
            embeddings=torch.from_numpy(frame.embeddings),
        )

    return Peer(
        new=lambda: NativeBotSortTracker(BOXMOT_SETTINGS) if native else BoxmotBotSort(**BOXMOT_SETTINGS),
        prepare=prepare,
        update=lambda tracker, detections: tracker.update(detections),
        tracks=lambda output: np.column_stack([output.geometry.values.numpy(), output.track_ids.numpy()]),
    )


def boxmot_native_missing() -> str | None:
    """Why boxmot's C++ cannot be compiled here, None if it can."""
    from boxmot.native.trackers.botsort import ensure_botsort_cpp_library

    try:
        ensure_botsort_cpp_library()
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        return str(error).splitlines()[0]
    return None


@dataclass(frozen=True)
class Result:
    """By contender: median milliseconds of an update, and IDF1 in percent."""

    people: int
    milliseconds: dict[str, float]
    idf1: dict[str, float]


def compare(*, frames: int, rounds: int) -> Iterator[Result]:
    """One result for each size of the crowd."""
    ours = {"reidkit": reidkit("numpy"), "reidkit, native core": reidkit("native")}
    theirs = {"ultralytics": ultralytics(), "boxmot": boxmot(native=False)}
    if reason := boxmot_native_missing():
        click.echo(f"without boxmot's tracker in C++, which is compiled when it is first used: {reason}", err=True)
    else:
        theirs["boxmot in C++"] = boxmot(native=True)
    for people in PEOPLE:
        peers = ours | theirs if people <= PEERS_PATIENCE else ours
        scene = crowd(people, frames=frames, seed=people)
        outputs: dict[str, list[NDArray[np.float64]]] = {name: [] for name in peers}
        contenders = {name: _contender(peer, scene, outputs[name]) for name, peer in peers.items()}
        milliseconds = medians(contenders, rounds=rounds)
        yield Result(people, milliseconds, {name: _idf1(scene, tracks) for name, tracks in outputs.items()})


def crowd(people: int, *, frames: int, seed: int) -> list[Frame]:
    """People who walk about and turn at the border; a detector that shakes, misses 3 % and doubts another 5 %."""
    random = np.random.default_rng(seed)
    size = random.uniform(60, 180, (people, 1)) * [0.4, 1.0]
    centre = random.uniform(size / 2, [WIDTH, HEIGHT] - size / 2)
    velocity = random.normal(0, 3, (people, 2))
    appearance = random.normal(size=(people, EMBEDDING_DIM))
    scene = []
    for _ in range(frames):
        centre += velocity
        velocity = np.where((centre < size / 2) | (centre > [WIDTH, HEIGHT] - size / 2), -velocity, velocity)
        true_xyxy = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
        seen = np.flatnonzero(random.random(people) > 0.03)
        scores = np.clip(random.normal(0.85, 0.05, len(seen)), 0.65, 0.99)
        scores[random.random(len(seen)) < 0.05] *= 0.4
        shake = random.normal(0, 0.02, (len(seen), 4)) * np.tile(size[seen], 2)
        embeddings = appearance[seen] + random.normal(0, 0.5, (len(seen), EMBEDDING_DIM))
        scene.append(Frame(true_xyxy, true_xyxy[seen] + shake, scores, embeddings.astype(np.float32)))
    return scene


def _contender(peer: Peer, scene: list[Frame], tracks: list[NDArray[np.float64]]) -> Contender:
    """Follows the scene with a new tracker and leaves its tracks in `tracks`."""
    prepared = [peer.prepare(frame) for frame in scene]

    def run() -> list[float]:
        tracker, times = peer.new(), []
        tracks.clear()
        for frame in prepared:
            clock = Clock.start()
            output = peer.update(tracker, frame)
            times.append(clock.milliseconds())
            tracks.append(peer.tracks(output))
        return times[WARM_UP_FRAMES:]

    return run


def _idf1(scene: list[Frame], outputs: list[NDArray[np.float64]]) -> float:
    truth = [np.column_stack([frame.people_xyxy, np.arange(len(frame.people_xyxy))]) for frame in scene]
    return score_tracking(_mot_table(truth), _mot_table(outputs)).percentages()["IDF1"]


def _mot_table(frames: list[NDArray[np.float64]]) -> MotTable:
    rows = np.concatenate(frames)
    return MotTable(
        frames=np.repeat(np.arange(1, len(frames) + 1), [len(frame) for frame in frames]),
        ids=rows[:, 4].astype(np.int64),
        boxes_xywh=np.concatenate([rows[:, :2], rows[:, 2:4] - rows[:, :2]], axis=1),
        scores=np.ones(len(rows)),
        classes=np.full(len(rows), -1),
        visibility=np.ones(len(rows)),
    )
