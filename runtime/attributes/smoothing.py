"""An attribute of a track from many looks at it: what each said, weighted by how sure it was."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.attributes.model import AttributeModel, Classes
from reidkit.runtime.engines import have_pixels
from reidkit.runtime.errors import InvalidConfig
from reidkit.runtime.tracking import Tracks


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """What is known of a track by now.

    Attributes:
        value: a class's name, or a number.
        confidence: of a class its smoothed probability; of a number the weighted mean of the looks' confidences.
        looks: at how many crops it was estimated.
        deviation: of a number, the weighted standard deviation of the looks; None for a class.
    """

    value: str | float
    confidence: float
    looks: int
    deviation: float | None

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


@dataclass(slots=True, eq=False)
class _Sums:
    """Weighted sums over looks."""

    weight: float
    values: NDArray[np.float64]
    squares: NDArray[np.float64]
    confidences: float
    looks: int


class TrackAttributes:
    """Looks at tracks now and then and keeps what it saw of each.

    Args:
        model: estimates.
        by_confidence: weight each look by the model's confidence times the detection's score; else all count alike.
        min_score: detections below it are not looked at.
        interval: frames between two looks at a track.
        max_looks: at a track; then it is known.
    """

    def __init__(
        self,
        model: AttributeModel,
        *,
        by_confidence: bool = False,
        min_score: float = 0.0,
        interval: int = 5,
        max_looks: int = 100,
    ) -> None:
        if not 0 <= min_score <= 1 or interval < 1 or max_looks < 1:
            raise InvalidConfig("min_score lies within 0 and 1, interval and max_looks are at least 1")
        self._model = model
        self._by_confidence, self._min_score = by_confidence, min_score
        self._interval, self._max_looks = interval, max_looks
        self._sums: dict[int, dict[str, _Sums]] = {}
        self._next_look: dict[int, int] = {}
        self._frame = 0

    def look(self, frame: NDArray[np.uint8], tracks: Tracks) -> None:
        """Estimate the tracks of a frame whose turn it is; (H, W, 3) uint8 BGR. Errors are those of `estimate`."""
        self._frame += 1
        height, width = frame.shape[:2]
        due = np.array(
            [
                self._frame >= self._next_look.get(track, 0) and self._looks(track) < self._max_looks
                for track in tracks.ids
            ],
            np.bool_,
        )
        due &= (tracks.detection_index >= 0) & (tracks.scores >= self._min_score)
        due &= have_pixels(tracks.boxes_xyxy, height=height, width=width)
        ids = tracks.ids[due].tolist()
        for name, estimate in self._model.estimate(frame, tracks.boxes_xyxy[due]).items():
            weights = estimate.confidences * tracks.scores[due] if self._by_confidence else np.ones(len(ids))
            for track, weight, values, sure in zip(ids, weights, estimate.values, estimate.confidences, strict=True):
                self._add(track, name, float(weight), values, float(sure))
        for track in ids:
            self._next_look[track] = self._frame + self._interval

    def of(self, track: int) -> dict[str, Attribute]:
        """What is known of a track by now; nothing of one that was not looked at."""
        return {name: self._told(name, sums) for name, sums in self._sums.get(track, {}).items() if sums.weight > 0}

    def all(self) -> dict[int, dict[str, Attribute]]:
        """What is known of every track that was looked at, by ascending id."""
        return {track: self.of(track) for track in sorted(self._sums)}

    def words(self, track: int) -> str:
        """What is known of a track, to be drawn: ``helmet yes, age 34 years``."""
        words = []
        for name, each in self.of(track).items():
            kind = self._model.outputs[name]
            told = each.value if isinstance(kind, Classes) else f"{each.value:.0f} {kind.unit}"
            words.append(f"{name} {told}")
        return ", ".join(words)

    def _looks(self, track: int) -> int:
        return max((sums.looks for sums in self._sums.get(track, {}).values()), default=0)

    def _add(self, track: int, name: str, weight: float, values: NDArray[np.float64], sure: float) -> None:
        by_name = self._sums.setdefault(track, {})
        if (sums := by_name.get(name)) is None:
            sums = by_name[name] = _Sums(0.0, np.zeros(len(values)), np.zeros(len(values)), 0.0, 0)
        sums.weight += weight
        sums.values += weight * values
        sums.squares += weight * values**2
        sums.confidences += weight * sure
        sums.looks += 1

    def _told(self, name: str, sums: _Sums) -> Attribute:
        mean = sums.values / sums.weight
        kind = self._model.outputs[name]
        if isinstance(kind, Classes):
            best = int(mean.argmax())
            return Attribute(value=kind.classes[best], confidence=float(mean[best]), looks=sums.looks, deviation=None)
        spread = float(np.sqrt(max(0.0, sums.squares[0] / sums.weight - mean[0] ** 2)))
        return Attribute(
            value=float(mean[0]), confidence=sums.confidences / sums.weight, looks=sums.looks, deviation=spread
        )
