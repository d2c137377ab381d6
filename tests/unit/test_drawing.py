"""Drawing: what is on the picture, what stays off it, and what is remembered."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from reidkit.runtime.errors import MissingDependency
from reidkit.runtime.video.drawing import Painter, color_of

pytest.importorskip("cv2", reason="drawing needs OpenCV: install the extra 'video'")

GREY = 120
HEADER_ROWS = 40


def yard(height: int = 400, width: int = 600) -> NDArray[np.uint8]:
    return np.full((height, width, 3), GREY, np.uint8)


def painted(image: NDArray[np.uint8], *boxes: tuple[float, float, float, float], index: int = 1) -> NDArray[np.uint8]:
    ids = np.arange(1, len(boxes) + 1)
    return Painter(frame_rate=10).paint(image, index, ids, np.array(boxes, float).reshape(-1, 4))


def changed(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels that are not the yard's, below the header."""
    mask = (picture != GREY).any(axis=2)
    mask[:HEADER_ROWS] = False
    return mask


def test_the_frame_itself_is_left_alone() -> None:
    image = yard()
    picture = painted(image, (100, 100, 160, 250))
    assert (image == GREY).all()
    assert picture.shape == image.shape
    assert picture.dtype == np.uint8


def test_a_box_is_drawn_in_its_persons_color_and_its_inside_left_free() -> None:
    picture = painted(yard(), (100, 100, 160, 250))
    np.testing.assert_allclose(picture[200, 100], color_of(1), atol=20)
    np.testing.assert_allclose(picture[250, 130], color_of(1), atol=20)
    assert not changed(picture)[110:240, 110:150].any()
    rows, columns = np.nonzero(changed(picture))
    assert rows.min() > 70
    assert rows.max() < 256
    assert columns.min() > 94
    assert columns.max() < 166


def test_without_people_only_the_header_is_drawn() -> None:
    picture = painted(yard())
    assert not changed(picture).any()
    assert (picture[:HEADER_ROWS] != GREY).any()


@pytest.mark.parametrize(
    "box",
    [
        (-20, -30, 60, 90),
        (560, 350, 700, 500),
        (-500, 100, -400, 300),
        (700, 100, 800, 300),
        (-1e7, -1e7, 1e7, 1e7),
        (100, 100, 100.001, 100.001),
    ],
)
def test_boxes_at_and_beyond_the_edges_are_drawn_as_far_as_they_are_seen(box: tuple[float, ...]) -> None:
    painter = Painter(frame_rate=10)
    for index in range(1, 5):
        moved = np.array([box]) + index
        picture = painter.paint(yard(), index, np.array([1]), moved)
        assert picture.shape == (400, 600, 3)


def test_a_number_stays_in_the_frame() -> None:
    paper = (np.abs(painted(yard(), (250, -20, 350, 200)).astype(int) - color_of(1)) < 3).all(axis=2)
    assert paper[2:10, 252:262].any()


def test_tiny_and_large_frames_are_drawn_on() -> None:
    for height, width in ((1, 1), (16, 16), (2160, 3840)):
        box = (width / 4, height / 4, width / 2, height / 2)
        assert painted(yard(height, width), box).shape == (height, width, 3)


def test_lines_grow_with_the_picture() -> None:
    def line_width(scale: int) -> int:
        picture = painted(yard(400 * scale, 600 * scale), tuple(np.array([100, 100, 200, 300]) * scale))
        return int((picture[250 * scale, 50 * scale : 150 * scale] != GREY).any(axis=1).sum())

    assert line_width(4) > 1.5 * line_width(1)


def test_a_trail_follows_the_feet_and_fades_after_they_are_gone() -> None:
    painter = Painter(frame_rate=10)
    for index in range(1, 21):
        left = 50.0 + 10 * index
        picture = painter.paint(yard(), index, np.array([7]), np.array([[left, 100.0, left + 40, 200.0]]))
    trail = changed(picture)[190:210, 100:230]
    assert trail.any()
    nobody = np.empty(0, np.int64), np.empty((0, 4))
    seen = [changed(painter.paint(yard(), index, *nobody)).sum() for index in range(21, 61)]
    assert seen[0] > seen[10] > 0
    assert seen[-1] == 0
    assert not painter._trails


def test_memory_stays_flat_over_many_people() -> None:
    painter = Painter(frame_rate=10)
    for index in range(1, 400):
        painter.paint(yard(60, 80), index, np.array([index]), np.array([[20.0, 20.0, 30.0, 50.0]]))
    assert len(painter._trails) <= 25
    assert painter._number.cache_info().currsize <= 512


def test_a_change_of_size_in_mid_video_is_drawn() -> None:
    painter = Painter(frame_rate=10)
    for index, size in enumerate([(400, 600), (100, 120), (720, 1280)], 1):
        picture = painter.paint(yard(*size), index, np.array([1]), np.array([[10.0, 10.0, 500.0, 390.0]]))
        assert picture.shape[:2] == size


def test_colors_are_stable_light_and_apart_from_their_neighbours() -> None:
    colors = np.array([color_of(identity) for identity in range(1, 200)], float)
    assert color_of(17) == color_of(17)
    luma = colors @ [0.114, 0.587, 0.299]
    assert luma.min() > 110
    for first, second in pairwise(colors):
        assert np.linalg.norm(first - second) > 60
    assert len({tuple(color) for color in colors}) > 190


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingDependency, match=r"drawing needs OpenCV.*reidkit\[video\]"):
        Painter(frame_rate=10)
