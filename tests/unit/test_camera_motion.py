"""Camera motion: estimated from frames, read from a file, or given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reidkit.runtime import BotSort, BotSortConfig
from reidkit.runtime.errors import InvalidFile, InvalidInput
from reidkit.runtime.tracking.camera_motion import (
    AutoMotion,
    CameraMotion,
    PrecomputedMotion,
    camera_motion_of,
)

cv2 = pytest.importorskip("cv2", reason="needs OpenCV")

WIDTH, HEIGHT = 640, 480
LOOKING = ("auto", "sparse_flow", "orb", "ecc")
PAN = np.array([[1.0, 0.0, 6.0], [0.0, 1.0, -4.0]])
ZOOM = np.array([[1.01, 0.0, 2.0], [0.0, 1.01, 1.0]])
ROLL = np.array([[np.cos(0.01), -np.sin(0.01), 3.0], [np.sin(0.01), np.cos(0.01), 0.0]])


def scene(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def warped(picture: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(picture, affine, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)


def error(found: np.ndarray, expected: np.ndarray) -> float:
    corners = np.array([[0, 0, 1], [WIDTH, 0, 1], [0, HEIGHT, 1], [WIDTH, HEIGHT, 1]], float)
    return float(np.abs(corners @ found.T - corners @ expected.T).max())


def motion_of(method: str) -> CameraMotion:
    motion = camera_motion_of(BotSortConfig(camera_motion=method))
    assert motion is not None
    return motion


@pytest.mark.parametrize(
    ("method", "tolerance", "affine"),
    [
        pytest.param(method, tolerance, affine, id=f"{method}-{name}")
        for method, tolerance in (("auto", 0.1), ("sparse_flow", 0.75), ("orb", 1.5), ("ecc", 0.75))
        for name, affine in (("pan", PAN), ("zoom", ZOOM), ("roll", ROLL))
        if (method, name) != ("ecc", "zoom")  # its motions, the authors', have no zoom
    ],
)
def test_a_known_motion_is_found(method: str, tolerance: float, affine: np.ndarray) -> None:
    motion, first = motion_of(method), scene()
    np.testing.assert_array_equal(motion.estimate(first), np.eye(2, 3))
    assert error(motion.estimate(warped(first, affine)), affine) < tolerance


@pytest.mark.parametrize("method", LOOKING)
def test_what_has_no_corners_and_a_change_of_size_give_the_identity(method: str) -> None:
    motion = motion_of(method)
    black, flat = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    for frame in (black, black, flat, flat, scene(), black, scene()[:300], scene(), scene()[:1, :1], scene()[:2, :3]):
        np.testing.assert_array_equal(motion.estimate(frame), np.eye(2, 3))


@pytest.mark.parametrize("method", LOOKING)
def test_frames_of_any_size_are_borne(method: str) -> None:
    motion, picture = motion_of(method), scene()
    for height, width in ((1, 640), (480, 1), (2, 2), (7, 33), (17, 16), (33, 31), (65, 64), (64, 131)):
        for _ in range(2):
            assert np.isfinite(motion.estimate(picture[:height, :width])).all()


@pytest.mark.parametrize("method", ["auto", "sparse_flow", "orb"])
def test_a_cut_gives_the_identity_and_the_motion_after_it_is_found(method: str) -> None:
    motion = motion_of(method)
    motion.estimate(scene(0))
    np.testing.assert_array_equal(motion.estimate(scene(1)), np.eye(2, 3))
    assert error(motion.estimate(warped(scene(1), PAN)), PAN) < 1.5


@pytest.mark.parametrize("method", LOOKING)
def test_grey_frames_tell_what_coloured_ones_do(method: str) -> None:
    first, second = scene(), warped(scene(), PAN)
    coloured, grey = motion_of(method), motion_of(method)
    for frame in (first, second):
        expected = coloured.estimate(frame)
        found = grey.estimate(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", LOOKING)
def test_a_run_is_repeatable_and_a_reset_begins_anew(method: str) -> None:
    motion, frames = motion_of(method), [scene(), warped(scene(), ROLL), warped(scene(), PAN)]
    first = [motion.estimate(frame) for frame in frames]
    motion.reset()
    np.testing.assert_array_equal([motion.estimate(frame) for frame in frames], first)


@pytest.mark.parametrize("method", LOOKING)
def test_frames_are_needed_and_may_be_reused(method: str) -> None:
    motion, frame = motion_of(method), cv2.cvtColor(scene(), cv2.COLOR_BGR2GRAY)
    motion.estimate(frame)
    frame[:] = warped(frame.copy(), PAN)
    assert error(motion.estimate(frame), PAN) < 1.5
    with pytest.raises(InvalidInput, match="pass frame="):
        BotSort(BotSortConfig(camera_motion=method)).update([], [])


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((480, 640, 3)),
        np.zeros((480, 640, 4), np.uint8),
        np.zeros((0, 640, 3), np.uint8),
        np.zeros(5, np.uint8),
    ],
    ids=["floats", "alpha", "empty", "row"],
)
@pytest.mark.parametrize("method", LOOKING)
def test_what_is_no_picture_is_refused(method: str, frame: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="frame must be"):
        motion_of(method).estimate(frame)


def auto() -> AutoMotion:
    return AutoMotion(pixels=600_000, points=2000)


def test_auto_calls_a_noisy_still_camera_still_however_long_it_stands() -> None:
    motion, picture, rng = auto(), scene(), np.random.default_rng(1)
    for _ in range(20):
        noisy = np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
        np.testing.assert_array_equal(motion.estimate(noisy), np.eye(2, 3))


def test_auto_loses_nothing_of_a_camera_that_creeps() -> None:
    motion, picture = auto(), scene()
    total = np.zeros(2)
    for step in range(41):
        total += motion.estimate(warped(picture, np.array([[1, 0, 0.05 * step], [0, 1, 0.0]])))[:, 2]
    assert np.abs(total - [2.0, 0.0]).max() < 0.2, total


def test_auto_sees_the_camera_through_a_change_of_light() -> None:
    motion, picture = auto(), scene()
    motion.estimate(picture)
    darker = (0.8 * warped(picture, PAN) + 10).astype(np.uint8)
    assert error(motion.estimate(darker), PAN) < 0.1


def test_auto_does_not_take_people_for_the_background() -> None:
    """A crowd of two thirds of the frame walks to the right past a camera that turns."""
    crowd = np.array([[0.0, 0.0, WIDTH * 2 / 3, HEIGHT]])
    motion, people, houses = auto(), scene(5), scene()
    first, second = houses.copy(), warped(houses, PAN)
    last = int(crowd[0, 2])
    first[:, :last], second[:, :last] = people[:, :last], np.roll(people, 14, axis=1)[:, :last]
    motion.estimate(first, crowd)
    assert error(motion.estimate(second, crowd), PAN) < 0.2
    unmasked = auto()
    unmasked.estimate(first)
    assert error(unmasked.estimate(second), PAN) > 5


def test_auto_takes_a_frame_full_of_people_for_a_still_camera() -> None:
    motion, everywhere = auto(), np.array([[-50.0, -50.0, 1e7, 1e7]])
    for step in range(3):
        np.testing.assert_array_equal(motion.estimate(np.roll(scene(), 9 * step, axis=1), everywhere), np.eye(2, 3))


def test_the_tracker_masks_out_its_detections() -> None:
    """The same crowd, told to `BotSort` as a detection: a lost person's box follows the camera, not the crowd."""
    crowd, bystander = [0.0, 0.0, WIDTH * 2 / 3, HEIGHT], [500.0, 100.0, 540.0, 200.0]
    houses, people = scene(), scene(5)
    first, second = houses.copy(), warped(houses, PAN)
    last = int(crowd[2])
    first[:, :last], second[:, :last] = people[:, :last], np.roll(people, 14, axis=1)[:, :last]
    tracker = BotSort(BotSortConfig(camera_motion="auto", with_reid=False))
    tracker.update([crowd, bystander], [0.9, 0.9], frame=first)
    moved = np.array(bystander) + np.tile(PAN[:, 2], 2)
    tracks = tracker.update([crowd, moved], [0.9, 0.9], frame=second)
    np.testing.assert_allclose(tracks.boxes_xyxy[1], moved, atol=0.1)


@pytest.mark.parametrize("with_frame", [True, False], ids=["frame", "no frame"])
@pytest.mark.parametrize("method", LOOKING)
def test_a_motion_that_is_given_is_not_estimated_once_more(method: str, with_frame: bool) -> None:
    tracker = BotSort(BotSortConfig(camera_motion=method, with_reid=False))
    box = np.array([[300.0, 200.0, 340.0, 300.0]])
    pans = [np.array([[1.0, 0, 6 * step], [0, 1, -4 * step]]) for step in range(4)]
    for pan in pans[:2]:
        tracker.update(box + np.tile(pan[:, 2], 2), [0.9], frame=warped(scene(), pan))
    given = warped(scene(), pans[2]) if with_frame else None
    tracker.update([], [], frame=given, camera_motion=PAN)
    tracker.update([], [], frame=warped(scene(), pans[3]))
    moved = pans[3] if with_frame else pans[2]  # the first frame after a gap tells no motion
    found = tracker.update(box + np.tile(moved[:, 2], 2), [0.9], frame=warped(scene(), pans[3]))
    np.testing.assert_allclose(found.boxes_xyxy, box + np.tile(moved[:, 2], 2), atol=0.3)
    assert found.ids.tolist() == [1]


def test_a_file_gives_its_lines_in_order_and_says_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "motion.txt"
    path.write_text("0\t1 0 0 0 1 0\n1\t1 0 5.5 0 1 -2\n")
    motion = PrecomputedMotion(path)
    assert motion.estimate()[:, 2].tolist() == [0, 0]
    assert motion.estimate()[:, 2].tolist() == [5.5, -2]
    with pytest.raises(InvalidFile, match="2 frames"):
        motion.estimate()


@pytest.mark.parametrize("text", ["", "0 1 0 0 0 1\n", "1 1 0 0 0 1 0\n", "0 1 0 nan 0 1 0\n", "0 a b c d e f\n"])
def test_a_malformed_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "motion.txt"
    path.write_text(text)
    with pytest.raises(InvalidFile, match=r"motion\.txt"):
        PrecomputedMotion(path)


def test_the_authors_files_are_read(shared_data: Path) -> None:
    files = sorted((shared_data / "mot" / "gmc").glob("*.txt"))
    assert files
    for path in files:
        PrecomputedMotion(path).estimate()
