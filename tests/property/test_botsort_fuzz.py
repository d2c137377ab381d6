"""Whatever a detector may hand over: a typed error that changes nothing, or tracks that make sense."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from reidkit.runtime import BotSort, BotSortConfig, Tracks
from reidkit.runtime.errors import InvalidInput

ANY_NUMBER = st.one_of(
    st.floats(-50, 700),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, -1e300, 1e-300, 0.1, 0.6, 0.7]),
)
CONFIGS = st.builds(
    BotSortConfig,
    fuse_score=st.booleans(),
    max_lost_frames=st.integers(0, 5),
    temperature=st.sampled_from([None, 0.07]),
    long_term_min_cosine=st.sampled_from([None, 0.5]),
    long_term_history=st.integers(1, 4),
    min_iou_for_appearance=st.sampled_from([0.0, 0.5]),
)


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
        angle = draw(st.floats(-0.3, 0.3))
        frame["camera_motion"] = np.array([[np.cos(angle), -np.sin(angle), 5.0], [np.sin(angle), np.cos(angle), -3.0]])
    return frame


@st.composite
def wild_frames(draw: st.DrawFn) -> dict[str, Any]:
    """A frame of any numbers, shapes, types and strides."""
    count = draw(st.integers(0, 4))
    dtype = draw(st.sampled_from([np.float64, np.float32, np.int32]))
    boxes = draw(arrays.arrays(np.float64, (count, draw(st.sampled_from([4, 4, 4, 5]))), elements=ANY_NUMBER))
    scores = draw(arrays.arrays(np.float64, draw(st.sampled_from([count, count, count + 1])), elements=ANY_NUMBER))
    with np.errstate(all="ignore"):
        boxes = boxes.astype(dtype)
    return {"boxes_xyxy": np.repeat(boxes, 2, axis=0)[::2] if draw(st.booleans()) else boxes, "scores": scores}


def assert_sane(tracks: Tracks, count: int) -> None:
    assert np.isfinite(tracks.boxes_xyxy).all()
    assert (tracks.boxes_xyxy[:, 2:] > tracks.boxes_xyxy[:, :2]).all()
    assert (np.diff(tracks.ids) > 0).all()
    assert np.unique(tracks.detection_index).size == len(tracks)
    assert ((tracks.detection_index >= 0) & (tracks.detection_index < count)).all()
    assert tracks.confirmed.all()


@settings(max_examples=150, deadline=None)
@given(CONFIGS, st.lists(sane_frames(), min_size=1, max_size=12))
def test_sane_frames_are_tracked(config: BotSortConfig, frames: list[dict[str, Any]]) -> None:
    tracker = BotSort(config)
    for frame in frames:
        assert_sane(tracker.update(**frame), len(frame["scores"]))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(sane_frames(), wild_frames()), min_size=1, max_size=8))
def test_wild_frames_are_tracked_or_refused_without_a_trace(frames: list[dict[str, Any]]) -> None:
    tracker, untouched = BotSort(), BotSort()
    for frame in frames:
        try:
            tracks = tracker.update(**frame)
        except InvalidInput:
            continue
        expected = untouched.update(**frame)
        np.testing.assert_array_equal(tracks.ids, expected.ids)
        np.testing.assert_array_equal(tracks.boxes_xyxy, expected.boxes_xyxy)
