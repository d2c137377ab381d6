"""How long a training still takes, from what it took so far."""

from __future__ import annotations

from collections import defaultdict

from reidkit.export.distillation.training import Training

WHOLE_TO_HALF = 3.2
"""How much longer an epoch at full size takes than one at half size; OSNet x0.25 on two AVX-512 cores."""


class Pace:
    """Keeps the times of epochs at each size and of the teacher's views, and estimates from them."""

    def __init__(self) -> None:
        self._epochs: dict[tuple[int, int], float] = defaultdict(float)
        self._seconds: dict[tuple[int, int], float] = defaultdict(float)
        self._view_s = 0.0

    def epochs(self, size: tuple[int, int], count: float, seconds: float) -> None:
        """So many epochs, maybe a part of one, took so long."""
        self._epochs[size] += count
        self._seconds[size] += seconds

    def view(self, seconds: float) -> None:
        """The teacher took so long for a view."""
        self._view_s = seconds

    def left(self, training: Training) -> float | None:
        """Seconds until the end, None before the first epoch."""
        if training.size not in self._epochs or self._epochs[training.size] == 0:
            return None
        settings, done = training.settings, training.progress
        epoch_s = self._seconds[training.size] / self._epochs[training.size]
        if done < settings.half_size_share:
            shares = (settings.half_size_share - done) + WHOLE_TO_HALF * (1 - settings.half_size_share)
        else:
            shares = 1 - done
        seconds = shares * settings.epochs * epoch_s + training.views_left * self._view_s
        if settings.minutes is not None:
            seconds = min(seconds, settings.minutes * 60 - training.seconds)
        return max(0.0, seconds)
