"""Several cameras with one engine: each is tracked as if it were alone, and an error ends them all."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from threading import enumerate as enumerate_threads

import numpy as np
import pytest
from small_videos import boxes_at, picture
from tiny_artifact import tiny_artifact

from reidkit.runtime import BotSort, BotSortConfig, Camera, CropBatcher, MultiCameraTracker, Tracks
from reidkit.runtime.detectors import Detections
from reidkit.runtime.engines import Engine, open_artifact
from reidkit.runtime.errors import InvalidFile, InvalidInput
from reidkit.runtime.pipeline import TrackingSession
from reidkit.runtime.tracking.across_cameras import AcrossCameras
from reidkit.runtime.video.sources import Frame

pytest.importorskip("onnxruntime")

FRAMES = 12


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_artifact(tiny_artifact(tmp_path_factory.mktemp("cameras")), threads=1) as engine:
        yield engine


def frames(start: int) -> Iterator[Frame]:
    for index in range(1, FRAMES + 1):
        yield Frame(index, picture(start + index), (index - 1) / 10)


def detector(start: int):
    def detect(frame: Frame) -> Detections:
        boxes = np.concatenate([boxes_at(start + frame.index), [[-90.0, 5.0, -20.0, 60.0]]])  # one out of the picture
        return Detections(boxes, np.array([0.9, 0.8, 0.95, 0.9]), np.zeros(4, np.int64))

    return detect


def told(tracks: Tracks) -> list[tuple[int, ...]]:
    return [(int(i), *np.round(box, 3).tolist()) for i, box in zip(tracks.ids, tracks.boxes_xyxy, strict=True)]


def cameras(*starts: int) -> list[Camera]:
    return [Camera(source=frames(start), detect=detector(start), tracker=BotSort()) for start in starts]


def test_each_camera_is_tracked_as_if_it_were_alone(engine: Engine) -> None:
    starts = (0, 20)
    alone = []
    for start in starts:
        session = TrackingSession(BotSort(), detector(start), engine=engine)
        alone.append([(frame.index, told(session.step(frame))) for frame in frames(start)])
    found: list[list[tuple[int, list[tuple[int, ...]]]]] = [[] for _ in starts]
    with CropBatcher(engine, batch=4, buffers=3, deadline_ms=1, patience_ms=60_000) as batcher:
        for number, frame, tracks in MultiCameraTracker(cameras(*starts), engine=engine, batcher=batcher).run():
            found[number].append((frame.index, told(tracks)))
        assert batcher.counters.delivered == len(starts) * FRAMES * 3
    assert found == alone
    assert any(tracks for _, tracks in found[0])


def slow_frames() -> Iterator[Frame]:
    """One in ten seconds."""
    for index in range(1, 15):
        yield Frame(index, picture(1), 10.0 * index)


def hidden_for_100_s(frame: Frame) -> Detections:
    boxes = np.zeros((0, 4)) if 3 <= frame.index <= 12 else boxes_at(1)
    return Detections(boxes, np.full(len(boxes), 0.9), np.zeros(len(boxes), np.int64))


@pytest.mark.parametrize("together", [False, True], ids=["session", "cameras"])
def test_whom_a_tracker_keeps_for_minutes_keeps_the_id_among_cameras_too(engine: Engine, together: bool) -> None:
    tracker, people = BotSort(BotSortConfig(frame_rate=0.1, max_lost_frames=20)), AcrossCameras()
    if together:
        camera = Camera(source=slow_frames(), detect=hidden_for_100_s, tracker=tracker)
        told = [tracks for _, _, tracks in MultiCameraTracker([camera], engine=engine, people=people).run()]
    else:
        session = TrackingSession(tracker, hidden_for_100_s, engine=engine, people=people)
        told = [session.step(frame) for frame in slow_frames()]
    assert [tracks.ids.tolist() for tracks in told] == 2 * [[1, 2, 3]] + 10 * [[]] + 2 * [[1, 2, 3]]


def test_who_stops_listening_stops_the_cameras(engine: Engine) -> None:
    running = MultiCameraTracker(cameras(0, 5, 9), engine=engine).run()
    next(running)
    running.close()
    with pytest.raises(StopIteration):
        next(running)


def test_an_error_of_one_camera_ends_all(engine: Engine) -> None:
    def breaking() -> Iterator[Frame]:
        yield from list(frames(0))[:3]
        raise InvalidFile("the cable is cut")

    broken = Camera(source=breaking(), detect=detector(0), tracker=BotSort())
    with pytest.raises(InvalidFile, match="the cable is cut"):
        list(MultiCameraTracker([*cameras(5), broken], engine=engine).run())


@pytest.fixture
def stalled() -> Iterator[Camera]:
    """A camera whose source gives three frames, then nothing."""
    goes_on = Event()

    def source() -> Iterator[Frame]:
        yield from list(frames(5))[:3]
        goes_on.wait()

    yield Camera(source=source(), detect=detector(5), tracker=BotSort())
    goes_on.set()


def test_an_error_is_told_while_another_camera_has_stalled(engine: Engine, stalled: Camera) -> None:
    def breaking() -> Iterator[Frame]:
        yield from frames(0)
        raise InvalidFile("the cable is cut")

    broken = Camera(source=breaking(), detect=detector(0), tracker=BotSort())
    with pytest.raises(InvalidFile, match="the cable is cut"):
        list(MultiCameraTracker([stalled, broken], engine=engine).run())


def test_who_stops_listening_is_not_held_up_by_a_stalled_camera(engine: Engine, stalled: Camera) -> None:
    running = MultiCameraTracker([stalled, *cameras(0)], engine=engine).run()
    for _ in range(FRAMES):
        next(running)
    running.close()
    assert "camera 0" in [thread.name for thread in enumerate_threads()]


def test_cameras_without_a_tracker_each_are_refused(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="no camera"):
        MultiCameraTracker([], engine=engine)
    [camera] = cameras(0)
    with pytest.raises(InvalidInput, match="share a tracker"):
        MultiCameraTracker([camera, camera], engine=engine)
