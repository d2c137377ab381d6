"""The reference against numbers worked out by hand: one rule of the specification a test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from reference.botsort_reference import (
    Box,
    Detection,
    Parameters,
    ReferenceBotSort,
    ReferenceTrack,
    Row,
    State,
    fused_cost,
    iou_distance,
)

RED, GREEN = (1.0, 0.0), (0.0, 1.0)


def person(cx: float, cy: float = 100, *, w: float = 40, h: float = 80) -> Box:
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def detection(box: Box, *, score: float = 0.9, embedding: tuple[float, float] | None = None) -> Detection:
    return Detection(0, box, score, 0, None if embedding is None else np.array(embedding))


def track(box: Box, *, embedding: tuple[float, float] | None = None) -> ReferenceTrack:
    return ReferenceTrack(1, detection(box, embedding=embedding), 1, confirmed=True)


def step(tracker: ReferenceBotSort, *people: tuple[Box, float], **more: Any) -> list[Row]:
    """One frame of (box, score) pairs."""
    boxes = np.array([box for box, _ in people], float).reshape(-1, 4)
    return tracker.update(boxes, np.array([score for _, score in people], float), **more)


def seen(tracker: ReferenceBotSort, *people: tuple[Box, float], **more: Any) -> dict[int, int]:
    """One frame: the detection of each reported id."""
    return {row.id: row.detection_index for row in step(tracker, *people, **more)}


def looks(*embeddings: tuple[float, float]) -> dict[str, Any]:
    return {"embeddings": np.array(embeddings, np.float32)}


# --- State and noise -------------------------------------------------------------------------------------------------


def test_a_newborn_is_uncertain_in_proportion_to_its_size() -> None:
    newborn = track(person(100))
    assert newborn.mean.tolist() == [100, 100, 40, 80, 0, 0, 0, 0]
    # (2/20 · 40)², (2/20 · 80)² and (10/160 · 40)², (10/160 · 80)²
    np.testing.assert_allclose(newborn.covariance, np.diag([16, 64, 16, 64, 6.25, 25, 6.25, 25]), rtol=1e-14)


def test_prediction_adds_velocity_and_drift_of_the_size_before_it() -> None:
    walker = track(person(100))
    walker.mean[4:] = [3, -1, 2, 4]
    walker.predict()
    assert walker.mean.tolist() == [103, 99, 42, 84, 3, -1, 2, 4]
    assert walker.covariance[0, 0] == pytest.approx(16 + 6.25 + (40 / 20) ** 2)
    assert walker.covariance[0, 4] == pytest.approx(6.25)
    assert walker.covariance[4, 4] == pytest.approx(6.25 + (40 / 160) ** 2)


def test_update_weighs_prediction_and_measurement() -> None:
    walker = track(person(100))
    walker.predict()
    walker.update(detection(person(110)), 2, alpha=0.9)
    prior, spread = 26.25, 26.25 + (40 / 20) ** 2
    assert walker.mean[0] == pytest.approx(100 + 10 * prior / spread)
    assert walker.mean[4] == pytest.approx(10 * 6.25 / spread)
    assert walker.covariance[0, 0] == pytest.approx(prior - prior**2 / spread)
    assert walker.covariance[0, 4] == pytest.approx(6.25 - prior * 6.25 / spread)


def test_measurement_noise_is_that_of_the_predicted_size() -> None:
    walker = track(person(100))
    walker.mean[6] = 10
    walker.predict()
    walker.update(detection(person(110, w=50)), 2, alpha=0.9)
    prior = 16 + 6.25 + (40 / 20) ** 2
    assert walker.mean[0] == pytest.approx(100 + 10 * prior / (prior + (50 / 20) ** 2))


def test_a_lost_track_walks_on_and_stops_growing() -> None:
    walker = track(person(100))
    walker.mean[4:] = [3, -1, 2, 4]
    walker.lose()
    walker.predict()
    walker.predict()
    assert walker.mean.tolist() == [106, 98, 40, 80, 3, -1, 0, 0]


# --- Camera motion ---------------------------------------------------------------------------------------------------


def test_turning_turns_places_and_speeds_and_leaves_sizes_alone() -> None:
    walker = track(person(100, 50))
    walker.mean[4:] = [3, 1, 2, 4]
    walker.move_with_camera(np.array([[0.0, -1, 7], [1, 0, -5]]))
    np.testing.assert_allclose(walker.mean, [-50 + 7, 100 - 5, 40, 80, -1, 3, 2, 4])
    np.testing.assert_allclose(walker.covariance, np.diag([64, 16, 16, 64, 25, 6.25, 6.25, 25]))


def test_zooming_scales_places_sizes_and_speeds() -> None:
    walker = track(person(100, 50))
    walker.mean[4:] = [3, 1, 2, 4]
    walker.move_with_camera(np.array([[2.0, 0, 0], [0, 2, 0]]))
    np.testing.assert_allclose(walker.mean, [200, 100, 80, 160, 6, 2, 4, 8])
    np.testing.assert_allclose(walker.covariance, 4 * np.diag([16, 64, 16, 64, 6.25, 25, 6.25, 25]))


def test_a_mirror_image_has_positive_sizes() -> None:
    walker = track(person(100, 50))
    walker.move_with_camera(np.array([[-1.0, 0, 300], [0, 1, 0]]))
    assert walker.mean[:4].tolist() == [200, 50, 40, 80]


def test_all_tracks_move_with_the_camera_and_the_unconfirmed_are_not_predicted() -> None:
    tracker = ReferenceBotSort()
    step(tracker, (person(100), 0.9), (person(300), 0.9))
    step(tracker, (person(100), 0.9), (person(500), 0.9))
    tracked, lost, newborn = tracker.tracks
    assert (tracked.state, lost.state, newborn.confirmed) == (State.TRACKED, State.LOST, False)
    newborn_covariance = newborn.covariance
    pan = np.array([[1.0, 0, 200], [0, 1, 10]])
    rows = step(tracker, (person(300, 110), 0.9), (person(700, 110), 0.9), camera_motion=pan)
    assert [(row.id, row.detection_index) for row in rows] == [(1, 0), (3, 1)]
    assert lost.mean[:2].tolist() == [500, 110]
    # an update from the covariance of birth: S = 16 + 4, not 16 + 6.25 + 4 + 4
    assert newborn.covariance[0, 0] == pytest.approx(newborn_covariance[0, 0] * (1 - 16 / 20))


# --- High and low scores ---------------------------------------------------------------------------------------------


def test_a_score_equal_to_the_high_threshold_is_high() -> None:
    tracker = ReferenceBotSort()
    step(tracker, (person(100), 0.9))
    # IoU 24/56: too far for the second association, 1 - 0.43 · 0.6 = 0.74 is near enough for the first
    assert seen(tracker, (person(116), 0.6)) == {1: 0}


def test_a_score_equal_to_the_low_threshold_is_nothing() -> None:
    tracker = ReferenceBotSort()
    step(tracker, (person(100), 0.9))
    assert seen(tracker, (person(100), 0.1)) == {}
    tracker = ReferenceBotSort()
    step(tracker, (person(100), 0.9))
    assert seen(tracker, (person(100), math.nextafter(0.1, 1))) == {1: 0}


def test_a_low_detection_holds_a_track_by_overlap_alone() -> None:
    for shift, held in ((13, True), (14, False)):  # IoU 27/53 and 26/54 around the limit of 1/2
        tracker = ReferenceBotSort()
        step(tracker, (person(100), 0.9))
        assert bool(seen(tracker, (person(100 + shift), 0.2))) == held


def test_a_low_detection_finds_no_lost_track_and_bears_none() -> None:
    tracker = ReferenceBotSort()
    step(tracker, (person(100), 0.9))
    step(tracker)
    assert seen(tracker, (person(100), 0.59), (person(300), 0.59)) == {}
    assert [t.id for t in tracker.tracks] == [1]
    assert seen(tracker, (person(100), 0.6)) == {1: 0}


def test_score_and_class_are_those_of_the_last_detection() -> None:
    tracker = ReferenceBotSort()
    step(tracker, (person(100), 0.9), classes=np.array([2]))
    (row,) = step(tracker, (person(100), 0.3), classes=np.array([5]))
    assert (row.score, row.class_id) == (0.3, 5)


def test_the_score_is_fused_only_when_asked() -> None:
    one, other = track(person(100)), detection(person(120), score=0.5)
    assert fused_cost(one, other, Parameters(fuse_score=True)) == pytest.approx(1 - 0.5 / 3)
    assert fused_cost(one, other, Parameters(fuse_score=False)) == pytest.approx(2 / 3)


# --- Births and confirmation -----------------------------------------------------------------------------------------


def test_births_need_the_birth_score_and_take_ids_in_the_order_of_detections() -> None:
    tracker = ReferenceBotSort()
    rows = step(tracker, (person(500), 0.7), (person(300), 0.69), (person(100), 0.8))
    assert [(row.id, row.detection_index, row.confirmed) for row in rows] == [(1, 0, True), (2, 2, True)]


def test_ids_belong_to_the_instance() -> None:
    for tracker in (ReferenceBotSort(), ReferenceBotSort()):
        assert seen(tracker, (person(100), 0.9)) == {1: 0}


def test_a_later_birth_is_reported_when_it_is_seen_again() -> None:
    tracker = ReferenceBotSort()
    step(tracker, (person(100), 0.9))
    assert seen(tracker, (person(100), 0.9), (person(300), 0.9)) == {1: 0}
    assert seen(tracker, (person(100), 0.9), (person(300), 0.9)) == {1: 0, 2: 1}


def test_the_first_frame_is_the_first_call_even_if_it_is_empty() -> None:
    tracker = ReferenceBotSort()
    assert seen(tracker) == {}
    assert seen(tracker, (person(100), 0.9)) == {}
    assert seen(tracker, (person(100), 0.9)) == {1: 0}


def test_an_unconfirmed_track_that_is_missed_once_is_gone() -> None:
    tracker = ReferenceBotSort()
    step(tracker)
    step(tracker, (person(100), 0.9))
    step(tracker, (person(100), 0.5))  # a low detection does not save it
    assert tracker.tracks == []
    step(tracker, (person(100), 0.9))
    assert seen(tracker, (person(100), 0.9)) == {2: 0}


def test_an_unconfirmed_track_has_its_own_limit() -> None:
    for shift, matched in ((18, True), (20, False)):  # 1 - 0.9 · 22/58 = 0.66 and 1 - 0.9 · 20/60 = 0.70
        tracker = ReferenceBotSort()
        step(tracker)
        step(tracker, (person(100), 0.9))
        assert seen(tracker, (person(100 + shift), 0.9)) == ({1: 0} if matched else {})


# --- Appearance ------------------------------------------------------------------------------------------------------


def cost(shift: float, cosine: float, parameters: Parameters | None = None) -> float:
    """Of a track and a detection of score 0.9, `shift` pixels apart, with `cosine` between their embeddings."""
    seen_earlier = track(person(100), embedding=RED)
    seen_now = detection(person(100 + shift), embedding=(cosine, math.sqrt(1 - cosine**2)))
    return fused_cost(seen_earlier, seen_now, parameters or Parameters())


def test_the_cost_is_the_lesser_of_overlap_and_appearance() -> None:
    assert cost(10, 0.6) == pytest.approx(0.2)  # (1 - 0.6) / 2 against 1 - 0.9 · 0.6
    assert cost(0, 0.6) == pytest.approx(0.1)  # 1 - 0.9 · 1
    assert cost(10, 0.6, Parameters(appearance_cost_scale=1)) == pytest.approx(0.4)
    assert cost(10, 0.6, Parameters(with_reid=False)) == pytest.approx(0.46)


def test_appearance_must_be_alike_and_near() -> None:
    assert cost(10, 0.5) == pytest.approx(0.25)
    assert cost(10, math.nextafter(0.5, 0)) == pytest.approx(0.46)
    # w = 60 and a shift of 20 are an IoU of exactly 1/2, before the score is fused
    wide = track(person(100, w=60), embedding=RED)
    assert fused_cost(wide, detection(person(120, w=60), embedding=RED), Parameters()) == 0
    assert fused_cost(wide, detection(person(120.01, w=60), embedding=RED), Parameters()) > 0.55


def test_appearance_settles_a_crossing() -> None:
    tracker = ReferenceBotSort()
    step(tracker, (person(100), 0.9), (person(110), 0.9), **looks(RED, GREEN))
    assert seen(tracker, (person(100), 0.9), (person(110), 0.9), **looks(GREEN, RED)) == {1: 1, 2: 0}
    blind = ReferenceBotSort(Parameters(with_reid=False))
    step(blind, (person(100), 0.9), (person(110), 0.9), **looks(RED, GREEN))
    assert seen(blind, (person(100), 0.9), (person(110), 0.9), **looks(GREEN, RED)) == {1: 0, 2: 1}


def embedding_after(*frames: dict[str, Any], score: float = 0.9) -> list[float] | None:
    """Of one who stands, seen with 0.9 at first and then with `score`; nobody is seen where nothing is given."""
    tracker = ReferenceBotSort()
    for number, more in enumerate(frames):
        people = [(person(100), score if number else 0.9)] if more else []
        step(tracker, *people, **more)
    embedding = tracker.tracks[0].embedding
    return None if embedding is None else embedding.tolist()


MIXED = (np.array([0.9, 0.1]) / math.hypot(0.9, 0.1)).tolist()


def test_the_embedding_is_a_moving_average_of_unit_length() -> None:
    assert embedding_after(looks((3, 4))) == [0.6, 0.8]
    assert embedding_after(looks((5, 0)), looks((0, 7))) == pytest.approx(MIXED)


def test_a_track_that_is_found_again_averages_on() -> None:
    assert embedding_after(looks(RED), {}, {}, looks(GREEN)) == pytest.approx(MIXED)


def test_a_low_detection_leaves_the_average_alone() -> None:
    assert embedding_after(looks(RED), looks(GREEN), score=0.5) == [1, 0]


def test_rows_without_embedding_are_not_read() -> None:
    nothing = {**looks((math.nan, math.nan)), "embedded": np.array([False])}
    assert embedding_after(looks(RED), nothing) == [1, 0]
    assert embedding_after(nothing, looks(GREEN)) == [0, 1]
    assert embedding_after(nothing, nothing) is None


# --- Lost tracks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remembered", "empty_frames", "found"),
    [(3, 3, True), (3, 4, False), (1, 1, True), (1, 2, False), (0, 1, True), (0, 2, False)],
)
def test_a_lost_track_is_found_until_it_has_expired(remembered: int, empty_frames: int, *, found: bool) -> None:
    """Association comes before expiry, and the frame in which a track is lost never expires it."""
    tracker = ReferenceBotSort(Parameters(max_lost_frames=remembered))
    step(tracker, (person(100), 0.9))
    for _ in range(empty_frames):
        step(tracker)
    assert [t.id for t in tracker.tracks] == ([1] if found else [])
    assert seen(tracker, (person(100), 0.9)) == ({1: 0} if found else {})


def test_what_is_removed_is_not_kept() -> None:
    tracker = ReferenceBotSort(Parameters(max_lost_frames=2))
    for frame in range(200):
        step(tracker, *[(person(100 + 50 * (frame % 7), 100 + 100 * (frame % 3)), 0.9)] * (frame % 4 < 2))
        assert len(tracker.tracks) < 8


def test_a_hundred_frames_without_detections_are_no_trouble() -> None:
    tracker = ReferenceBotSort()
    step(tracker, (person(100), 0.9))
    assert all(step(tracker) == [] for _ in range(100))
    assert tracker.tracks == []


def test_being_found_again_does_not_change_the_start() -> None:
    tracker = ReferenceBotSort()
    for people in ([(person(100), 0.9)], [], [(person(100), 0.9)]):
        step(tracker, *people)
    assert (tracker.tracks[0].start_frame, tracker.tracks[0].last_frame, tracker.tracks[0].life_frames) == (1, 3, 2)


# --- Duplicates ------------------------------------------------------------------------------------------------------


def survivors(*lives_when_lost: int) -> list[int]:
    """Ids after frame 2: the first track, seen in frames 1 and 2 (a life of 1), and lost ones in the same place."""
    tracker = ReferenceBotSort()
    step(tracker, *[(person(100), 0.9)] * (1 + len(lives_when_lost)))
    for lost, life in zip(tracker.tracks[1:], lives_when_lost, strict=True):
        lost.start_frame = 1 - life
    step(tracker, (person(100), 0.9))
    return [t.id for t in tracker.tracks]


def test_of_a_tracked_and_a_lost_track_in_one_place_the_longer_life_stays_and_the_lost_one_on_a_tie() -> None:
    assert survivors(0) == [1]
    assert survivors(1) == [2]
    assert survivors(2) == [2]


def test_all_duplicates_are_judged_before_any_is_removed() -> None:
    assert survivors(1, 0) == [2]
    assert survivors(1, 2) == [2, 3]


def test_duplicates_are_nearer_than_a_distance_of_015() -> None:
    for shift, apart in ((3, False), (4, True)):  # 1 - 37/43 = 0.14 and 1 - 36/44 = 0.18
        tracker = ReferenceBotSort()
        step(tracker, (person(100), 0.9), (person(100 + shift), 0.9))
        step(tracker, (person(100), 0.9))
        assert len(tracker.tracks) == 1 + apart


def test_an_unconfirmed_track_can_be_a_duplicate() -> None:
    tracker = ReferenceBotSort(Parameters(match=0.05))
    step(tracker, (person(100), 0.9))
    step(tracker, (person(100), 0.9))  # 1 - 0.9 = 0.1 is no match here: the first is lost and a second born on it
    assert [(t.id, t.state) for t in tracker.tracks] == [(1, State.LOST)]


# --- Order -----------------------------------------------------------------------------------------------------------


def test_of_equal_detections_the_lower_goes_to_the_lower_id() -> None:
    tracker = ReferenceBotSort()
    step(tracker, (person(100), 0.9), (person(100), 0.9))
    assert seen(tracker, (person(100), 0.9), (person(100), 0.9)) == {1: 0, 2: 1}


def test_of_equally_good_tracks_the_lower_id_is_matched_lost_or_not() -> None:
    tracker = ReferenceBotSort()
    step(tracker, (person(90), 0.9), (person(110), 0.9))
    step(tracker, (person(110), 0.9))
    assert seen(tracker, (person(100), 0.9)) == {1: 0}


def test_rows_come_by_ascending_id() -> None:
    tracker = ReferenceBotSort()
    step(tracker, (person(100), 0.9), (person(300), 0.9))
    step(tracker, (person(300), 0.9))
    assert list(seen(tracker, (person(300), 0.9), (person(100), 0.9))) == [1, 2]


def test_boxes_that_only_touch_do_not_overlap() -> None:
    assert iou_distance(person(100), person(140)) == 1
    assert iou_distance(person(100), person(100)) == 0
    assert iou_distance(person(100), person(120)) == pytest.approx(2 / 3)
