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


@pytest.mark.parametrize(("kept_s", "hidden_s"), [(0.0, 40.0), (15.0, 40.0), (120.0, 110.0)])
def test_a_track_keeps_its_id_for_as_long_as_its_tracker_keeps_it(kept_s: float, hidden_s: float) -> None:
    scene = Scene(AcrossCamerasConfig(interval_s=0.1, passages=(Passage(cameras=(0, 1), overlap=True, max_s=1),)))
    scene.people.remember_for(kept_s)
    first = scene.watch(0, 0, {1: 0, 2: 1})
    scene.watch(0, 2, {2: 1}, seconds=hidden_s)
    assert scene.watch(0, 2 + hidden_s, {1: 0, 2: 1}) == first


def test_who_is_known_well_enough_late_may_still_have_come_in_time() -> None:
    scene = Scene(AcrossCamerasConfig(interval_s=0.1, passages=(Passage(cameras=(0, 1), max_s=1),), min_sightings=15))
    first = scene.watch(0, 0, {1: 0, 2: 1, 3: 2})
    assert scene.watch(1, 2.5, {1: 0})[1] == first[1]


def test_people_of_long_ago_cost_nothing() -> None:
    scene = Scene()
    for minute in range(5):
        scene.watch(0, 100.0 * minute, {10 * minute + 1: 0, 10 * minute + 2: 1}, seconds=1)
    assert len(scene.people._people) == len(scene.people._owner) == 2


def test_who_stays_for_long_costs_what_a_minute_of_them_does() -> None:
    scene = Scene(AcrossCamerasConfig(interval_s=2.0))
    ids = set()
    for turn in range(20):
        seen = scene.watch(turn % 2, 30.0 * turn, {turn: 0, 100 + turn: 10 + turn % 8}, seconds=4)
        ids.add(scene.people.resolve([seen[turn]])[0])
    assert len(ids) == 1
    assert max(len(person.sightings) for person in scene.people._people.values()) <= 4
    assert len(scene.people._owner) <= 8


def test_who_was_once_seen_beside_somebody_is_never_taken_for_them() -> None:
    scene = Scene(AcrossCamerasConfig(interval_s=2.0))
    scene.looks[1] = scene.looks[0] + 0.8 * scene.looks[1]  # the same clothes
    for step in range(100):
        here = {1: 0} if step < 10 else {}
        one = scene.see(0, step, {**here, 2: 1, 3: 2, 4: 3})
        other = scene.see(1, step, {11: 0, 13: 2, 14: 3})
        assert one[2] != other[11]
    assert [one[3], one[4]] == [other[13], other[14]]


def test_a_camera_that_lags_keeps_its_tracks_and_finds_its_people() -> None:
    scene = Scene(AcrossCamerasConfig(interval_s=0.5))
    early = [
        (scene.watch(0, 200.0 + step, {1: 0, 2: 1}, seconds=1), scene.watch(1, step, {7: 5, 8: 1}, seconds=1))
        for step in range(6)
    ]
    assert len({ids[7] for _, ids in early}) == 1
    alone = scene.watch(1, 6, {7: 5, 9: 3}, seconds=3)
    assert alone[7] == early[0][1][7]
    assert scene.watch(2, 9.5, {1: 3}, seconds=3)[1] == alone[9]


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("passages: [{cameras: [0, 9]}]", r"passages\[0\]: there is no camera 9: .*0 to 1"),
        ("passages: [{cameras: [-1, 0]}]", "there is no camera -1"),
        ("passages: [{cameras: ['0', '1']}]", r"cameras are two numbers, found \['0', '1'\]"),
        ("passages: [{cameras: [0, 1, 2]}]", r"cameras are two numbers, found \[0, 1, 2\]"),
        ("passages: [{cameras: [true, 0]}]", "cameras are two numbers"),
        ("passages: [{cameras: 3}]", "cameras are two numbers, found 3"),
        ("passages: [{camera: [0, 1]}]", "unknown key 'camera': did you mean 'cameras'"),
        ("passages: [{min_s: 3}]", "names its two cameras"),
        ("passages: [{cameras: [0, 1], overlap: 3}]", "overlap is true or false, found 3"),
        ("passages: [{cameras: [0, 1], min_s: soon}]", "min_s must be a number, found 'soon'"),
        ("passages: [{cameras: [0, 1], max_s: .inf}]", "max_s must be a number"),
        ("passages: [{cameras: [0, 1]}, {cameras: [1, 0]}]", r"two passages between cameras \[0, 1\]"),
        ("passages: {cameras: [0, 1]}", "passages are a list"),
        ("passages: [3]", r"passages\[0\] is 3"),
        ("passages: 5", "passages are a list, found 5"),
        ("min_sightings: 2.5", "min_sightings must be a whole number, found 2.5"),
        ("min_sightings: 6\nhistory: 5", "min_sightings 6 is above history 5"),
        ("margin: '0.1'", "margin must be a number, found '0.1'"),
        ("margin:", "margin must be a number, found None"),
        ("ground: 5", "ground is a homography for each camera"),
        ("ground: {'0': [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}", "by the number of a camera, found '0'"),
        ("ground: {2: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}", "there is no camera 2"),
        ("ground: {0: [[1, 0, 0], [0, 1, 0], [0, 0, one]]}", "camera 0 is no homography"),
        ("ground: {0: [[1, 0, 0], [0, 1, 0], [0, 0, 0]]}", "invertible"),
        ("ground: {0: [[1, 0, 0], [0, 1], [0, 0, 1]]}", "camera 0 is no homography"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "across.yaml"
    path.write_text(text)
    with pytest.raises(InvalidConfig, match=f"across.yaml: .*{message}"):
        AcrossCamerasConfig.load(path, cameras=2)


def test_a_camera_may_have_any_number_where_nobody_knows_how_many_there_are(tmp_path: Path) -> None:
    path = tmp_path / "across.yaml"
    path.write_text("passages: [{cameras: [0, 9]}]")
    assert AcrossCamerasConfig.load(path).passages == (Passage(cameras=(0, 9)),)


def test_what_is_said_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "across.yaml"
    path.write_text("margin: 0.1\npassages:\n- cameras: [0, 1]\n  min_s: 2\n  min_s: 9\n")
    with pytest.raises(InvalidFile, match="min_s is there twice, in lines 4 and 5"):
        AcrossCamerasConfig.load(path)


def test_arguments_of_another_kind_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"AcrossCamerasConfig\.load"):
        AcrossCameras("across.yaml")  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="Passage values"):
        AcrossCamerasConfig(passages=((0, 1),))  # type: ignore[arg-type]


@pytest.mark.parametrize("nonsense", [np.nan, np.inf, -np.inf, 0.0, 1e300])
def test_an_embedding_that_is_none_is_refused_and_spoils_nothing(nonsense: float) -> None:
    scene, whole = Scene(), Scene()
    for one in (scene, whole):
        one.watch(0, 0, {1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5})
    given = Tracks(
        ids=np.array([7, 8]),
        boxes_xyxy=np.tile([0.0, 0.0, 10.0, 30.0], (2, 1)),
        scores=np.ones(2),
        classes=np.zeros(2, np.int64),
        detection_index=np.array([0, 2]),
        confirmed=np.ones(2, np.bool_),
    )
    embeddings = np.ones((3, DIM))
    embeddings[2] = nonsense
    with pytest.raises(InvalidInput, match="embedding of detection 2 is zero or not finite"):
        scene.people.observe(1, given, embeddings, timestamp_s=3.0)
    assert scene.watch(1, 5, {1: 4, 2: 2, 3: 0, 4: 1, 5: 3, 6: 5}) == whole.watch(
        1, 5, {1: 4, 2: 2, 3: 0, 4: 1, 5: 3, 6: 5}
    )
    assert len(scene.people.joined) == 6


def test_rows_that_are_not_set_or_of_no_track_are_never_read() -> None:
    scene = Scene()
    given = Tracks(
        np.array([1, 2]), np.ones((2, 4)), np.ones(2), np.zeros(2, np.int64), np.array([0, 1]), np.ones(2, np.bool_)
    )
    embeddings = np.full((3, DIM), np.nan)
    embeddings[0] = 1
    named = scene.people.observe(0, given, embeddings, embedded=[True, False, True], timestamp_s=1)
    assert named.ids.tolist() == [1, 2]


def test_who_stands_at_the_horizon_has_no_place() -> None:
    scene = Scene(AcrossCamerasConfig(ground={0: np.array([[1.0, 0, 0], [0, 1, 0], [0, 0.01, -1]])}))
    assert scene.see(0, 0, {1: 0}, {1: (50, 100)}) == {1: 1}


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
    ids, box = np.array([1]), np.zeros((1, 4))
    given = Tracks(ids, box, np.ones(1), np.zeros(1, np.int64), np.array([0]), np.ones(1, np.bool_))
    one = np.ones((1, DIM))
    for embeddings, options, message in (
        ([[1.0], [1.0, 2.0]], {}, r"embeddings must be \(N, D\) floats, found list"),
        (np.ones((1, DIM + 1)), {}, f"width {DIM + 1}, those before had {DIM}"),
        (one, {"embedded": [1]}, "embedded must be"),
        (one, {"embedded": [[True], [True, False]]}, "embedded must be"),
        (one, {"timestamp_s": "now"}, "timestamp_s must be a number of seconds, found 'now'"),
    ):
        with pytest.raises(InvalidInput, match=message):
            scene.people.observe(0, given, embeddings, **{"timestamp_s": 1.0, **options})
