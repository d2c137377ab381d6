"""The rendered street: the same for a seed, true to its ground truth, and a test of appearance."""

from __future__ import annotations

import hashlib
import json
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from reidkit.calibration.commands.street import street as street_command
from reidkit.calibration.metrics import score_tracking
from reidkit.calibration.street import Street, StreetConfig, StreetFrame, write_sequence
from reidkit.calibration.street.camera import Camera
from reidkit.calibration.street.detecting import ImaginedDetector
from reidkit.runtime.artifact.digests import MANIFEST_FILE
from reidkit.runtime.errors import InvalidFile, InvalidInput
from reidkit.runtime.tracking import BotSort, BotSortConfig
from reidkit.runtime.video.mot_files import MotTable, read_detections, read_tracks
from reidkit.runtime.video.sequence_info import read_sequence_info

SMALL = StreetConfig(seed=4, people=8, frames=24, width=240, height=180, fps=4)
FILES = {
    "gt/gt.txt": "07b68bf3d6b22c2d0a2bc42861c16c9c1e839671ed485d46b31af684462231d9",
    "det/det.txt": "676145f55cdcfe49015020c36ab37b09975da09246cfb94a5da9ecb3d745e8b7",
    "seqinfo.ini": "4b7ab4cf3a6782eb0ab984382eb5349259182357f59e291fa02fbc047799c9e1",
}


@pytest.fixture(scope="module")
def frames() -> list[StreetFrame]:
    return list(Street(SMALL))


def digest(frames: list[StreetFrame]) -> str:
    total = hashlib.sha256()
    for frame in frames:
        arrays = (frame.image, frame.ids, frame.boxes_xyxy, frame.visibility)
        for array in (*arrays, frame.detections.boxes_xyxy, frame.detections.scores):
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def test_a_seed_gives_the_same_bytes_everywhere() -> None:
    still, pan = (Street(replace(SMALL, frames=4, camera=camera)) for camera in ("still", "pan"))
    assert digest(list(still)) == "2d0bd70b3730ef1bfd24d562073215949af59b9fb2862f11b3ae9cfa7cccf06d"
    assert digest(list(pan)) == "a33e300abcc992cd60178ae95071add5ac178e3d2231928d600c3e6a19e2ef6e"
    assert digest(list(still)) == digest(list(still))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"seed": 0, "camera": "pan"}, "63f7f699ed3cf9287626bbd66b13829fa6c2e7f6cf8680ade7f8a1ce40614e1c"),
        (
            {"seed": 2, "people": 40, "look_alikes": 9, "width": 96, "height": 128},
            "17a321213387be58098dad38c2e97fc9482fde5848e90ac8c5b65b4acf26629d",
        ),
        (
            {"seed": 3, "camera": "pan", "width": 300, "height": 100},
            "dc37e10ec621caf015931fc4e62e318c750b002ca25c623138b0386fb8adcd8e",
        ),
    ],
    ids=["pan", "crowd", "wide"],
)
def test_streets_of_all_kinds_stay_what_they_were(change: dict[str, Any], expected: str) -> None:
    assert digest(list(Street(replace(SMALL, frames=3, fps=1, **change)))) == expected


def test_the_files_of_a_seed_stay_what_they_were(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs the extra 'video'")
    config = replace(SMALL, frames=40, width=64, height=64)
    folder = write_sequence(Street(config), tmp_path / "seq", images=True).truth_file.parents[1]
    assert {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in FILES} == FILES


def test_another_seed_is_another_street(frames: list[StreetFrame]) -> None:
    other = next(iter(Street(replace(SMALL, seed=5))))
    assert np.abs(other.image.astype(np.int64) - frames[0].image).mean() > 10


def test_more_frames_show_the_same_people() -> None:
    assert Street(SMALL).figures == Street(replace(SMALL, frames=50, width=320)).figures


def test_frames_hold_what_their_docstring_says(frames: list[StreetFrame]) -> None:
    assert len(frames) == len(Street(SMALL)) == SMALL.frames
    for frame in frames:
        assert frame.image.shape == (SMALL.height, SMALL.width, 3)
        assert frame.image.dtype == np.uint8
        assert len(frame.ids) == len(frame.boxes_xyxy) == len(frame.visibility)
        assert set(frame.ids.tolist()) <= set(range(1, SMALL.people + 1))
        assert (np.diff(frame.ids) > 0).all()
        assert (frame.visibility >= 0.1).all()
        assert (frame.visibility <= 1).all()
        assert (frame.boxes_xyxy[:, 2:] > frame.boxes_xyxy[:, :2] + 3).all()


def test_somebody_leaves_and_comes_back_and_somebody_hides() -> None:
    present = np.zeros((120, 12), bool)
    hidden = 0
    for number, frame in enumerate(Street(replace(SMALL, people=12, frames=120, fps=3, width=64, height=64))):
        present[number, frame.ids - 1] = True
        hidden += int(np.count_nonzero(frame.visibility < 0.5))
    entries = np.count_nonzero(present[1:] & ~present[:-1], axis=0)
    assert entries.max() >= 3
    assert hidden > 20


def test_people_are_smaller_when_further_away(frames: list[StreetFrame]) -> None:
    feet = np.concatenate([frame.boxes_xyxy[:, 3] for frame in frames])
    heights = np.concatenate([frame.boxes_xyxy[:, 3] - frame.boxes_xyxy[:, 1] for frame in frames])
    eye_m = heights / (feet - 0.3 * SMALL.height)  # of the camera's height: the same for the same person
    assert np.ptp(heights) > 20
    assert np.ptp(eye_m) < 0.25


def test_boxes_hold_the_people_who_are_seen() -> None:
    """Without people there is the backdrop: what differs from it lies in boxes or in their shadows."""
    config = replace(SMALL, people=1, look_alikes=0, frames=40)
    street = list(Street(config))
    backdrop = np.median([frame.image for frame in street], axis=0)
    checked = 0
    for frame in street:
        if len(frame.ids) == 1 and frame.visibility[0] == 1:
            x1, y1, x2, y2 = frame.boxes_xyxy[0].astype(int)
            gain = np.median(frame.image.mean(axis=2) / np.maximum(backdrop.mean(axis=2), 1))
            change = np.abs(frame.image - backdrop * gain).max(axis=2)
            middle = change[(y1 + y2) // 2 - 4 : (y1 + y2) // 2, (x1 + x2) // 2 - 1 : (x1 + x2) // 2 + 2].mean()
            above = change[max(y1 - 12, 0) : max(y1 - 2, 1), x1:x2].mean()
            assert middle > above
            checked += 1
    assert checked > 5


def test_look_alikes_wear_the_same_clothes_and_nobody_else_does() -> None:
    config = replace(SMALL, people=20, look_alikes=6)
    clothes = [
        (figure.top, figure.top_second, figure.top_pattern, figure.bottom, figure.bottom_kind, figure.top_length)
        for figure in Street(config).figures
    ]
    assert clothes[14:] == clothes[:6]
    assert len(set(clothes)) == 14


def test_a_turned_camera_sees_what_the_straight_one_sees_elsewhere() -> None:
    camera = Camera.facing_street(640, 480).turned(0.07)
    x, y = camera.straight(np.array([10.0, 600.0]), np.array([[5.0], [470.0]]))
    for column in range(2):
        for row in range(2):
            back = camera.from_straight(float(x[column]), float(y[row, column]))
            np.testing.assert_allclose(back, ((10.0, 600.0)[column], (5.0, 470.0)[row]))
    seen = camera.project(np.array([2.0]), np.array([9.0]))
    np.testing.assert_allclose(camera.from_straight(*camera.place(2.0, 0, 9.0)), (seen.x[0], seen.y[0]))


def test_a_panning_camera_moves_the_picture() -> None:
    frames = list(Street(replace(SMALL, camera="pan", frames=12)))
    still = list(Street(replace(SMALL, frames=12)))
    moved, stayed = (
        np.abs(part[11].image[:60].astype(np.int64) - part[0].image[:60]).mean() for part in (frames, still)
    )
    assert moved > 2 * stayed


def test_the_detector_misses_the_hidden_and_doubts_the_half_hidden() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    detector = ImaginedDetector(640, 480, rng=rng)
    left = np.arange(6) * 100.0
    boxes = np.stack([left, left * 0 + 100, left + 40, left * 0 + 220], axis=1)
    visibility = np.array([1.0, 0.8, 0.6, 0.4, 0.2, 0.0])
    found, scores, alarms = np.zeros(6), np.zeros(6), 0
    for _ in range(500):
        seen = detector.detect(boxes, visibility)
        assert (np.diff(seen.scores) <= 0).all()
        apart = np.abs(seen.boxes_xyxy[:, None] - boxes[None]).max(axis=2)
        nearest = apart.argmin(axis=1)
        true = apart.min(axis=1) < 30
        alarms += int(np.count_nonzero(~true))
        np.add.at(found, nearest[true], 1)
        np.add.at(scores, nearest[true], seen.scores[true])
    assert found[0] > 480
    assert found[5] < 10
    assert (np.diff(found) < 15).all()
    assert (np.diff((scores / np.maximum(found, 1))[:4]) < -0.05).all()
    assert 20 < alarms < 120


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"people": 0}, "people is 0: choose between 1 and 500"),
        ({"look_alikes": 5}, "5 look-alikes among 8 people: choose at most 4"),
        ({"frames": 0}, "frames is 0"),
        ({"width": 40}, "width is 40"),
        ({"width": 1000}, "at most 3 times as wide as high"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"seed": -1}, "seed is -1"),
    ],
    ids=str,
)
def test_what_cannot_be_rendered_is_refused(change: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        replace(SMALL, **change)  # type: ignore[arg-type]


def test_one_person_and_a_crowd_can_be_rendered() -> None:
    for people in (1, 2, 60):
        config = replace(SMALL, people=people, look_alikes=0, frames=2, camera="pan", width=540)
        assert len(list(Street(config))) == 2


def test_a_sequence_is_read_back_as_it_was_written(frames: list[StreetFrame], tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs the extra 'video'")
    told: list[int] = []
    written = write_sequence(Street(SMALL), tmp_path / "street-4", on_frame=told.append)
    truth, found = read_tracks(written.truth_file), read_detections(written.detections_file)
    assert told == list(range(1, SMALL.frames + 1))
    assert len(truth) == written.boxes == sum(len(frame.ids) for frame in frames)
    assert sum(map(len, found.values())) == written.detections
    np.testing.assert_array_equal(truth.frames, np.repeat(told, [len(frame.ids) for frame in frames]))
    np.testing.assert_allclose(truth.visibility, np.concatenate([frame.visibility for frame in frames]), atol=6e-4)
    boxes = np.concatenate([frame.boxes_xyxy for frame in frames])
    np.testing.assert_allclose(truth.boxes_xywh[:, 2:], boxes[:, 2:] - boxes[:, :2], atol=0.006)
    np.testing.assert_allclose(found[3].boxes_xyxy, frames[2].detections.boxes_xyxy, atol=0.02)
    assert set(truth.classes) == {1}
    assert read_sequence_info(tmp_path / "street-4" / "seqinfo.ini").frame_rate == SMALL.fps
    with av.open(str(written.input)) as video:
        decoded = [frame.to_ndarray(format="bgr24") for frame in video.decode(video=0)]
    assert len(decoded) == SMALL.frames
    assert np.abs(decoded[5].astype(np.int64) - frames[5].image).mean() < 8


def test_a_sequence_of_images(frames: list[StreetFrame], tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs the extra 'video'")
    written = write_sequence(Street(replace(SMALL, frames=2)), tmp_path / "images", images=True)
    assert sorted(path.name for path in written.input.iterdir()) == ["000001.jpg", "000002.jpg"]
    assert cv2.imread(str(written.input / "000001.jpg")).shape == (SMALL.height, SMALL.width, 3)


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs the extra 'video'")

    def fail(number: int) -> None:
        if number == 3:
            raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError, match="plug"):
        write_sequence(Street(SMALL), tmp_path / "street", on_frame=fail)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(InvalidInput, match="mine exists and is not an empty folder: choose another name"):
        write_sequence(Street(SMALL), tmp_path / "mine")
    with pytest.raises(InvalidInput, match=r"notes\.txt exists and is not an empty folder"):
        write_sequence(Street(SMALL), tmp_path / "mine" / "notes.txt")
    with pytest.raises(InvalidFile, match=r"cannot write .*notes.txt/street"):
        write_sequence(Street(SMALL), tmp_path / "mine" / "notes.txt" / "street")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_street_takes_no_artifact_s_place(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_text("{}")
    with pytest.raises(InvalidInput, match="not an empty folder"):
        write_sequence(Street(SMALL), tmp_path)
    assert (tmp_path / MANIFEST_FILE).read_text() == "{}"


@pytest.mark.parametrize("images", [False, True])
def test_a_full_disk_is_told_and_leaves_nothing(images: bool, tmp_path: Path) -> None:
    pytest.importorskip("cv2" if images else "av", reason="needs the extra 'video'")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))  # no file may grow beyond so many bytes
    try:
        with pytest.raises(InvalidFile, match="cannot write"):
            write_sequence(Street(SMALL), tmp_path / "street", images=images)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def run(*arguments: object) -> Result:
    return CliRunner().invoke(street_command, [str(argument) for argument in arguments])


def test_the_command_writes_a_sequence_and_says_where(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs the extra 'video'")
    options = ("--frames", 3, "--size", "128x96", "--people", 4, "--look-alikes", 1, "--camera", "pan", "--seed", 9)
    result = run("--output", tmp_path, *options, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["frames"] == 3
    assert [Path(report[key]).is_file() for key in ("input", "detections", "gt")] == [True] * 3
    assert Path(report["gt"]).parts[-3] == "street-9"
    result = run("--output", tmp_path, *options, "--name", "again")
    assert (result.exit_code, "again/street.mp4" in result.stdout) == (0, True)


@pytest.mark.parametrize("people", [1, 2, 3])
def test_a_few_people_are_rendered_without_more_to_say(people: int, tmp_path: Path) -> None:
    result = run("--output", tmp_path, "--people", people, "--frames", 2, "--size", "128x96")
    assert result.exit_code == 0, result.output


def test_the_command_explains_what_is_wrong(tmp_path: Path) -> None:
    assert run("--output", tmp_path, "--size", "large").exit_code == 2
    result = run("--output", tmp_path, "--people", 3, "--look-alikes", 2, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["type"] == "InvalidInput"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_trained_network_helps_to_keep_identities(shared_data: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnxruntime'")
    cv2 = pytest.importorskip("cv2", reason="needs the extra 'video'")
    session = onnxruntime.InferenceSession(shared_data / "reid_weights" / "osnet_x0_25_msmt17.onnx")

    def embedded(frame: StreetFrame) -> NDArray[np.float32]:
        corners = np.clip(frame.detections.boxes_xyxy, 0, (640, 480, 640, 480)).astype(int)
        crops = [cv2.resize(frame.image[y1:y2, x1:x2, ::-1], (128, 256)) for x1, y1, x2, y2 in corners]
        pixels = (np.stack(crops) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        embeddings: NDArray[np.float32] = session.run(
            None, {"images": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)}
        )[0]
        return embeddings

    settings = BotSortConfig(
        frame_rate=15, max_lost_frames=45, min_iou_for_appearance=0.1, min_cosine=0.6, long_term_min_cosine=0.6
    )
    trackers = {"appearance": BotSort(settings), "motion": BotSort(replace(settings, with_reid=False))}
    rows: dict[str, list[tuple[float, ...]]] = {"truth": [], "appearance": [], "motion": []}
    for number, frame in enumerate(Street(StreetConfig(seed=0)), 1):
        for identity, box in zip(frame.ids, frame.boxes_xyxy, strict=True):
            rows["truth"].append((number, identity, *box))
        for name, tracker in trackers.items():
            with_embeddings = name == "appearance" and len(frame.detections) > 0
            tracks = tracker.update(
                frame.detections.boxes_xyxy,
                frame.detections.scores,
                embeddings=embedded(frame) if with_embeddings else None,
            )
            rows[name] += [(number, track.id, *track.box_xyxy) for track in tracks]
    truth = table(rows["truth"])
    scores = {name: score_tracking(truth, table(rows[name])).percentages() for name in trackers}
    for measure, gain in (("HOTA", 8), ("IDF1", 10)):
        assert scores["appearance"][measure] > scores["motion"][measure] + gain


def table(rows: list[tuple[float, ...]]) -> MotTable:
    columns = np.array(rows, np.float64)
    boxes = np.concatenate([columns[:, 2:4], columns[:, 4:6] - columns[:, 2:4]], axis=1)
    ones, identities = np.ones(len(rows)), columns[:, 1].astype(np.int64)
    return MotTable(columns[:, 0].astype(np.int64), identities, boxes, ones, np.full(len(rows), -1), ones)
