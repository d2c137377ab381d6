"""Few crops that stand for many."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from reidkit.calibration.crops import farthest_points


def test_one_of_each_is_taken_before_a_second() -> None:
    embeddings = np.repeat(np.eye(6), 4, axis=0) + 1e-3 * np.random.default_rng(0).random((24, 6))
    assert sorted(farthest_points(embeddings, 6) // 4) == list(range(6))


@pytest.mark.parametrize("embeddings", [np.ones((24, 6)), np.random.default_rng(0).normal(size=(24, 6))])
def test_no_crop_is_taken_twice(embeddings: NDArray[np.float64]) -> None:
    assert sorted(farthest_points(embeddings, 24)) == list(range(24))
    assert len(farthest_points(embeddings, 99)) == 24
