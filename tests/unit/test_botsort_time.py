"""`clock: timestamps`: the classic tracker while frames come regularly, a better one when they do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.sequences import generate

from reidkit.runtime import BotSort, BotSortConfig, Tracks
from reidkit.runtime.errors import InvalidConfig, InvalidInput
from reidkit.runtime.tracking import kalman
from reidkit.runtime.tracking.table import TrackTable
from reidkit.runtime.tracking.tracks import TrackState

RATE = 30.0
CLOCKED = BotSortConfig(with_reid=False, clock="timestamps", frame_rate=RATE)
CLASSIC = BotSortConfig(max_lost_frames=3, long_term_min_cosine=0.9)


def walker(frame: float, *, speed: float = 12.0) -> list[list[float]]:
    """A person of 40 x 100 pixels who walks to the right."""
    return [[speed * frame, 50.0, speed * frame + 40, 150.0]]


def see(tracker: BotSort, frame: float) -> Tracks:
    return tracker.update(walker(frame), [0.9], timestamp_s=frame / RATE)


@pytest.mark.parametrize("first_seed", range(0, 60, 20))
@pytest.mark.parametrize("digits", [9, 3], ids=["exact", "milliseconds"])
def test_regular_timestamps_change_nothing(first_seed: int, digits: int) -> None:
    for seed in range(first_seed, first_seed + 20):
        classic, clocked = BotSort(CLASSIC), BotSort(replace(CLASSIC, clock="timestamps"))
        for number, frame in enumerate(generate(seed).frames):
            given = frame._asdict()
            expected = classic.update(**given)
            found = clocked.update(**given, timestamp_s=round(1e3 + number / RATE, digits))
            np.testing.assert_array_equal(found.ids, expected.ids)
            np.testing.assert_array_equal(found.boxes_xyxy, expected.boxes_xyxy)
            np.testing.assert_array_equal(found.detection_index, expected.detection_index)


def some_tracks(state: TrackState) -> TrackTable:
    random, table = np.random.default_rng(0), TrackTable()
    kalman.start(table, table.append(5), random.uniform(50, 90, (5, 4)))
    rows = np.arange(5)
    table.state[rows] = TrackState.TRACKED
    for _ in range(4):
        kalman.predict(table, rows)
        kalman.move_camera(table, np.array([[1, -0.05, 3], [0.05, 1, 0.0]]))
        kalman.correct(table, rows, table.position[rows] + random.normal(0, 2, (5, 4)))
    table.state[rows] = state
    return table


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_several_steps_at_once_are_as_many_predictions(steps: int) -> None:
    at_once, one_by_one = some_tracks(TrackState.LOST), some_tracks(TrackState.LOST)
    rows = np.arange(5)
    kalman.predict_over(at_once, rows, float(steps))
    for _ in range(steps):
        kalman.predict(one_by_one, rows)
    for name, expected in one_by_one.to_arrays().items():
        np.testing.assert_allclose(at_once.to_arrays()[name], expected, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("steps", [0.0, 0.25, 0.5, 1.5, 40.0])
def test_any_step_leaves_a_covariance(steps: float) -> None:
    table = some_tracks(TrackState.TRACKED)
    kalman.predict_over(table, np.arange(5), steps)
    arrays = table.to_arrays()
    assert (arrays["cov_position"] > 0).all()
    assert (arrays["cov_position"] * arrays["cov_velocity"] > arrays["cov_mixed"] ** 2).all()
    assert (arrays["position"][:, 2:] > 0).all()


def test_a_walker_is_found_again_where_dropped_frames_would_have_brought_him() -> None:
    seen = [0, 1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 21, 22]
    clocked, counting = BotSort(CLOCKED), BotSort(replace(CLOCKED, clock="frames"))
    assert [see(clocked, frame).ids.tolist() for frame in seen] == [[1]] * len(seen)
    assert [1] not in [see(counting, frame).ids.tolist() for frame in seen][9:]


def test_a_camera_may_change_its_rate() -> None:
    times = [*range(10), *np.arange(10, 40, 4), *np.arange(40, 45, 0.5)]
    tracker = BotSort(CLOCKED)
    assert [see(tracker, float(frame)).ids.tolist() for frame in times] == [[1]] * len(times)


@pytest.mark.parametrize(("frames", "known"), [(30, True), (31, True), (32, False), (10_000_000, False)])
def test_lost_people_are_forgotten_by_time(frames: int, known: bool) -> None:
    tracker = BotSort(CLOCKED)
    for frame in range(3):
        tracker.update(walker(0), [0.9], timestamp_s=frame / RATE)
    tracker.update([], [], timestamp_s=3 / RATE)
    tracker.update(walker(0), [0.9], timestamp_s=(2 + frames) / RATE)
    tracks = tracker.update(walker(0), [0.9], timestamp_s=(3 + frames) / RATE)
    assert tracks.ids.tolist() == [1 if known else 2]


def test_only_the_first_update_confirms_at_once() -> None:
    tracker = BotSort(CLOCKED)
    tracker.update([], [], timestamp_s=5.0)
    assert len(tracker.update(walker(0), [0.9], timestamp_s=5.0)) == 0


@pytest.mark.parametrize(
    ("timestamp_s", "message"), [(None, "pass timestamp_s="), (0.0, "go back"), (1e300, "frames after the first")]
)
def test_a_wrong_time_is_refused_without_a_trace(timestamp_s: float | None, message: str) -> None:
    tracker = BotSort(CLOCKED)
    for frame in range(30, 34):
        see(tracker, frame)
    with pytest.raises(InvalidInput, match=message):
        tracker.update(walker(34), [0.9], timestamp_s=timestamp_s)
    assert see(tracker, 34).ids.tolist() == [1]


def test_an_unknown_clock_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="clock is 'frames' or 'timestamps'"):
        BotSortConfig(clock="sundial")


def test_a_saved_tracker_knows_the_time(tmp_path: Path) -> None:
    tracker = BotSort(CLOCKED)
    for frame in range(9):
        see(tracker, frame)
    tracker.save(tmp_path / "tracker")
    restored = BotSort.restore(tmp_path / "tracker")
    for frame in (13, 14, 60, 61):
        np.testing.assert_array_equal(see(restored, frame).boxes_xyxy, see(tracker, frame).boxes_xyxy)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e5) | st.floats(0, 0.2), st.integers(0, 12)), min_size=1, max_size=20))
def test_any_jump_in_time_gives_boxes_that_make_sense(jumps: list[tuple[float, int]]) -> None:
    tracker, now_s = BotSort(CLOCKED), 0.0
    for seconds, place in jumps:
        now_s += seconds
        tracks = tracker.update(walker(place), [0.9], timestamp_s=now_s)
        assert np.isfinite(tracks.boxes_xyxy).all()
        assert (tracks.boxes_xyxy[:, 2:] > tracks.boxes_xyxy[:, :2]).all()


@pytest.mark.parametrize("core", ["numpy", "native"])
def test_who_is_left_to_the_long_term_stage_by_a_jump_in_time_is_not_shown_meanwhile(core: str) -> None:
    settings = {"long_term_min_cosine": 0.5, "long_term_lost_frames": 1000, "core": core}
    tracker = BotSort(BotSortConfig(clock="timestamps", frame_rate=RATE, **settings))
    people, faces = np.array([[0, 0, 50, 100], [200, 0, 250, 100.0]]), np.eye(2, 4, dtype=np.float32)
    for frame in range(4):
        tracker.update(people, [0.9, 0.9], embeddings=faces, timestamp_s=frame / RATE)
    assert len(tracker.update([], [], timestamp_s=10.0)) == 0
    returned = tracker.update(people[::-1] + 300, [0.9, 0.9], embeddings=faces[::-1], timestamp_s=10.1)
    assert returned.ids.tolist() == [1, 2]
    assert returned.detection_index.tolist() == [1, 0]
