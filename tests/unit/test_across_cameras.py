"""One person, one id, whichever camera sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reidkit.runtime.errors import InvalidConfig, InvalidFile, InvalidInput
from reidkit.runtime.tracking import Tracks
from reidkit.runtime.tracking.across_cameras import AcrossCameras, AcrossCamerasConfig, Passage

DIM = 64
QUICK = AcrossCamerasConfig(interval_s=0.1)


class Scene:
    """People with looks of their own, and cameras that tint them."""

    def __init__(self, config: AcrossCamerasConfig = QUICK, *, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.looks = self.rng.normal(size=(20, DIM))
        self.tints = 0.5 * self.rng.normal(size=(4, DIM))
        self.people = AcrossCameras(config)

    def see(
        self, camera: int, time_s: float, who: dict[int, int], feet: dict[int, tuple[float, float]] | None = None
    ) -> dict[int, int]:
        """One frame: local track -> person, in; local track -> id, out."""
        tracks = np.array(list(who), np.int64)
        count = len(tracks)
        boxes = np.tile([0.0, 0.0, 10.0, 30.0], (count, 1))
        for row, track in enumerate(who):
            if feet is not None:
                x, y = feet[track]
                boxes[row] = [x - 5, y - 30, x + 5, y]
        embeddings = np.stack([self.looks[person] for person in who.values()]) + self.tints[camera]
        embeddings += 0.3 * self.rng.normal(size=embeddings.shape)
        given = Tracks(
            ids=tracks,
            boxes_xyxy=boxes,
            scores=np.ones(count),
            classes=np.zeros(count, np.int64),
            detection_index=np.arange(count),
            confirmed=np.ones(count, np.bool_),
        )
        named = self.people.observe(camera, given, embeddings, timestamp_s=time_s)
        assert named.ids.tolist() == sorted(set(named.ids.tolist()))
        return {
            int(tracks[index]): int(identity) for identity, index in zip(named.ids, named.detection_index, strict=True)
        }

    def watch(self, camera: int, start_s: float, who: dict[int, int], seconds: float = 2.0) -> dict[int, int]:
        """Some seconds of the same people."""
        for step in range(int(10 * seconds)):
            ids = self.see(camera, start_s + step / 10, who)
        return ids


def test_whoever_walks_on_to_another_camera_keeps_the_id() -> None:
    scene = Scene()
    first = scene.watch(0, 0, {1: 0, 2: 1, 3: 2, 4: 3, 5: 4})
    second = scene.watch(1, 5, {1: 4, 2: 2, 3: 0, 4: 7, 5: 3, 6: 8})
    assert [second[track] for track in (1, 2, 3, 5)] == [first[track] for track in (5, 3, 1, 4)]
    assert not {second[4], second[6]} & set(first.values())


def test_who_is_seen_by_two_cameras_at_once_is_one() -> None:
    scene = Scene()
    for step in range(20):
        one = scene.see(0, step / 10, {1: 0, 2: 1, 3: 2})
        other = scene.see(1, step / 10, {7: 2, 8: 1, 9: 5})
    assert other[7] == one[3]
    assert other[8] == one[2]
    assert other[9] not in one.values()


def test_what_was_told_before_can_be_resolved() -> None:
    scene = Scene()
    first = scene.watch(0, 0, {1: 0, 2: 1, 3: 2})
    provisional = scene.see(1, 5, {1: 0})[1]
    final = scene.watch(1, 5.1, {1: 0})[1]
    assert provisional != final == first[1]
    assert scene.people.resolve([provisional, 999]).tolist() == [final, 999]


def test_a_camera_never_shows_one_person_twice() -> None:
    scene = Scene()
    first = scene.watch(0, 0, {1: 0, 2: 1, 3: 2})
    twins = scene.watch(1, 5, {1: 0, 2: 0})
    assert len(set(twins.values())) == 2
    assert first[1] not in twins.values()  # each of the two is the other's rival


def test_a_lost_track_that_comes_back_beside_its_successor_is_somebody_else() -> None:
    scene = Scene()
    scene.watch(0, 0, {1: 0, 2: 1, 3: 2})
    person = scene.watch(1, 5, {1: 0, 2: 3})[1]
    assert scene.watch(1, 8, {4: 0, 2: 3})[2] != person  # camera 1 lost track 1 and began 4
    scene.watch(0, 11, {9: 0, 10: 2})
    both = scene.see(1, 14, {1: 0, 4: 0, 2: 3})
    assert both[1] != both[4]


def test_a_passage_takes_its_time() -> None:
    passages = (Passage(cameras=(0, 1), min_s=4, max_s=20),)
    for start, recognised in ((3.0, False), (8.0, True), (40.0, False)):
        scene = Scene(AcrossCamerasConfig(interval_s=0.1, passages=passages))
        first = scene.watch(0, 0, {1: 0, 2: 1, 3: 2})
        second = scene.watch(1, start, {1: 0})
        assert (second[1] == first[1]) == recognised


def test_where_there_is_no_passage_there_is_nobody_to_recognise() -> None:
    scene = Scene(AcrossCamerasConfig(interval_s=0.1, passages=(Passage(cameras=(0, 1)),)))
    first = scene.watch(0, 0, {1: 0, 2: 1, 3: 2})
    assert scene.watch(2, 5, {1: 0})[1] not in first.values()


def test_one_person_stands_at_one_place() -> None:
    ground = {0: np.eye(3), 1: np.eye(3)}
    for where, recognised in ((50.0, True), (90.0, False)):
        scene = Scene(AcrossCamerasConfig(interval_s=0.1, ground=ground))
        for step in range(20):
            one = scene.see(0, step / 10, {1: 0, 2: 1, 3: 2}, {1: (50, 60), 2: (10, 60), 3: (20, 60)})
            other = scene.see(1, step / 10, {7: 0}, {7: (where, 60.5)})
        assert (other[7] == one[1]) == recognised


def test_people_of_long_ago_cost_nothing() -> None:
    scene = Scene()
    for minute in range(5):
        scene.watch(0, 100.0 * minute, {10 * minute + 1: 0, 10 * minute + 2: 1}, seconds=1)
    assert len(scene.people._people) == len(scene.people._owner) == 2


def test_settings_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "across.yaml"
    path.write_text(
        "min_cosine: 0.5\npassages:\n- {cameras: [0, 1], min_s: 2, max_s: 9}\n- {cameras: [1, 2], overlap: true}\n"
    )
    config = AcrossCamerasConfig.load(path)
    assert config.passages[0] == Passage(cameras=(0, 1), min_s=2, max_s=9)
    assert config.passage(2, 1) == Passage(cameras=(1, 2), overlap=True)
    for text, message in (
        ("min_cosin: 0.5", "min_cosin"),
        ("min_cosine: 2", "min_cosine"),
        ("passages: [{cameras: [0, 0]}]", "one camera to another"),
        ("passages: [{cameras: [0, 1], min: 3}]", "min"),
        ("passages: [{cameras: [0, 1], min_s: 9, max_s: 3}]", "min_s"),
        ("ground: {0: [[1, 0], [0, 1]]}", "homography"),
    ):
        path.write_text(text)
        with pytest.raises(InvalidConfig, match=message):
            AcrossCamerasConfig.load(path)
    with pytest.raises(InvalidFile):
        AcrossCamerasConfig.load(tmp_path / "none.yaml")


def test_arrays_that_do_not_fit_are_refused() -> None:
    scene = Scene()
    scene.see(0, 0, {1: 0})
    given = Tracks(
        np.array([1]), np.zeros((1, 4)), np.ones(1), np.zeros(1, np.int64), np.array([3]), np.ones(1, np.bool_)
    )
    with pytest.raises(InvalidInput, match="embeddings"):
        scene.people.observe(0, given, np.zeros((2, DIM)), timestamp_s=1)
    with pytest.raises(InvalidInput, match="finite"):
        scene.people.observe(0, given, None, timestamp_s=float("nan"))
