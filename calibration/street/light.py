"""Light that changes while the street is watched: clouds pass before the sun, the day grows warmer or cooler.

What a camera makes of it is its `Response`: no two of them render the same colour alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.street.canvas import eased
from reidkit.calibration.street.people import Rgb

_CHANGE_S = 3.0  # between two moods of the sky
_MIDDLE = 118  # the grey level that contrast leaves alone


class Response(NamedTuple):
    """How a camera renders light: a gain for each of red, green and blue, and a factor of contrast."""

    gains: Rgb
    contrast: float


PLAIN = Response((1.0, 1.0, 1.0), 1.0)


class Light:
    """The light of a street, drawn from `rng` for so long."""

    def __init__(self, duration_s: float, *, rng: np.random.Generator) -> None:
        knots = int(duration_s / _CHANGE_S) + 2
        self._clouds = rng.random(knots) * rng.random(knots)
        self._warmth = 2 * rng.random(knots) - 1

    def sun(self, time_s: float) -> float:
        """How much of the sun is there: 0 behind clouds .. 1 in the open."""
        return 1 - self._between(self._clouds, time_s)

    def shine(self, picture: NDArray[np.uint8], time_s: float, response: Response) -> NDArray[np.uint8]:
        """The picture (H, W, 3), RGB, in the light of that time, as a camera renders it."""
        brightness, warmth = 0.66 + 0.4 * self.sun(time_s), 0.045 * self._between(self._warmth, time_s)
        levels = np.arange(256)
        table = np.empty((256, 3), np.uint8)
        for channel, (tint, gain) in enumerate(zip((1 + warmth, 1.0, 1 - warmth), response.gains, strict=True)):
            lit = levels * brightness * tint * gain
            lit = lit + (response.contrast - 1) * (lit - _MIDDLE)
            # Highlights roll off instead of being cut.
            lit = np.where(lit > 224, 224 + (lit - 224) * 31 / (31 + np.maximum(lit - 224, 0)), lit)
            table[:, channel] = np.floor(np.clip(lit, 0, 255) + 0.5)
        lit_picture = np.empty_like(picture)
        for channel in range(3):
            np.take(table[:, channel], picture[..., channel], out=lit_picture[..., channel])
        return lit_picture

    def _between(self, knots: NDArray[np.float64], time_s: float) -> float:
        at = time_s / _CHANGE_S
        first = min(int(at), len(knots) - 2)
        part = float(eased(np.float64(at - first)))
        return float(knots[first] + (knots[first + 1] - knots[first]) * part)
