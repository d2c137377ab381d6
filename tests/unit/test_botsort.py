"""One behaviour of the tracker a test; whole sequences are compared in tests/parity/test_botsort_reference.py."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.sequences import generate

from reidkit.runtime import BotSort, BotSortConfig, Tracks, TrackState
from reidkit.runtime.errors import InvalidFile, InvalidInput

PERSON = [100.0, 100.0, 150.0, 250.0]
EYE = np.eye(4, dtype=np.float32)


def boxes(*shifts: float) -> np.ndarray:
    return np.array([[PERSON[0] + x, PERSON[1], PERSON[2] + x, PERSON[3]] for x in shifts]).reshape(-1, 4)


def update(tracker: BotSort, *shifts: float, score: float = 0.9, **options: Any) -> Tracks:
    return tracker.update(boxes(*shifts), np.full(len(shifts), score), **options)


def test_a_person_born_in_the_first_frame_is_confirmed_at_once() -> None:
    tracks = update(BotSort(), 0)
    assert (tracks.ids.tolist(), tracks.detection_index.tolist()) == ([1], [0])


def test_a_person_born_later_is_returned_from_their_second_frame_on() -> None:
    tracker = BotSort()
    update(tracker)
    assert len(update(tracker, 0)) == 0
    assert update(tracker, 2).ids.tolist() == [1]


def test_a_score_equal_to_the_high_threshold_is_high() -> None:
    tracker = BotSort()
    update(tracker, 0)
    assert update(tracker, 2, score=0.6).ids.tolist() == [1]
    assert tracker.wanted(boxes(0), [0.6]).tolist() == [0]


def test_a_low_score_keeps_a_track_alive_but_starts_none() -> None:
    tracker = BotSort()
    update(tracker, 0)
    assert update(tracker, 2, score=0.2).ids.tolist() == [1]
    assert len(update(BotSort(), 0, score=0.2)) == 0


def test_ids_belong_to_the_tracker() -> None:
    first, second = BotSort(), BotSort()
    update(first, 0, 300)
    assert update(second, 0).ids.tolist() == [1]


def test_a_track_returns_with_its_id_while_it_is_kept() -> None:
    tracker = BotSort(BotSortConfig(max_lost_frames=3))
    update(tracker, 0)
    for _ in range(3):
        assert len(update(tracker)) == 0
    assert update(tracker, 0).ids.tolist() == [1]


def test_a_track_lost_for_longer_is_forgotten() -> None:
    tracker = BotSort(BotSortConfig(max_lost_frames=3))
    update(tracker, 0)
    for _ in range(4):
        update(tracker)
    update(tracker, 0)
    assert update(tracker, 0).ids.tolist() == [2]


def test_appearance_decides_between_neighbours() -> None:
    tracker = BotSort()
    update(tracker, 0, 10, embeddings=EYE[:2])
    tracks = update(tracker, 2, 12, embeddings=EYE[1::-1])
    assert tracks.detection_index.tolist() == [1, 0]
    assert (tracker.appearance.decided, tracker.appearance.changed) == (2, 2)


def test_appearance_needs_overlap() -> None:
    tracker = BotSort()
    update(tracker, 0, embeddings=EYE[:1])
    update(tracker, 200, embeddings=EYE[:1])
    assert update(tracker, 200, embeddings=EYE[:1]).ids.tolist() == [2]


def test_rows_that_are_not_embedded_are_never_read() -> None:
    tracker = BotSort()
    poison = np.full((2, 4), np.nan, np.float32)
    poison[0] = EYE[0]
    tracks = update(tracker, 0, 300, embeddings=poison, embedded=np.array([True, False]))
    assert len(tracks) == 2
    assert len(update(tracker, 0, 300, embeddings=poison, embedded=np.array([True, False]))) == 2


def test_embeddings_of_low_detections_are_never_read() -> None:
    tracker = BotSort()
    update(tracker, 0, embeddings=EYE[:1])
    assert len(update(tracker, 0, score=0.3, embeddings=np.full((1, 4), np.nan, np.float32))) == 1


def test_wanted_names_high_detections_and_changes_nothing() -> None:
    tracker = BotSort(BotSortConfig(min_embedding_score=0.8))
    assert tracker.wanted(boxes(0, 10, 20, 30), [0.9, 0.7, 0.8, 0.2]).tolist() == [0, 2]
    assert update(tracker, 0).ids.tolist() == [1]
    assert BotSort(BotSortConfig(with_reid=False)).wanted(boxes(0), [0.9]).size == 0


def test_of_boxes_outside_the_picture_none_is_wanted() -> None:
    seen = np.array([[-90, 5, -20, 60], [120, 5, 136, 60], [5, 130, 20, 190], [159.9, 5, 300, 60]], np.float64)
    for core in ("numpy", "native"):
        tracker = BotSort(BotSortConfig(core=core))
        assert tracker.wanted(seen, [0.9] * 4).tolist() == [0, 1, 2, 3]
        assert tracker.wanted(seen, [0.9] * 4, frame=np.zeros((120, 160, 3), np.uint8)).tolist() == [1, 3]


def test_without_reid_embeddings_are_not_read() -> None:
    tracker = BotSort(BotSortConfig(with_reid=False))
    assert len(update(tracker, 0, embeddings="whatever")) == 1


def test_detections_of_other_types_and_layouts_mean_the_same() -> None:
    reference = update(BotSort(), 0, 300)
    as_list = BotSort().update(boxes(0, 300).tolist(), [0.9, 0.9])
    strided = BotSort().update(np.repeat(boxes(0, 300), 2, axis=0)[::2].astype(np.float32), np.float32([0.9, 0.9]))
    for tracks in (as_list, strided):
        np.testing.assert_array_equal(tracks.boxes_xyxy, reference.boxes_xyxy)


def test_tracks_iterate_as_views() -> None:
    track = next(iter(update(BotSort(), 0)))
    assert (track.id, track.class_id, track.detection_index, track.confirmed) == (1, 0, 0, True)
    np.testing.assert_allclose(track.box_xyxy, PERSON)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0, 0, 10]], [0.9]), r"boxes_xyxy must have shape \(N, 4\)"),
        (([PERSON], [0.9, 0.8]), r"scores must have shape \(1,\)"),
        (([PERSON, [0, 0, np.nan, 10]], [0.9, 0.9]), "row 1 is .*nan"),
        (([PERSON, [0, 0, np.inf, 10]], [0.9, 0.9]), "row 1 is .*inf"),
        (([[10, 0, 10, 10]], [0.9]), "x1 < x2"),
        (([[10, 0, 5, 10]], [0.9]), "x1 < x2"),
        (([PERSON], [1.5]), "scores must lie within 0 and 1, row 0 is 1.5"),
        (([PERSON], [np.nan]), "row 0 is nan"),
        (([PERSON], ["high"]), "scores must be an array of numbers"),
        ((1.0, 1.0), "boxes_xyxy must be an array of numbers"),
    ],
)
def test_wrong_detections_are_refused_and_change_nothing(arguments: Any, message: str) -> None:
    tracker = BotSort()
    update(tracker, 0)
    with pytest.raises(InvalidInput, match=message):
        tracker.update(*arguments)
    assert update(tracker, 1).ids.tolist() == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": [0.5]}, "classes must be"),
        ({"embeddings": EYE[:2]}, r"embeddings must be \(1, D\)"),
        ({"embeddings": np.ones((1, 5), np.float32)}, "width 5, this tracker's have 4"),
        ({"embeddings": np.zeros((1, 4), np.float32)}, "embedding of detection 0 is zero or not finite"),
        ({"embeddings": np.full((1, 4), np.nan, np.float32)}, "embedding of detection 0"),
        ({"embeddings": EYE[:1], "embedded": [1]}, "embedded must be"),
        ({"embedded": [True]}, "embeddings is None"),
        ({"camera_motion": np.zeros((2, 3))}, "invertible"),
        ({"camera_motion": np.eye(3)}, "invertible"),
        ({"timestamp_s": 0.5}, "must not go back"),
        ({"timestamp_s": np.nan}, "must not go back"),
    ],
)
def test_wrong_options_are_refused_and_change_nothing(options: dict[str, Any], message: str) -> None:
    tracker = BotSort()
    update(tracker, 0, embeddings=EYE[:1], timestamp_s=1.0)
    with pytest.raises(InvalidInput, match=message):
        update(tracker, 0, **options)
    assert update(tracker, 1, timestamp_s=1.1).ids.tolist() == [1]


def test_a_config_that_promises_unit_norms_is_held_to_it() -> None:
    tracker = BotSort(BotSortConfig(normalize_embeddings=False))
    update(tracker, 0, embeddings=EYE[:1])
    with pytest.raises(InvalidInput, match="norm 2"):
        update(tracker, 0, embeddings=2 * EYE[:1])


def test_zero_detections_for_a_hundred_frames_are_a_clean_run() -> None:
    tracker = BotSort()
    update(tracker, 0, embeddings=EYE[:1])
    for _ in range(100):
        assert len(tracker.update(np.zeros((0, 4)), np.zeros(0), embeddings=np.zeros((0, 4), np.float32))) == 0
    assert len(tracker.update([], [])) == 0


def test_a_rotating_camera_never_turns_a_box_inside_out() -> None:
    tracker = BotSort()
    quarter = np.array([[0.0, -1.0, 400.0], [1.0, 0.0, 0.0]])
    update(tracker, 0)
    for _ in range(8):
        tracks = update(tracker, 0, camera_motion=quarter)
        sizes = tracks.boxes_xyxy[:, 2:] - tracks.boxes_xyxy[:, :2]
        assert (sizes > 0).all()


def test_temperature_leaves_the_fate_of_look_alikes_to_overlap() -> None:
    twins = np.stack([EYE[0], EYE[0]])
    classic, warm = BotSort(), BotSort(BotSortConfig(temperature=0.07))
    for tracker in (classic, warm):
        update(tracker, 0, 15, embeddings=twins)
        update(tracker, 1, 16, embeddings=twins)
    assert classic.appearance.decided == 2
    assert warm.appearance.decided == 0


def test_temperature_spares_a_pair_without_rivals() -> None:
    tracker = BotSort(BotSortConfig(temperature=0.07))
    update(tracker, 0, 500, embeddings=EYE[:2])
    update(tracker, 1, 501, embeddings=EYE[:2])
    assert tracker.appearance.decided == 2


def long_term(**options: Any) -> BotSort:
    return BotSort(BotSortConfig(long_term_min_cosine=0.8, max_lost_frames=100, frame_rate=10, **options))


def leave(tracker: BotSort, frames: int) -> None:
    for _ in range(frames):
        update(tracker, 900, embeddings=EYE[3:])


def test_a_lost_person_is_recognised_where_no_overlap_is_left() -> None:
    tracker = long_term()
    update(tracker, 0, 900, embeddings=EYE[[0, 3]])
    leave(tracker, 10)
    tracks = update(tracker, 200, 900, embeddings=EYE[[0, 3]])
    assert tracks.ids.tolist() == [1, 2]
    assert tracker.appearance.recognised == 1


@pytest.mark.parametrize(("least", "recognised"), [(1, 1), (3, 1), (4, 0)])
def test_who_was_hardly_seen_is_not_recognised(least: int, recognised: int) -> None:
    tracker = long_term(long_term_min_embeddings=least)
    for _ in range(3):
        update(tracker, 0, 900, embeddings=EYE[[0, 3]])
    leave(tracker, 10)
    update(tracker, 200, 900, embeddings=EYE[[0, 3]])
    assert tracker.appearance.recognised == recognised


@pytest.mark.parametrize(
    ("shift", "embedding", "why"),
    [(200, EYE[1], "another person"), (800, EYE[0], "out of reach"), (200, EYE[0] + 0.9 * EYE[1], "not alike enough")],
)
def test_a_stranger_is_not_recognised(shift: float, embedding: np.ndarray, why: str) -> None:
    tracker = long_term()
    update(tracker, 0, 900, embeddings=EYE[[0, 3]])
    leave(tracker, 10)
    update(tracker, shift, 900, embeddings=np.stack([embedding, EYE[3]]))
    assert tracker.appearance.recognised == 0, why


def test_who_was_shrunk_to_nothing_is_not_recognised() -> None:
    tracker = BotSort(BotSortConfig(long_term_min_cosine=0.5, long_term_lost_frames=0, min_iou_for_appearance=0))
    large, small, none = [[0, 0, 64, 64]], [[0, 0, 8, 8]], np.zeros((0, 4))
    tracker.update(large, [0.7], embeddings=EYE[:1])
    tracker.update(none, [])
    for face in (0, 1, 0):  # the filter overshoots, beyond a height of zero
        tracker.update(small, [0.7], embeddings=EYE[[face]])
        tracker.update(none, [])
    assert tracker.appearance.recognised == 0


def test_look_alikes_stay_strangers() -> None:
    tracker = long_term()
    update(tracker, 0, 100, 900, embeddings=EYE[[0, 0, 3]])
    leave(tracker, 10)
    update(tracker, 250, 900, embeddings=EYE[[0, 3]])
    assert tracker.appearance.recognised == 0


def test_who_is_lost_for_long_is_found_by_appearance_but_no_more_by_overlap() -> None:
    tracker = BotSort(BotSortConfig(long_term_min_cosine=0.8, max_lost_frames=5, long_term_lost_frames=20))
    update(tracker, 0, 900, embeddings=EYE[[0, 3]])
    leave(tracker, 10)
    for _ in range(2):
        stranger = update(tracker, 0, 900, embeddings=EYE[[1, 3]])
    assert stranger.ids.tolist() == [2, 3]
    tracks = update(tracker, 0, 40, 900, embeddings=EYE[[1, 0, 3]])
    assert dict(zip(tracks.ids.tolist(), tracks.detection_index.tolist(), strict=True)) == {1: 1, 2: 2, 3: 0}


def test_who_is_lost_for_too_long_is_forgotten_by_the_long_term_stage_too() -> None:
    tracker = long_term(long_term_lost_frames=200)
    update(tracker, 0, 900, embeddings=EYE[[0, 3]])
    leave(tracker, 201)
    update(tracker, 0, 900, embeddings=EYE[[0, 3]])
    assert tracker.appearance.recognised == 0


def test_whoever_walks_on_while_hidden_is_within_reach() -> None:
    tracker = BotSort(
        BotSortConfig(max_lost_frames=1, long_term_lost_frames=100, long_term_min_cosine=0.8, long_term_max_speed=0.0)
    )
    for shift in range(0, 200, 20):
        update(tracker, shift, 900, embeddings=EYE[[0, 3]])
    leave(tracker, 20)
    update(tracker, 600, 900, embeddings=EYE[[0, 3]])
    assert tracker.appearance.recognised == 1


@pytest.mark.parametrize(("width", "left"), [(160, True), (400, False)])
def test_who_is_lost_at_the_border_has_left_if_the_settings_say_so(width: int, left: bool) -> None:
    tracker = long_term(long_term_reentry=False)
    picture = np.zeros((600, width), np.uint8)
    update(tracker, 0, embeddings=EYE[[0]], frame=picture)
    for _ in range(40):
        update(tracker, frame=picture)
    update(tracker, 200, embeddings=EYE[[0]], frame=picture)
    assert tracker.appearance.recognised == (not left)


def test_the_border_is_looked_for_in_the_frame() -> None:
    tracker = long_term(long_term_reentry=False)
    with pytest.raises(InvalidInput, match="pass frame="):
        update(tracker, 0, embeddings=EYE[[0]])


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("stage", [{}, {"long_term_min_cosine": 0.5, "long_term_history": 4}])
def test_a_restored_tracker_goes_on_as_if_never_interrupted(tmp_path: Path, seed: int, stage: dict[str, Any]) -> None:
    frames = generate(seed).frames
    whole = BotSort(BotSortConfig(**stage))
    part = BotSort(BotSortConfig(**stage))

    def step(tracker: BotSort, number: int) -> Tracks:
        box, scores, classes, embeddings, embedded, motion = frames[number]
        return tracker.update(
            box, scores, classes=classes, embeddings=embeddings, embedded=embedded, camera_motion=motion
        )

    for number in range(len(frames)):
        expected = step(whole, number)
        if number == len(frames) // 2:
            part.save(tmp_path / "state")
            part = BotSort.restore(tmp_path / "state")
        found = step(part, number)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.boxes_xyxy, expected.boxes_xyxy)
    assert part.appearance == whole.appearance
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_what_is_no_saved_tracker_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    BotSort().save(path)
    whole = path.read_bytes()
    ruined = [whole[:at] + bytes([whole[at] ^ 0x80]) + whole[at + 1 :] for at in range(0, len(whole), 37)]
    for content in (b"", b"text", whole[: len(whole) // 2], *ruined):
        path.write_bytes(content)
        with pytest.raises(InvalidFile, match="not a saved tracker"):
            BotSort.restore(path)


def test_reset_begins_anew() -> None:
    tracker = BotSort()
    update(tracker, 0, embeddings=EYE[:1])
    tracker.reset()
    assert update(tracker, 0, embeddings=np.ones((1, 7), np.float32)).ids.tolist() == [1]


def test_memory_is_bounded_while_ids_churn() -> None:
    tracker = BotSort(BotSortConfig(long_term_min_cosine=0.9, max_lost_frames=5, long_term_history=5))
    rng = np.random.default_rng(0)

    def churn(frames: int) -> int:
        for number in range(frames):
            shifts = (rng.uniform(0, 5000, 20) + 100 * number) % 9000
            embeddings = rng.normal(size=(20, 16)).astype(np.float32)
            update(tracker, *shifts, embeddings=embeddings)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        warm = churn(150)
        assert churn(600) - warm < 50_000
    finally:
        tracemalloc.stop()


def test_track_states_are_named() -> None:
    assert [state.name for state in TrackState] == ["TRACKED", "LOST"]


@pytest.mark.parametrize(
    "motion",
    [
        np.full((2, 3), 2.2e-309),
        np.diag([1e300, 1e300, 1.0])[:2],
        [[1, 0, np.nan], [0, 1, 0]],
        [[1, 0, 1e9], [0, 1, 0]],
        np.eye(3),
        "a turn",
    ],
    ids=["next to nothing", "endless", "not a number", "far away", "three rows", "words"],
)
@pytest.mark.parametrize("core", ["numpy", "native"])
def test_a_camera_motion_that_is_none_is_refused(core: str, motion: object) -> None:
    with pytest.raises(InvalidInput, match="camera_motion must be"):
        BotSort(BotSortConfig(core=core)).update([], [], camera_motion=motion)
