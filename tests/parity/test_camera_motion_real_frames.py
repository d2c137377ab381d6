"""Camera motion on real frames: to a tenth of a pixel where the motion is known, the authors' own where it is not."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from reidkit.runtime.tracking.camera_motion import AutoMotion, PrecomputedMotion
from reidkit.runtime.video.mot_files import read_detections
from reidkit.runtime.video.sources import open_source

cv2 = pytest.importorskip("cv2", reason="needs OpenCV")

Affine = np.ndarray
MOTIONS = {  # shift x and y in pixels, turn in degrees, zoom
    "half a pixel": (0.5, -0.25, 0.0, 1.0),
    "shift": (12.6, 4.4, 0.0, 1.0),
    "swing": (-61.3, 7.9, 0.0, 1.0),
    "turn": (2.5, 1.2, 1.0, 1.0),
    "zoom": (1.1, -0.6, 0.0, 1.02),
    "all": (6.2, 3.1, 0.5, 0.985),
}


def auto() -> AutoMotion:
    return AutoMotion(pixels=600_000, points=2000)


def people_in(shared_data: Path, sequence: str, frame: int) -> np.ndarray:
    seen = read_detections(shared_data / "mot" / "MOT17-mini" / sequence / "det" / "det.txt")[frame]
    return seen.boxes_xyxy[seen.scores > 0.5].astype(float)


def error_px(found: Affine, expected: Affine, places: np.ndarray) -> float:
    """Largest distance along x or y between where two motions bring (N, 2) places."""
    places = np.column_stack([places, np.ones(len(places))])
    return float(np.abs(places @ found.T - places @ expected.T).max())


def corners(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    return np.array([[0, 0], [width, 0], [0, height], [width, height]], float)


def moved_by(frame: np.ndarray, people_xyxy: np.ndarray, affine: Affine) -> tuple[np.ndarray, np.ndarray]:
    """The frame after a camera motion, with people who walked some pixels meanwhile, and noise; and their boxes."""
    rng = np.random.default_rng(0)
    height, width = frame.shape[:2]
    after = cv2.warpAffine(frame, affine, (width, height), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101)
    boxes = []
    for left, top, right, bottom in people_xyxy.clip(0, [width, height] * 2).astype(int):
        person = frame[top:bottom, left:right]
        x, y = (affine @ [left, top, 1] + rng.normal(0, 6, 2)).round().astype(int)
        x, y = np.clip([x, y], 0, [width - person.shape[1], height - person.shape[0]])
        after[y : y + person.shape[0], x : x + person.shape[1]] = person
        boxes.append([x, y, x + person.shape[1], y + person.shape[0]])
    noisy = after + rng.normal(0, 2, after.shape).astype(np.float32)
    return noisy.clip(0, 255).astype(np.uint8), np.array(boxes, float).reshape(-1, 4)


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("sequence", ["MOT17-02-FRCNN", "MOT17-05-FRCNN", "MOT17-10-FRCNN", "vtest.avi"])
def test_a_known_motion_is_found_to_a_tenth_of_a_pixel(shared_data: Path, sequence: str, motion: str) -> None:
    if sequence == "vtest.avi":
        frame, people = next(iter(open_source(str(shared_data / "videos" / sequence)))).image, np.zeros((0, 4))
    else:
        frame = cv2.imread(str(shared_data / "mot" / "MOT17-mini" / sequence / "img1" / "000001.jpg"))
        people = people_in(shared_data, sequence, 1)
    shift_x, shift_y, degrees, zoom = MOTIONS[motion]
    height, width = frame.shape[:2]
    expected = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
    expected[:, 2] += shift_x, shift_y
    after, people_after = moved_by(frame, people, expected)
    estimator = auto()
    estimator.estimate(frame, people)
    found = estimator.estimate(after, people_after)
    places = np.concatenate([corners(frame), (people[:, :2] + people[:, 2:]) / 2])
    assert error_px(found, expected, places) <= 0.1


@pytest.mark.parametrize(
    ("sequence", "tolerance_px"),
    [("MOT17-02-FRCNN", 0.25), ("MOT17-04-FRCNN", 0.25), ("MOT17-05-FRCNN", 2.5), ("MOT17-10-FRCNN", 4.5)],
)
def test_real_motion_fits_the_pictures_as_well_as_the_authors_does(
    shared_data: Path, sequence: str, tolerance_px: float
) -> None:
    """The authors' files are estimates themselves: ours may differ by their error, not leave more difference."""
    authors = PrecomputedMotion(shared_data / "mot" / "gmc" / f"GMC-{sequence.removesuffix('-FRCNN')}.txt")
    paths = sorted((shared_data / "mot" / "MOT17-mini" / sequence / "img1").glob("*.jpg"))
    frames = [cv2.imread(str(path)) for path in paths]
    people = [people_in(shared_data, sequence, number) for number in range(1, len(frames) + 1)]
    estimator = auto()
    estimator.estimate(frames[0], people[0])
    authors.estimate()
    ours_left, theirs_left = [], []
    for (before, after), boxes in zip(pairwise(frames), people[1:], strict=True):
        ours, theirs = estimator.estimate(after, boxes), authors.estimate()
        assert error_px(ours, theirs, corners(after)) < tolerance_px
        ours_left.append(difference_left(before, after, ours, boxes))
        theirs_left.append(difference_left(before, after, theirs, boxes))
    assert np.mean(ours_left) < 1.01 * np.mean(theirs_left)


def difference_left(before: np.ndarray, after: np.ndarray, motion: Affine, people_xyxy: np.ndarray) -> float:
    """Mean difference in brightness between the background after and the background before, moved."""
    height, width = after.shape[:2]
    background = cv2.warpAffine(np.full((height, width), 255, np.uint8), motion, (width, height)) == 255
    for left, top, right, bottom in people_xyxy.clip(0, [width, height] * 2).astype(int):
        background[top:bottom, left:right] = False
    difference = cv2.absdiff(cv2.warpAffine(before, motion, (width, height)), after)[background]
    return float(difference.clip(max=40).mean())


def test_a_real_camera_that_stands_is_called_still(shared_data: Path) -> None:
    estimator = auto()
    for frame in open_source(str(shared_data / "videos" / "vtest.avi")):
        np.testing.assert_array_equal(estimator.estimate(frame.image), np.eye(2, 3))
        if frame.index == 200:
            break
