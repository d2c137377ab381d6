"""When an update happens, in frames: counted one by one, or reckoned from timestamps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.tracking.arguments import seconds
from reidkit.runtime.tracking.config import BotSortConfig

_JITTER = 0.1  # frames; timestamps are rounded, to milliseconds in many containers
_MAX_FRAMES = 1e9  # a year at 30 frames/s


@dataclass(frozen=True, slots=True)
class Moment:
    """One update's place in time.

    Attributes:
        number: of the update, from 1; 0 before the first.
        frame: how many frames of `frame_rate` have passed, the first included. By the clock of frames, `number`.
        steps: how many frames have passed since the last update; 1 by the clock of frames.
        began_s: timestamp of the first update, if it had one.
        timestamp_s: timestamp of the last update that had one.
    """

    number: int = 0
    frame: int = 0
    steps: float = 1.0
    began_s: float | None = None
    timestamp_s: float | None = None

    def next(self, config: BotSortConfig, timestamp_s: float | None) -> Moment:
        """The moment of the next update. Raises `InvalidInput` for a timestamp that is missing, none, or goes back."""
        if timestamp_s is None:
            if config.clock == "timestamps":
                raise InvalidInput("clock: timestamps reckons with the frames' times: pass timestamp_s= to update()")
            return Moment(self.number + 1, self.frame + 1, 1.0, self.began_s, self.timestamp_s)
        timestamp_s = seconds(timestamp_s, "timestamp_s")
        last_s = -math.inf if self.timestamp_s is None else self.timestamp_s
        if not math.isfinite(timestamp_s) or timestamp_s < last_s:
            raise InvalidInput(f"timestamp_s must not go back: {timestamp_s} comes after {last_s}")
        if config.clock == "frames":
            return Moment(self.number + 1, self.frame + 1, 1.0, self.began_s, timestamp_s)
        if self.began_s is None:
            return Moment(1, 1, 1.0, timestamp_s, timestamp_s)
        passed = (timestamp_s - self.began_s) * config.frame_rate
        if passed > _MAX_FRAMES:
            raise InvalidInput(
                f"timestamp_s {timestamp_s:g} is {passed:.3g} frames after the first one, {self.began_s:g}",
                remedy="give seconds, or reset() the tracker",
            )
        steps = (timestamp_s - last_s) * config.frame_rate
        whole = max(1, round(steps))
        if abs(steps - whole) < _JITTER:
            steps = float(whole)
        return Moment(self.number + 1, 1 + round(passed), steps, self.began_s, timestamp_s)
