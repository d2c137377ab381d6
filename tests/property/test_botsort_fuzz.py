"""Whatever a detector may hand over, to either core: a typed error that changes nothing, or tracks that make sense.

20,500 sequences in the long form (make proof-tracker).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from proofs import trials

from reidkit.runtime import BotSort, BotSortConfig, Tracks
from reidkit.runtime.errors import InvalidConfig, InvalidInput

ANY_NUMBER = st.one_of(
    st.floats(-50, 700),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, -1e300, 1e-300, 0.1, 0.6, 0.7]),
)
FOR_BOTH_CORES = {
    "fuse_score": st.booleans(),
    "max_lost_frames": st.integers(0, 5),
    "long_term_min_cosine": st.sampled_from([None, 0.5]),
    "long_term_history": st.integers(1, 4),
    "long_term_lost_frames": st.sampled_from([0, 20]),
    "long_term_min_embeddings": st.integers(1, 3),
    "min_iou_for_appearance": st.sampled_from([0.0, 0.5]),
}
FOR_NUMPY = {
    "temperature": st.sampled_from([None, 0.1]),
    "class_scores": st.sampled_from([None, {1: {"high_score": 0.8, "new_track_score": 0.9}}]),
    "other_class_penalty": st.sampled_from([0.0, 0.3, 1.0]),
    "class_vote": st.booleans(),
    "ignored_regions": st.sampled_from([(), (((0, 0), (40, 0), (40, 300)),), (((0.5, 0), (1, 0), (1, 1)),)]),
}
CONFIGS = st.one_of(st.builds(BotSortConfig, **FOR_BOTH_CORES), st.builds(BotSortConfig, **FOR_BOTH_CORES, **FOR_NUMPY))
PICTURE = np.zeros((160, 240, 3), np.uint8)
SIZES = [(48, 64), (64, 48), (120, 160), (1, 1), (480, 640)]


def fuzz(few: int, many: int) -> settings:
    return settings(
        max_examples=trials(few, many),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def outcome(tracker: BotSort, frame: dict[str, Any]) -> Tracks | InvalidInput:
    try:
        return tracker.update(**frame)
    except InvalidInput as error:
        return error


class BothCores:
    """Two trackers that differ in their core, and must not in anything else; twice NumPy's, where the other refuses."""

    def __init__(self, config: BotSortConfig) -> None:
        self.trackers = [BotSort(config)]
        try:
            self.trackers.append(BotSort(dataclasses.replace(config, core="native")))
        except InvalidConfig:
            self.trackers.append(BotSort(config))

    def update(self, **frame: Any) -> Tracks:
        """What both say; raises what both raise."""
        first, second = (outcome(tracker, frame) for tracker in self.trackers)
        if isinstance(first, InvalidInput):
            assert str(first) == str(second)
            raise first
        assert isinstance(second, Tracks), second
        for field in dataclasses.fields(Tracks):
            expected, found = getattr(first, field.name), getattr(second, field.name)
            assert expected.dtype == found.dtype
            assert expected.shape == found.shape
            assert expected.tobytes() == found.tobytes(), field.name
        assert self.trackers[0].appearance == self.trackers[1].appearance
        return first


@st.composite
def sane_frames(draw: st.DrawFn) -> dict[str, Any]:
    """A frame that must be tracked: few distinct numbers, so that people meet, hide each other and tie."""
    count = draw(st.integers(0, 12))
    corner = draw(arrays.arrays(np.int64, (count, 2), elements=st.integers(0, 20))) * 8.0
    size = draw(arrays.arrays(np.int64, (count, 2), elements=st.integers(1, 8))) * 8.0
    frame: dict[str, Any] = {
        "boxes_xyxy": np.concatenate([corner, corner + size], axis=1),
        "scores": draw(
            arrays.arrays(np.float64, count, elements=st.sampled_from([0.05, 0.1, 0.3, 0.6, 0.7, 0.9, 1.0]))
        ),
    }
    if draw(st.booleans()):
        faces = draw(arrays.arrays(np.int64, count, elements=st.integers(0, 3)))
        frame["embeddings"] = np.eye(4, dtype=np.float32)[faces]
    if draw(st.booleans()):
        frame["classes"] = draw(arrays.arrays(np.int64, count, elements=st.integers(0, 2)))
    frame["frame"] = PICTURE
    if draw(st.booleans()):
        angle = draw(st.floats(-0.3, 0.3))
        frame["camera_motion"] = np.array([[np.cos(angle), -np.sin(angle), 5.0], [np.sin(angle), np.cos(angle), -3.0]])
    return frame


@st.composite
def wild_frames(draw: st.DrawFn) -> dict[str, Any]:
    """A frame of any numbers, shapes, types and strides."""
    count = draw(st.integers(0, 4))
    dtype = draw(st.sampled_from([np.float64, np.float32, np.int32, np.bool_]))
    boxes = draw(arrays.arrays(np.float64, (count, draw(st.sampled_from([4, 4, 4, 5]))), elements=ANY_NUMBER))
    scores = draw(arrays.arrays(np.float64, draw(st.sampled_from([count, count, count + 1])), elements=ANY_NUMBER))
    with np.errstate(all="ignore"):
        boxes = boxes.astype(dtype)
    frame: dict[str, Any] = {"boxes_xyxy": strided(boxes) if draw(st.booleans()) else boxes, "scores": scores}
    if draw(st.booleans()):
        shape = draw(st.sampled_from([(count, 4), (count, 4), (count, 3), (count, 0), (count + 1, 4)]))
        embeddings = draw(arrays.arrays(np.float64, shape, elements=ANY_NUMBER))
        with np.errstate(all="ignore"):
            embeddings = embeddings.astype(draw(st.sampled_from([np.float64, np.float32, np.float16, np.int64])))
        frame["embeddings"] = embeddings
    if draw(st.booleans()):
        frame["embedded"] = draw(arrays.arrays(draw(st.sampled_from([np.bool_, np.bool_, np.int8])), count))
    if draw(st.booleans()):
        frame["classes"] = draw(arrays.arrays(draw(st.sampled_from([np.int64, np.uint8, np.float32])), count))
    if draw(st.integers(0, 5)) == 0:
        frame["camera_motion"] = draw(arrays.arrays(np.float64, (2, 3), elements=ANY_NUMBER))
    return frame


@st.composite
def crowded_frames(draw: st.DrawFn) -> dict[str, Any]:
    """A frame of up to 500 detections as a detector might give them, some of them nonsense, at any time."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.one_of(st.integers(0, 20), st.integers(0, 500)))
    centre, size = random.uniform(-50, 690, (count, 2)), random.uniform(2, 120, (count, 2))
    boxes, scores = np.concatenate([centre - size / 2, centre + size / 2], axis=1), random.uniform(0, 1, count)
    if count and draw(st.integers(0, 4)) == 0:
        nonsense = draw(st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 1e9]))
        where = random.integers(count)
        (scores if draw(st.booleans()) else boxes[:, random.integers(4)])[where] = nonsense
    kind = draw(st.sampled_from(["float64", "float32", "whole", "strided", "list", "flat"]))
    frame: dict[str, Any] = {"boxes_xyxy": boxes, "scores": scores}
    if kind == "float32":
        frame = {"boxes_xyxy": boxes.astype(np.float32), "scores": scores.astype(np.float32)}
    elif kind == "whole" and np.isfinite(boxes).all():
        frame["boxes_xyxy"] = boxes.astype(np.int64)
    elif kind == "strided":
        frame = {"boxes_xyxy": np.asfortranarray(boxes), "scores": strided(scores)}
    elif kind == "list":
        frame = {"boxes_xyxy": boxes.tolist(), "scores": scores.tolist()}
    elif kind == "flat" and count:
        boxes[random.integers(count), 2:] = boxes[0, :2]
    if draw(st.booleans()):
        embeddings = random.normal(size=(count, 6)).astype(draw(st.sampled_from([np.float64, np.float32, np.float16])))
        frame["embeddings"] = strided(embeddings) if draw(st.booleans()) else embeddings
        if draw(st.booleans()):
            frame["embedded"] = random.random(count) < 0.5
    frame["timestamp_s"] = draw(st.sampled_from([0.0, 0.01, 0.04, 0.04, 0.1, 1.0, 40.0, 1e12, np.nan, -1.0]))
    height, width = draw(st.sampled_from(SIZES))
    frame["frame"] = np.full((height, width, 3), draw(st.integers(0, 255)), np.uint8)
    if draw(st.booleans()):
        frame["frame"][::2, ::3] = random.integers(0, 256, frame["frame"][::2, ::3].shape)
    return frame


def strided(values: np.ndarray) -> np.ndarray:
    """The same values, not side by side in memory."""
    return np.repeat(values, 2, axis=0)[::2]


def assert_sane(tracks: Tracks, count: int) -> None:
    assert np.isfinite(tracks.boxes_xyxy).all()
    assert (tracks.boxes_xyxy[:, 2:] > tracks.boxes_xyxy[:, :2]).all()
    assert (np.diff(tracks.ids) > 0).all()
    assert np.unique(tracks.detection_index).size == len(tracks)
    assert ((tracks.detection_index >= 0) & (tracks.detection_index < count)).all()
    assert tracks.confirmed.all()


@fuzz(60, 3000)
@given(CONFIGS, st.lists(sane_frames(), min_size=1, max_size=12))
def test_sane_frames_are_tracked(config: BotSortConfig, frames: list[dict[str, Any]]) -> None:
    cores = BothCores(config)
    for frame in frames:
        assert_sane(cores.update(**frame), len(frame["scores"]))


@fuzz(60, 4000)
@given(st.lists(st.one_of(sane_frames(), wild_frames()), min_size=1, max_size=8))
def test_wild_frames_are_tracked_or_refused_without_a_trace(frames: list[dict[str, Any]]) -> None:
    cores, untouched = BothCores(BotSortConfig()), BotSort()
    for frame in frames:
        try:
            tracks = cores.update(**frame)
        except InvalidInput:
            continue
        expected = untouched.update(**frame)
        np.testing.assert_array_equal(tracks.ids, expected.ids)
        np.testing.assert_array_equal(tracks.boxes_xyxy, expected.boxes_xyxy)


@fuzz(60, 13_500)
@given(
    st.sampled_from(["none", "none", "auto", "sparse_flow"]),
    st.sampled_from(["frames", "timestamps"]),
    st.sampled_from([None, 0.3]),
    st.lists(crowded_frames(), min_size=1, max_size=6),
)
def test_crowds_at_any_time_and_of_any_size_are_tracked_or_refused(
    camera_motion: str, clock: str, long_term: float | None, frames: list[dict[str, Any]]
) -> None:
    if camera_motion != "none":
        pytest.importorskip("cv2")
    config = BotSortConfig(
        camera_motion=camera_motion,
        clock=clock,
        long_term_min_cosine=long_term,
        long_term_lost_frames=0 if long_term is None else 1000,
        long_term_reentry=long_term is None,
        max_lost_frames=3,
    )
    cores, began = BothCores(config), 0.0
    for frame in frames:
        began += frame.pop("timestamp_s")
        try:
            tracks = cores.update(**frame, timestamp_s=began)
        except InvalidInput:
            began = np.nan_to_num(cores.trackers[0]._state.moment.timestamp_s or 0.0)
            continue
        assert_sane(tracks, len(frame["scores"]))
