"""What a tracker cannot take: a typed error, the same of both cores, and nothing has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidkit.runtime import BotSort, BotSortConfig
from reidkit.runtime.errors import InvalidFile, InvalidInput
from reidkit.runtime.native import YuvFrame

PERSON = [100.0, 100.0, 150.0, 250.0]
BOXES, SCORES = np.array([PERSON, [300.0, 100.0, 350.0, 250.0]]), np.array([0.9, 0.9])
EYE = np.eye(2, 4, dtype=np.float32)
GREY = np.zeros((240, 320), np.uint8)


@pytest.fixture(params=["numpy", "native"])
def core(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame": [[1]]}, r"frame must be \(H, W, 3\) BGR or \(H, W\) grey uint8, found list"),
        ({"frame": "x.jpg"}, "frame must be .* found str"),
        ({"frame": np.zeros(7, np.uint8)}, r"frame must be .* found \(7,\) uint8"),
        ({"frame": np.zeros((0, 5), np.uint8)}, r"found \(0, 5\) uint8"),
        ({"frame": np.zeros((5, 5, 4), np.uint8)}, r"found \(5, 5, 4\) uint8"),
        ({"frame": np.zeros((5, 5))}, "found .* float64"),
        ({"timestamp_s": "now"}, "timestamp_s must be a number of seconds, found 'now'"),
        ({"timestamp_s": "1.5"}, "timestamp_s must be a number of seconds"),
        ({"timestamp_s": [1.0, 2.0]}, "timestamp_s must be a number of seconds"),
        (
            {"embeddings": [[1.0, 0], [1.0]]},
            r"embeddings must be \(2, D\) floats, found list .*give rows of one length",
        ),
        ({"embeddings": {"a": 1}}, r"embeddings must be \(2, D\) floats"),
        ({"classes": [[1], [1, 2]]}, r"classes must be \(2,\) integers, found list"),
        (
            {"classes": np.array([1, 2**64 - 1], np.uint64)},
            "classes must be at most 9223372036854775807, found 1844674",
        ),
        ({"classes": [1, 2**70]}, r"classes must be \(2,\) integers"),
        ({"embeddings": EYE, "embedded": [[True], [True, False]]}, r"embedded must be \(2,\) bool, found list"),
        ({"embedded": [[True], [True, False]]}, r"embedded must be \(N,\) bool, found list"),
        ({"camera_motion": [[1, 0, 0], [0, 1]]}, "camera_motion must be an array of numbers, found list"),
        ({"boxes_xyxy": [[0, 0, 10, 20], [0, 0, 10]]}, "boxes_xyxy must be an array of numbers, found list"),
        ({"boxes_xyxy": [[0, 0, 0.0005, 20], PERSON]}, r"x1 < x2 and y1 < y2, by 0\.001 pixels at least"),
        ({"boxes_xyxy": None}, "boxes_xyxy must be an array of numbers, found None"),
        ({"scores": None}, "scores must be an array of numbers, found None"),
        ({"scores": [0.9, None]}, "scores must be an array of numbers"),
    ],
)
def test_what_is_none_of_it_is_refused_and_changes_nothing(core: str, options: dict[str, Any], message: str) -> None:
    tracker = BotSort(BotSortConfig(core=core))
    tracker.update(BOXES, SCORES, embeddings=EYE, timestamp_s=0.0)
    with pytest.raises(InvalidInput, match=message):
        tracker.update(**{"boxes_xyxy": BOXES, "scores": SCORES, **options})
    assert tracker.update(BOXES, SCORES, embeddings=EYE, timestamp_s=0.1).ids.tolist() == [1, 2]


@pytest.mark.parametrize("kind", ["bfloat16", "requires_grad", "sparse"])
def test_a_tensor_that_numpy_cannot_read_is_refused_with_what_to_do(core: str, kind: str) -> None:
    torch = pytest.importorskip("torch")
    whole = torch.eye(2, 4)
    tensor = {
        "bfloat16": whole.to(torch.bfloat16),
        "requires_grad": whole.clone().requires_grad_(),
        "sparse": whole.to_sparse(),
    }[kind]
    tracker = BotSort(BotSortConfig(core=core))
    with pytest.raises(InvalidInput, match=r"embeddings must be \(2, D\) floats, found Tensor of .*detach"):
        tracker.update(BOXES, SCORES, embeddings=tensor)
    assert tracker.update(BOXES, SCORES, embeddings=whole).ids.tolist() == [1, 2]


def test_a_box_of_a_thousandth_of_a_pixel_is_one(core: str) -> None:
    tracks = BotSort(BotSortConfig(core=core)).update([[0, 0, 0.002, 0.002]], [0.9])
    assert tracks.ids.tolist() == [1]


@pytest.mark.parametrize("at_most", [1.5, "2", True, -1])
def test_a_budget_that_is_no_number_is_refused(core: str, at_most: Any) -> None:
    with pytest.raises(InvalidInput, match=r"at_most is .*: give a whole number"):
        BotSort(BotSortConfig(core=core)).wanted(BOXES, SCORES, at_most=at_most)


def test_what_is_asked_for_is_checked_as_what_is_tracked(core: str) -> None:
    tracker = BotSort(BotSortConfig(core=core))
    with pytest.raises(InvalidInput, match="frame must be"):
        tracker.wanted(BOXES, SCORES, frame="x.jpg")  # type: ignore[arg-type]
    assert tracker.wanted(BOXES, SCORES, at_most=np.int64(1)).tolist() == [0]


@pytest.mark.parametrize("config", ["botsort.yaml", {"core": "numpy"}, 5])
def test_settings_that_are_none_are_refused_with_what_to_do(config: Any) -> None:
    with pytest.raises(InvalidInput, match=r"config must be a BotSortConfig, found .*BotSortConfig\.load"):
        BotSort(config)


@pytest.mark.parametrize("name", ["missing/state", "file/state", "", ".", "a\0b"])
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidFile, match=r"cannot write .*(choose|name) another output"):
        BotSort().save(tmp_path / name if name else "")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_yuv_frame_stands_for_a_picture(core: str) -> None:
    pytest.importorskip("cv2")
    yuv = YuvFrame(GREY, GREY[::2, ::2], GREY[::2, ::2])
    for settings in ({"camera_motion": "auto"}, {"long_term_min_cosine": 0.5, "long_term_reentry": False}):
        tracker = BotSort(BotSortConfig(core=core, **settings))
        for _ in range(2):
            assert tracker.update(BOXES, SCORES, embeddings=EYE, frame=yuv).ids.tolist() == [1, 2]


def test_auto_needs_no_artifact_where_nothing_is_compared(core: str) -> None:
    tracker = BotSort(BotSortConfig(core=core, with_reid=False, auto=("min_cosine",)))
    assert tracker.update(BOXES, SCORES).ids.tolist() == [1, 2]


def moving_camera(tmp_path: Path) -> str:
    """A camera that jumps two bodies to the side in each frame from the fifth on."""
    lines = [f"{frame} 1 0 {100 * (frame > 4)} 0 1 0" for frame in range(12)]
    (tmp_path / "motion.txt").write_text("\n".join(lines))
    return str(tmp_path / "motion.txt")


def seen(frame: int) -> np.ndarray:
    return np.add([PERSON], 100 * max(0, frame - 4) * np.array([1, 0, 1, 0]))


def test_a_restored_tracker_goes_on_in_its_file_of_camera_motion(core: str, tmp_path: Path) -> None:
    config = BotSortConfig(core=core, camera_motion="file", camera_motion_file=moving_camera(tmp_path))
    tracker = BotSort(config)
    for frame in range(12):
        if frame in (5, 9):
            tracker.save(tmp_path / "state")
            tracker = BotSort.restore(tmp_path / "state")
        assert tracker.update(seen(frame), [0.9]).ids.tolist() == [1]
    assert tracker.config == config
    with pytest.raises(InvalidFile, match="the video goes on"):
        tracker.update(seen(12), [0.9])
    tracker.reset()
    assert tracker.update(seen(0), [0.9]).ids.tolist() == [1]


def test_a_saved_tracker_finds_its_file_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moving_camera(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    BotSort(BotSortConfig(camera_motion="file", camera_motion_file="motion.txt")).save("state")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert BotSort.restore("../state").config.camera_motion_file == str(tmp_path / "motion.txt")


def test_a_frame_whose_motion_is_given_has_its_line_in_the_file_all_the_same(core: str, tmp_path: Path) -> None:
    config = BotSortConfig(core=core, camera_motion="file", camera_motion_file=moving_camera(tmp_path))
    tracker = BotSort(config)
    for frame in range(12):
        given = {"camera_motion": np.eye(2, 3)} if frame in (0, 2) else {}
        assert tracker.update(seen(frame), [0.9], **given).ids.tolist() == [1]
