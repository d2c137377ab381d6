"""What a detector would make of a street: boxes that tremble, people missed where they are hidden, false alarms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.detectors.detections import Detections

_FALSE_ALARMS = 3  # at most, in a frame
_FALSE_ALARM_SHARE = 0.04


class ImaginedDetector:
    """Detects people whose boxes and visibility are known, with the faults of a good real detector.

    Its scores fall as people are hidden, and below a third of visibility it finds few; boxes err by a few hundredths of
    their size, more where they are guessed behind something.
    """

    def __init__(self, width: int, height: int, *, rng: np.random.Generator) -> None:
        self._size = width, height
        self._rng = rng

    def detect(self, boxes_xyxy: NDArray[np.float64], visibility: NDArray[np.float64]) -> Detections:
        """Detections of one frame: boxes_xyxy (P, 4) and visibility (P,) are of everybody, present or not."""
        rng, people = self._rng, len(visibility)
        # As many draws whoever is seen, so that one person more in view changes nobody else's luck.
        luck, mood, tremble = rng.random(people), _bell(rng, (people,)), _bell(rng, (people, 4))
        found = luck < np.clip(2.6 * visibility - 0.45, 0, 0.985)
        scores = 0.97 - 0.62 * (1 - visibility) + 0.05 * mood
        low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
        size = high - low
        spread = (0.018 + 0.05 * (1 - visibility))[:, None]
        middle = (low + high) / 2 + size * spread * tremble[:, :2]
        half = size / 2 * (1 + 1.2 * spread * tremble[:, 2:])
        alarms, alarm_scores = self._false_alarms()
        boxes = np.concatenate([np.concatenate([middle - half, middle + half], axis=1)[found], alarms])
        all_scores = np.clip(np.concatenate([scores[found], alarm_scores]), 0.05, 0.99)
        order = np.argsort(-all_scores, kind="stable")
        return Detections(boxes[order], all_scores[order], np.zeros(len(order), np.int64))

    def _false_alarms(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Boxes where nobody is, and their scores."""
        (width, height), draws = self._size, self._rng.random((_FALSE_ALARMS, 5))
        happens = draws[:, 0] < _FALSE_ALARM_SHARE
        tall = height * (0.12 + 0.25 * draws[:, 1])
        wide = 0.4 * tall
        left, top = draws[:, 2] * (width - wide), height * 0.3 + draws[:, 3] * (0.7 * height - tall)
        boxes = np.stack([left, top, left + wide, top + tall], axis=1)
        return boxes[happens], (0.1 + 0.55 * draws[:, 4] * draws[:, 4])[happens]


def _bell(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Nearly normal numbers, of sums alone."""
    draws = rng.random((12, *shape))
    total = np.zeros(shape)
    for draw in draws:
        total = total + draw
    return total - 6
