"""The kernels that both tracker cores share, beside NumPy; and what their binding refuses."""

from __future__ import annotations

import numpy as np
import pytest

from reidkit.runtime.native import TrackerCore, blend_embeddings, cosines, iou_distance, make_unit, unit_embeddings
from reidkit.runtime.tracking import BotSort, BotSortConfig

random = np.random.default_rng(8)


def rows(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def iou(first_xyxy: np.ndarray, second_xyxy: np.ndarray) -> np.ndarray:
    """(N, M) intersection over union of (N, 4) and (M, 4) boxes."""
    corners = np.minimum(first_xyxy[:, None, 2:], second_xyxy[:, 2:])
    sides = np.maximum(corners - np.maximum(first_xyxy[:, None, :2], second_xyxy[:, :2]), 0)
    common = sides.prod(axis=2)
    first, second = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first_xyxy, second_xyxy))
    return common / (first[:, None] + second - common)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (1, 1), (7, 40), (33, 5)])
def test_overlap_is_numpys_to_the_bit(shape):
    first, second = (random.uniform(0, 50, (count, 2)) for count in shape)
    first, second = (np.hstack([low, low + random.uniform(1, 60, low.shape)]) for low in (first, second))
    np.testing.assert_array_equal(iou_distance(first, second), 1 - iou(first, second))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 15, 16, 17, 512])
def test_unit_embeddings_have_length_one(dtype, width):
    values = random.normal(size=(9, width)).astype(dtype)
    units, lengths = unit_embeddings(values, rows(4, 4, 0), True)
    np.testing.assert_allclose(lengths, np.linalg.norm(values[[4, 4, 0]].astype(np.float64), axis=1), rtol=1e-14)
    np.testing.assert_allclose(units, values[[4, 4, 0]] / lengths[:, None], rtol=1e-14)
    kept, _ = unit_embeddings(values, rows(1), False)
    np.testing.assert_array_equal(kept, values[[1]].astype(np.float64))


@pytest.mark.parametrize("width", [1, 15, 16, 17, 512])
def test_rows_are_brought_to_length_one_where_they_lie(width):
    values = random.normal(size=(9, width)).astype(np.float32)
    made = values.copy()
    assert make_unit(made, False)
    np.testing.assert_array_equal(made, values)
    assert make_unit(made, True)
    wide = values.astype(np.float64)
    expected = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
    np.testing.assert_array_max_ulp(made, expected, 1)


@pytest.mark.parametrize("scale", [np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal])
def test_a_length_that_float32_cannot_hold_is_one_all_the_same(scale):
    values = np.full((2, 64), scale)
    assert make_unit(values, True)
    np.testing.assert_allclose(values, 1 / 8, rtol=1e-7)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 0])
def test_a_row_without_a_length_is_told_and_the_others_have_theirs(wrong):
    values = random.normal(size=(3, 20)).astype(np.float32)
    values[1] = 0
    values[1, 7] = wrong
    assert not make_unit(values, True)
    np.testing.assert_allclose(np.linalg.norm(values[[0, 2]], axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(values[1], np.where(np.arange(20) == 7, np.float32(wrong), 0))


def test_cosines_are_those_of_the_pairs():
    first, second = random.normal(size=(5, 100)), random.normal(size=(4, 100))
    found = cosines(first, rows(0, 4, 4), second, rows(3, 0, 1))
    np.testing.assert_allclose(found, [first[0] @ second[3], first[4] @ second[0], first[4] @ second[1]], rtol=1e-12)


def test_averages_begin_with_the_first_embedding_and_follow():
    averages, begun = np.full((3, 4), np.nan), np.zeros(3, np.bool_)
    blend_embeddings(averages, begun, rows(2), np.eye(4)[:1], 0.5)
    np.testing.assert_array_equal(averages[2], np.eye(4)[0])
    assert begun.tolist() == [False, False, True]
    blend_embeddings(averages, begun, rows(2), np.eye(4)[1:2], 0.5)
    np.testing.assert_allclose(averages[2], np.float64([1, 1, 0, 0]) / np.sqrt(2))


def test_an_average_that_cancels_out_begins_again():
    averages, begun = np.eye(4)[:1].copy(), np.ones(1, np.bool_)
    blend_embeddings(averages, begun, rows(0), -np.eye(4)[:1], 0.5)
    np.testing.assert_array_equal(averages, -np.eye(4)[:1])


def test_rows_out_of_range_are_refused():
    matrix = np.ones((2, 3))
    for wrong in (rows(2), rows(-1)):
        with pytest.raises(ValueError, match="out of range"):
            unit_embeddings(matrix, wrong, True)
        with pytest.raises(ValueError, match="out of range"):
            cosines(matrix, wrong, matrix, rows(0))
        with pytest.raises(ValueError, match="out of range"):
            blend_embeddings(matrix.copy(), np.ones(2, np.bool_), wrong, matrix[:1], 0.9)


def test_a_table_without_room_or_of_another_width_is_refused():
    tracker = BotSort(BotSortConfig(core="native"))
    core: TrackerCore = tracker._core._core
    boxes, scores = np.tile([0.0, 0.0, 9.0, 9.0], (65, 1)), np.full(65, 0.9)
    core.bind(tracker._state.table.columns())
    core.read(boxes, scores, None, None, None, 0)
    with pytest.raises(ValueError, match="no room"):
        core.associate(0, False, 1, 1, 1.0, None)
    core.read(boxes[:1], scores[:1], None, np.ones((1, 8), np.float32), None, 0)
    with pytest.raises(ValueError, match="another width"):
        core.associate(0, False, 1, 1, 1.0, None)


@pytest.mark.parametrize("column", ["id", "position", "has_embedding", "embedding"])
def test_a_column_of_another_type_is_refused(column):
    tracker = BotSort(BotSortConfig(core="native"))
    columns = tracker._state.table.columns()
    columns[column] = columns[column].astype(np.float32)
    with pytest.raises(RuntimeError):
        tracker._core._core.bind(columns)
