"""Camera motion: estimated from frames, read from a file, or given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reidkit.runtime import BotSort, BotSortConfig
from reidkit.runtime.errors import InvalidFile, InvalidInput
from reidkit.runtime.tracking.camera_motion import PrecomputedMotion, SparseFlow

cv2 = pytest.importorskip("cv2", reason="needs OpenCV")


def scene(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return cv2.resize(small, (640, 480), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(
    "affine",
    [
        [[1.0, 0.0, 6.0], [0.0, 1.0, -4.0]],
        [[1.01, 0.0, 2.0], [0.0, 1.01, 1.0]],
        [[np.cos(0.01), -np.sin(0.01), 3.0], [np.sin(0.01), np.cos(0.01), 0.0]],
    ],
    ids=["pan", "zoom", "roll"],
)
def test_sparse_flow_finds_a_known_motion(affine: list[list[float]]) -> None:
    motion, first = SparseFlow(), scene()
    moved = cv2.warpAffine(first, np.array(affine), (640, 480), borderMode=cv2.BORDER_REFLECT)
    np.testing.assert_array_equal(motion.estimate(first), np.eye(2, 3))
    found = motion.estimate(moved)
    corners = np.array([[0, 0, 1], [640, 0, 1], [0, 480, 1], [640, 480, 1]], float)
    error = np.abs(corners @ found.T - corners @ np.array(affine).T).max()
    assert error < 0.75, found


def test_sparse_flow_survives_what_has_no_corners_and_a_change_of_size() -> None:
    motion = SparseFlow()
    black = np.zeros((480, 640, 3), np.uint8)
    for frame in (black, black, scene(), black, scene()[:300], scene(), scene()[:1, :1]):
        np.testing.assert_array_equal(motion.estimate(frame), np.eye(2, 3))


def test_sparse_flow_without_frames_is_refused() -> None:
    with pytest.raises(InvalidInput, match="pass frame="):
        BotSort(BotSortConfig(camera_motion="sparse_flow")).update([], [])


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
