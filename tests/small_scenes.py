"""People of one size, side by side, as a tracker is told of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from reidkit.runtime import BotSort, Tracks

PERSON = [100.0, 100.0, 150.0, 250.0]
EYE = np.eye(4, dtype=np.float32)


def boxes(*shifts: float) -> np.ndarray:
    """A box for each person, `PERSON` moved to the right by so many pixels."""
    return np.array([[PERSON[0] + x, PERSON[1], PERSON[2] + x, PERSON[3]] for x in shifts]).reshape(-1, 4)


def update(tracker: BotSort, *shifts: float, score: float = 0.9, **options: Any) -> Tracks:
    return tracker.update(boxes(*shifts), np.full(len(shifts), score), **options)
