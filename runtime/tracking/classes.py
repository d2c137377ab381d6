"""Detections of several classes: thresholds of their own, matches among their own, and a class by vote.

Detectors flicker: a cyclist is a person in one frame and a bicycle in the next. So a track may keep the class that
most of its detections had, and a detection of another class may be made less likely to be its, rather than barred.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.errors import InvalidConfig, did_you_mean
from reidkit.runtime.tracking.table import Rows, TrackTable

if TYPE_CHECKING:
    from reidkit.runtime.tracking.config import BotSortConfig

Array = NDArray[np.float64]
ClassScores = dict[int, dict[str, float]]

THRESHOLDS = ("high_score", "low_score", "new_track_score", "min_embedding_score")
"""Settings that a class may have a value of its own of."""


def read_class_scores(value: object) -> ClassScores:
    """Class number to its thresholds, as a file or a snapshot has them. Raises `InvalidConfig` for anything else."""
    if not isinstance(value, dict):
        raise InvalidConfig(
            f"class_scores is {value!r}", remedy="give class numbers and their own: {2: {high_score: 0.5}}"
        )
    found: ClassScores = {}
    for key, own in value.items():
        number = int(key) if isinstance(key, str) and re.fullmatch("-?[0-9]+", key) else key  # JSON's keys are text
        if not isinstance(number, int) or isinstance(number, bool) or not isinstance(own, dict):
            raise InvalidConfig(
                f"class_scores: {key!r}: {own!r}",
                remedy="give the class's number and its own: 2: {high_score: 0.5}",
            )
        found[number] = {}
        for name, score in own.items():
            if name not in THRESHOLDS:
                raise InvalidConfig(
                    f"class_scores: class {number} has {name!r}; a class may have {', '.join(THRESHOLDS)}",
                    remedy=did_you_mean(str(name), THRESHOLDS),
                )
            if not isinstance(score, (int, float)) or isinstance(score, bool) or not 0 <= score <= 1:
                raise InvalidConfig(f"class_scores: {name} of class {number} is {score!r}, not within 0 and 1")
            found[number][name] = float(score)
    return found


def threshold(config: BotSortConfig, name: str, classes: Rows) -> float | Array:
    """The setting `name` of `THRESHOLDS`: one value for all, or (N,) by the detections' classes."""
    general: float = getattr(config, name)
    if not config.class_scores:
        return general
    own = np.full(classes.shape, general)
    for number, thresholds in config.class_scores.items():
        own[classes == number] = thresholds.get(name, general)
    return own


def keep_apart(distance: Array, penalty: float, track_classes: Rows, detection_classes: Rows) -> None:
    """Add `penalty` to the (T, N) distances between different classes, in place; a penalty of 1 forbids the match."""
    if penalty:
        distance[track_classes[:, None] != detection_classes] += penalty if penalty < 1 else 2


def vote(table: TrackTable, rows: Rows | slice, classes: Rows, scores: Array) -> None:
    """Let detections vote for their tracks' classes, with their scores (after Boyer and Moore's majority vote).

    `TrackTable.class_lead` is what the track's class has over all others; whoever turns it negative takes over. A class
    with more than half of all scores always wins.
    """
    present = table.class_id[rows]
    lead = table.class_lead[rows] + np.where(present == classes, scores, -scores)
    table.class_id[rows] = np.where(lead < 0, classes, present)
    table.class_lead[rows] = np.abs(lead)


def contradiction_in(config: BotSortConfig) -> str | None:
    """What is wrong where a class's thresholds, with what it takes over, contradict each other."""
    for number, own in (config.class_scores or {}).items():
        low, high = own.get("low_score", config.low_score), own.get("high_score", config.high_score)
        if low > high:
            return f"low_score {low:g} of class {number} is above its high_score {high:g}"
    return None
