"""Classes that are kept apart, voted on and have thresholds of their own; regions where nobody is looked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from reference.sequences import generate
from small_scenes import EYE, boxes, update

from reidkit.runtime import BotSort, BotSortConfig
from reidkit.runtime.errors import InvalidConfig, InvalidInput
from reidkit.runtime.tracking.explanation import explain
from reidkit.runtime.tracking.regions import standing_in
from reidkit.runtime.tracking.translation import translate

SQUARE = ((100.0, 200.0), (200.0, 200.0), (200.0, 300.0), (100.0, 300.0))
SETTINGS: dict[str, Any] = {
    "class_scores": {2: {"high_score": 0.5, "new_track_score": 0.5}},
    "other_class_penalty": 0.3,
    "class_vote": True,
    "ignored_regions": (SQUARE, ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5))),
}
PICTURE = np.zeros((480, 640), np.uint8)


def test_a_penalty_of_one_keeps_classes_apart() -> None:
    for penalty, ids in ((0.0, [1]), (0.3, [1]), (1.0, [])):
        tracker = BotSort(BotSortConfig(other_class_penalty=penalty, min_iou_for_appearance=0.0))
        update(tracker, 0, classes=[0], embeddings=EYE[:1])
        assert update(tracker, 0, classes=[1], embeddings=EYE[:1]).ids.tolist() == ids


def test_with_a_penalty_the_nearer_box_of_another_class_loses() -> None:
    for penalty, index in ((0.0, 0), (0.5, 1)):
        tracker = BotSort(BotSortConfig(other_class_penalty=penalty))
        update(tracker, 0, classes=[0])
        assert update(tracker, 2, 8, classes=[1, 0]).detection_index.tolist() == [index]


def test_low_detections_and_the_lost_are_kept_apart_too() -> None:
    tracker = BotSort(BotSortConfig(other_class_penalty=1.0, long_term_min_cosine=0.5, long_term_lost_frames=100))
    update(tracker, 0, classes=[0], embeddings=EYE[:1])
    assert len(update(tracker, 0, classes=[1], score=0.3)) == 0
    for _ in range(2):
        tracks = update(tracker, 60, classes=[1], embeddings=EYE[:1])
    assert tracks.ids.tolist() == [2]
    assert update(tracker, 0, 60, classes=[0, 1], embeddings=EYE[[0, 0]]).ids.tolist() == [1, 2]


def test_a_track_keeps_the_class_of_most_of_its_detections() -> None:
    tracker = BotSort(BotSortConfig(class_vote=True))
    told = [int(update(tracker, 0, classes=[number]).classes[0]) for number in (0, 1, 0, 0, 1, 1, 1, 1, 1, 1, 2, 1)]
    assert told == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    tracker = BotSort(BotSortConfig(class_vote=True))
    update(tracker, 0, classes=[3], score=0.7)
    assert update(tracker, 0, classes=[5], score=0.9).classes.tolist() == [5]
    assert [update(BotSort(), 0, classes=[number]).classes.tolist() for number in (3, 5)] == [[3], [5]]


def test_a_class_has_thresholds_of_its_own() -> None:
    own = {2: {"high_score": 0.3, "new_track_score": 0.4, "min_embedding_score": 0.35}, 7: {"low_score": 0.5}}
    tracker = BotSort(BotSortConfig(class_scores=own))
    scores, classes = [0.45, 0.45, 0.32, 0.9], [2, 0, 2, 2]
    assert tracker.wanted(boxes(0, 200, 400, 600), scores, classes=classes).tolist() == [0, 3]
    assert tracker.update(boxes(0, 200, 400, 600), scores, classes=classes).detection_index.tolist() == [0, 3]
    for number, ids in ((0, [1]), (7, [])):
        tracker = BotSort(BotSortConfig(class_scores=own))
        update(tracker, 0, classes=[number])
        assert update(tracker, 0, classes=[number], score=0.4).ids.tolist() == ids


@pytest.mark.parametrize("seed", range(6))
def test_who_stands_in_a_region_is_as_good_as_not_detected(seed: int) -> None:
    sequence = generate(seed)
    feet = np.concatenate([frame.boxes_xyxy for frame in sequence.frames])
    x, y = np.median((feet[:, 0] + feet[:, 2]) / 2) + 1e-3, np.median(feet[:, 3]) + 1e-3
    region = ((x, -1e4), (1e4, -1e4), (1e4, y), (x, y))
    ignoring, told_less = BotSort(BotSortConfig(ignored_regions=(region,))), BotSort()
    left_out = 0
    for frame in sequence.frames:
        kept = np.flatnonzero(
            ((frame.boxes_xyxy[:, 0] + frame.boxes_xyxy[:, 2]) / 2 <= x) | (frame.boxes_xyxy[:, 3] >= y)
        )
        left_out += len(frame.scores) - kept.size
        whole = ignoring.update(frame.boxes_xyxy, frame.scores)
        some = told_less.update(frame.boxes_xyxy[kept], frame.scores[kept])
        assert whole.ids.tolist() == some.ids.tolist()
        assert whole.detection_index.tolist() == kept[some.detection_index].tolist()
    assert left_out


def test_corners_within_one_are_shares_of_the_picture() -> None:
    shares = (((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0)),)
    people = np.array([[10.0, 10, 50, 239], [10, 10, 50, 241], [-80, 10, -20, 400], [10, 300, 50, 900]])
    assert standing_in(shares, people, size=(640, 480)).tolist() == [False, True, True, True]
    tracker = BotSort(BotSortConfig(ignored_regions=shares))
    for call in (tracker.wanted, tracker.update):
        with pytest.raises(InvalidInput, match="pass frame="):
            call(people, np.full(4, 0.9))
    assert tracker.wanted(people, np.full(4, 0.9), frame=PICTURE).tolist() == [0]
    assert tracker.update(people, np.full(4, 0.9), frame=PICTURE).detection_index.tolist() == [0]


def test_a_region_may_be_hollow() -> None:
    hollow = (((0.0, 0.0), (90, 0), (90, 90), (60, 90), (60, 30), (30, 30), (30, 90), (0, 90)),)
    feet = np.array([[15.0, 60], [45, 60], [75, 60], [45, 15]])
    people = np.column_stack([feet[:, 0] - 5, feet[:, 1] - 20, feet[:, 0] + 5, feet[:, 1]])
    assert standing_in(hollow, people, size=None).tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ignored_regions": 5}, "give a list of polygons"),
        ({"ignored_regions": [[[0, 0], [1, 1]]]}, "polygon 0"),
        ({"ignored_regions": [[[0, 0], [1, 1], [2, 2]]]}, "no area"),
        ({"ignored_regions": [[[0, 0], [1, "a"], [2, 2]]]}, "polygon 0"),
        ({"ignored_regions": [[[0, 0], [1, float("nan")], [2, 2]]]}, "polygon 0"),
        ({"ignored_regions": [[[0, 0], [1, 10**400], [2, 2]]]}, "polygon 0"),
        ({"class_scores": {"--1": {"high_score": 0.5}}}, "give the class's number"),
        ({"class_scores": [0.5]}, "give class numbers"),
        ({"class_scores": {"person": {"high_score": 0.5}}}, "give the class's number"),
        ({"class_scores": {1: {"high_scores": 0.5}}}, "did you mean 'high_score'"),
        ({"class_scores": {1: {"high_score": 1.5}}}, "not within 0 and 1"),
        ({"class_scores": {1: {"high_score": 0.05}}}, "low_score 0.1 of class 1 is above"),
        ({"other_class_penalty": 1.1}, "within 0 and 1"),
        ({"class_vote": 1}, "type bool"),
    ],
)
def test_what_means_nothing_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig) as error:
        BotSortConfig(**settings)
    assert message in str(error.value)


def test_a_file_a_snapshot_and_a_translation_keep_them(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    written = json.loads(json.dumps({key: value for key, value in SETTINGS.items() if key != "class_scores"}))
    path.write_text(yaml.safe_dump(written | {"class_scores": SETTINGS["class_scores"]}))
    config = BotSortConfig.load(path)
    assert config == BotSortConfig(**SETTINGS)
    assert translate(config, "reidkit").lost == {}
    assert set(SETTINGS) <= set(translate(config, "official").lost)
    tracker = BotSort(config)
    for frame in range(3):
        update(tracker, 10 * frame, classes=[frame % 2], frame=PICTURE)
    tracker.save(tmp_path / "state")
    restored = BotSort.restore(tmp_path / "state")
    assert restored.config == config
    for _ in range(3):
        first, second = (update(one, 30, classes=[1], frame=PICTURE) for one in (tracker, restored))
        assert (first.ids.tolist(), first.classes.tolist()) == (second.ids.tolist(), second.classes.tolist())


def test_the_native_core_refuses_what_it_does_not_do() -> None:
    for name, value in SETTINGS.items():
        with pytest.raises(InvalidConfig, match=f"{name} is .* native core"):
            BotSort(BotSortConfig(core="native", **{name: value}))


def test_they_are_explained() -> None:
    said = {(gate.decides, gate.condition) for gate in explain(BotSortConfig(**SETTINGS)).gates}
    assert ("class 2: its own thresholds", "high_score 0.5, new_track_score 0.5") in said
    assert ("left out", "feet within (0, 0) (0.5, 0) (0, 0.5), shares of the picture") in said
    assert ("matched with another class", "IoU less 0.3") in said
    assert ("a track's", "that of most of its detections, by score") in said
