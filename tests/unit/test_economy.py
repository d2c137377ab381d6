"""The embedding economy: which crops are wanted, which are spared, and that the pipeline really spares them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_scenes import EYE, boxes, update
from small_videos import boxes_at, picture

from reidkit.runtime import BotSort, BotSortConfig, Camera, CropBatcher, MultiCameraTracker
from reidkit.runtime.detectors import Detections
from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.pipeline.budget import crops_within
from reidkit.runtime.pipeline.session import TrackingSession
from reidkit.runtime.video.sources import Frame

APART, CLOSE = (0.0, 300.0), (0.0, 10.0)
FRAMES = 12


def economical(refresh: int = 5, **settings: object) -> BotSort:
    return BotSort(BotSortConfig(economy_refresh_frames=refresh, **settings))


def wanted(tracker: BotSort, *shifts: float, **options: object) -> list[int]:
    return tracker.wanted(boxes(*shifts), np.full(len(shifts), 0.9), **options).tolist()


def follow(tracker: BotSort, *shifts: float) -> list[int]:
    """Update with the embeddings that are wanted, and say which these are."""
    rows = wanted(tracker, *shifts)
    embedded = np.isin(np.arange(len(shifts)), rows)
    update(tracker, *shifts, embeddings=EYE[: len(shifts)], embedded=embedded)
    return rows


def test_people_apart_are_embedded_when_new_and_when_stale() -> None:
    tracker = economical(refresh=4)
    assert [follow(tracker, *APART) for _ in range(9)] == [[0, 1], [], [], [], [0, 1], [], [], [], [0, 1]]
    assert tracker.appearance.spared == 12


def test_whose_box_could_be_anothers_is_embedded() -> None:
    tracker = economical()
    follow(tracker, *CLOSE, 400)
    assert follow(tracker, *CLOSE, 400) == [0, 1]


def test_two_boxes_for_one_track_are_both_embedded() -> None:
    tracker = economical()
    follow(tracker, 0)
    assert wanted(tracker, 0, 15) == [0, 1]


def test_newcomers_and_the_lost_are_embedded() -> None:
    tracker = economical(refresh=100)
    follow(tracker, *APART)
    assert follow(tracker, *APART, 600) == [2]
    update(tracker, 0, 600)
    assert wanted(tracker, *APART, 600) == [1]


def test_of_another_class_only_a_track_of_that_class_leaves_no_doubt() -> None:
    tracker = economical(refresh=100, other_class_penalty=1.0)
    follow(tracker, 0)
    assert wanted(tracker, 0, classes=[0]) == []
    assert wanted(tracker, 0, classes=[1]) == [0]


def test_a_budget_goes_to_the_doubtful_then_to_the_longest_unseen() -> None:
    tracker = economical(refresh=1, economy_max_crops=1)
    assert [follow(tracker, *APART) for _ in range(4)] == [[0], [1], [0], [1]]
    tracker = economical(refresh=1)
    follow(tracker, *APART)
    assert wanted(tracker, 300, 0, 15, at_most=2) == [1, 2]
    assert wanted(tracker, 300, 0, 15, at_most=0) == []


def test_a_negative_budget_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at_most is -1"):
        wanted(BotSort(), 0, at_most=-1)


def test_the_native_core_is_asked_alike() -> None:
    cores = [economical(refresh=4, core=core) for core in ("numpy", "native")]
    for shifts in (APART, APART, CLOSE, (0.0,), (0.0, 10.0, 300.0), APART, APART, APART):
        first, second = (follow(core, *shifts) for core in cores)
        assert first == second
    assert cores[0].appearance == cores[1].appearance


def test_without_its_settings_everything_high_is_wanted() -> None:
    tracker = BotSort()
    assert [follow(tracker, *APART) for _ in range(3)] == [[0, 1]] * 3
    assert tracker.appearance.spared == 0


def test_asking_changes_nothing_and_a_restored_tracker_asks_alike(tmp_path: Path) -> None:
    tracker = economical(refresh=3)
    for _ in range(2):
        follow(tracker, *APART)
    tracker.save(tmp_path / "before.npz")
    first = [wanted(tracker, 0, 15, 300), wanted(tracker, *APART)]
    tracker.save(tmp_path / "after.npz")
    assert (tmp_path / "before.npz").read_bytes() == (tmp_path / "after.npz").read_bytes()
    restored = BotSort.restore(tmp_path / "before.npz")
    assert [wanted(restored, 0, 15, 300), wanted(restored, *APART)] == first
    assert [follow(restored, *APART) for _ in range(3)] == [follow(tracker, *APART) for _ in range(3)]


def test_by_timestamps_an_appearance_ages_by_time() -> None:
    tracker = BotSort(BotSortConfig(economy_refresh_frames=10, clock="timestamps", frame_rate=10))
    update(tracker, 0, embeddings=EYE[:1], timestamp_s=0.0)
    assert wanted(tracker, 0, timestamp_s=0.5) == []
    assert wanted(tracker, 0, timestamp_s=1.0) == [0]


def test_seconds_become_frames(tmp_path: Path) -> None:
    path = tmp_path / "thrifty.yaml"
    path.write_text("economy_refresh_s: 0.5\n")
    assert BotSortConfig.load(path, frame_rate=20).economy_refresh_frames == 10


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory):
    pytest.importorskip("onnxruntime")
    from tiny_artifact import tiny_artifact

    from reidkit.runtime.engines import open_artifact

    with open_artifact(tiny_artifact(tmp_path_factory.mktemp("economy")), threads=1) as engine:
        yield engine


def frames():
    for index in range(1, FRAMES + 1):
        yield Frame(index, picture(index), (index - 1) / 10)


def detect(frame: Frame) -> Detections:
    return Detections(boxes_at(frame.index), np.full(3, 0.9), np.zeros(3, np.int64))


def test_a_session_cuts_and_embeds_only_what_is_wanted(engine) -> None:
    tracker = economical(refresh=4)
    session = TrackingSession(tracker, detect, engine=engine)
    for frame in frames():
        session.step(frame)
    assert session.crops + tracker.appearance.spared == 3 * FRAMES
    assert session.crops < 2 * FRAMES


@pytest.mark.parametrize("refresh", [0, 4])
def test_only_what_economy_spares_counts_as_saved(engine, refresh: int) -> None:
    def with_one_outside(frame: Frame) -> Detections:
        seen = detect(frame)
        boxes = np.concatenate([seen.boxes_xyxy, [[-500.0, 20, -470, 80]]])
        return Detections(boxes, np.full(4, 0.9), np.zeros(4, np.int64))

    session = TrackingSession(economical(refresh=refresh), with_one_outside, engine=engine)
    for frame in frames():
        session.step(frame)
    assert session.crops + session.crops_saved == 3 * FRAMES
    assert (session.crops_saved > 0) == (refresh > 0)


def test_cameras_spare_the_crops_that_a_session_spares(engine) -> None:
    session = TrackingSession(economical(refresh=4), detect, engine=engine)
    alone = [session.step(frame).ids.tolist() for frame in frames()]
    cameras = [Camera(source=frames(), detect=detect, tracker=economical(refresh=4)) for _ in range(2)]
    found: list[list[list[int]]] = [[], []]
    with CropBatcher(engine, batch=4, buffers=3, deadline_ms=1, patience_ms=60_000) as batcher:
        for number, _, tracks in MultiCameraTracker(cameras, engine=engine, batcher=batcher).run():
            found[number].append(tracks.ids.tolist())
        assert batcher.counters.delivered == 2 * session.crops
    assert found == [alone, alone]


def test_a_budget_in_milliseconds_is_one_in_crops(engine) -> None:
    assert crops_within(engine, None) is None
    many = crops_within(engine, 1e6)
    assert many is not None
    assert many > 100
    assert crops_within(engine, 1e-6) == 1  # not ReID switched off in silence
    session = TrackingSession(BotSort(BotSortConfig(economy_max_ms=1e-6)), detect, engine=engine)
    assert session.step(next(frames())).ids.tolist() == [1, 2, 3]
    assert session.crops == 1
