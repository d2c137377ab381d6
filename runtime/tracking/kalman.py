"""The constant-velocity Kalman filter of BoT-SORT on all tracks at once (arXiv 2206.14651, section 3.1).

The state of a track is ``[cx, cy, w, h, vx, vy, vw, vh]`` in pixels and pixels per frame. Process noise, measurement
noise and initial covariance are diagonal and grow with the box, so that each of the four coordinates is a filter of
its own: the 8x8 covariance is four 2x2 blocks, kept as three diagonals of length four (position, mixed, velocity), and
every step is element-wise. Only a camera that turns couples x with y; from then on these two are one 4x4 block, whose
off-diagonal terms are `TrackTable.cov_xy`.

Sums and products are written out one by one: library routines for small matrices and powers round differently from
machine to machine. The native core takes the same steps in the same order (runtime/native/motion.hpp), to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.tracking.table import Rows, TrackTable
from reidkit.runtime.tracking.tracks import TrackState

Array = NDArray[np.float64]
_Block = Sequence[Any]
"""xx, xy, yx, yy of a matrix of two by two: numbers, or (R,) arrays of them."""

POSITION_NOISE = 1 / 20
VELOCITY_NOISE = 1 / 160
_POSITION_VARIANCE = POSITION_NOISE * POSITION_NOISE
_VELOCITY_VARIANCE = VELOCITY_NOISE * VELOCITY_NOISE
_FIRST_POSITION_VARIANCE = (2 * POSITION_NOISE) * (2 * POSITION_NOISE)
_FIRST_VELOCITY_VARIANCE = (10 * VELOCITY_NOISE) * (10 * VELOCITY_NOISE)


def measurements(boxes_xyxy: Array) -> Array:
    """(N, 4) ``[cx, cy, w, h]`` of (N, 4) boxes."""
    measured = np.empty_like(boxes_xyxy)
    np.add(boxes_xyxy[:, :2], boxes_xyxy[:, 2:], out=measured[:, :2])
    measured[:, :2] *= 0.5
    np.subtract(boxes_xyxy[:, 2:], boxes_xyxy[:, :2], out=measured[:, 2:])
    return measured


def start(table: TrackTable, rows: Rows | slice, measured: Array) -> None:
    """Begin tracks at rest, twice as unsure of the place as a measurement and ten times as unsure of the speed."""
    size_squared = _size_squared(measured)
    table.position[rows] = measured
    table.velocity[rows] = table.cov_mixed[rows] = table.cov_xy[rows] = 0
    table.cov_position[rows] = size_squared * _FIRST_POSITION_VARIANCE
    table.cov_velocity[rows] = size_squared * _FIRST_VELOCITY_VARIANCE


def predict(table: TrackTable, rows: Rows) -> None:
    """Move tracks one frame on. A track that is not tracked keeps its size."""
    position, velocity = table.position[rows], table.velocity[rows]
    velocity[table.state[rows] != TrackState.TRACKED, 2:] = 0
    size_squared = _size_squared(position)
    cov_position, cov_mixed, cov_velocity = table.cov_position[rows], table.cov_mixed[rows], table.cov_velocity[rows]
    cov_position += cov_mixed
    cov_mixed += cov_velocity
    cov_position += cov_mixed
    cov_position += size_squared * _POSITION_VARIANCE
    cov_velocity += size_squared * _VELOCITY_VARIANCE
    position += velocity
    table.position[rows], table.velocity[rows] = position, velocity
    table.cov_position[rows], table.cov_mixed[rows], table.cov_velocity[rows] = cov_position, cov_mixed, cov_velocity
    if table.coupled:
        coupling = table.cov_xy[rows]
        coupling[:, 0] += coupling[:, 1] + coupling[:, 2] + coupling[:, 3]
        coupling[:, 1:3] += coupling[:, 3:]
        table.cov_xy[rows] = coupling


def predict_over(table: TrackTable, rows: Rows, steps: float) -> None:
    """Move tracks any number of frames on, as so many times `predict` would.

    Only sizes go on growing or shrinking for one frame at the most, as those of lost tracks do not at all.
    """
    if steps == 1:
        predict(table, rows)
        return
    size_squared = _size_squared(table.position[rows])
    velocity = table.velocity[rows]
    velocity[table.state[rows] != TrackState.TRACKED, 2:] = 0
    cov_mixed, cov_velocity = table.cov_mixed[rows], table.cov_velocity[rows]
    reach = np.array([steps, steps, min(steps, 1), min(steps, 1)])
    # The noise of a step's speed is carried on through the steps left, k < steps: sums of k and of k squared.
    first, second = steps * (steps - 1) / 2, steps * (steps - 1) * (2 * steps - 1) / 6
    table.position[rows] += reach * velocity
    table.velocity[rows] = velocity
    table.cov_position[rows] += steps * (2 * cov_mixed + steps * cov_velocity) + size_squared * (
        steps * _POSITION_VARIANCE + second * _VELOCITY_VARIANCE
    )
    table.cov_mixed[rows] += steps * cov_velocity + size_squared * (first * _VELOCITY_VARIANCE)
    table.cov_velocity[rows] += size_squared * (steps * _VELOCITY_VARIANCE)
    if table.coupled:
        coupling = table.cov_xy[rows]
        coupling[:, 0] += steps * (coupling[:, 1] + coupling[:, 2]) + steps * steps * coupling[:, 3]
        coupling[:, 1:3] += steps * coupling[:, 3:]
        table.cov_xy[rows] = coupling


def correct(table: TrackTable, rows: Rows, measured: Array) -> None:
    """Draw tracks towards their measurements, (R, 4) ``[cx, cy, w, h]``."""
    position, velocity = table.position[rows], table.velocity[rows]
    cov_position, cov_mixed, cov_velocity = table.cov_position[rows], table.cov_mixed[rows], table.cov_velocity[rows]
    noise = _size_squared(position) * _POSITION_VARIANCE
    innovation = measured - position
    innovation_cov = cov_position + noise
    gain_position = cov_position / innovation_cov
    gain_velocity = cov_mixed / innovation_cov
    if table.coupled:
        _correct_xy(table, rows, innovation[:, :2], noise[:, :2])
        coupled = table.position[rows, :2], table.velocity[rows, :2]
        coupled_cov = table.cov_position[rows, :2], table.cov_mixed[rows, :2], table.cov_velocity[rows, :2]
    position += gain_position * innovation
    velocity += gain_velocity * innovation
    cov_velocity -= gain_velocity * cov_mixed
    cov_mixed -= gain_position * cov_mixed
    cov_position -= gain_position * cov_position
    if table.coupled:
        position[:, :2], velocity[:, :2] = coupled
        cov_position[:, :2], cov_mixed[:, :2], cov_velocity[:, :2] = coupled_cov
    table.position[rows], table.velocity[rows] = position, velocity
    table.cov_position[rows], table.cov_mixed[rows], table.cov_velocity[rows] = cov_position, cov_mixed, cov_velocity


def move_camera(table: TrackTable, affine: Array) -> None:
    """Carry all tracks over from the previous frame's pixels to this frame's.

    `affine` is (2, 3), previous to current. Places and their speeds are mapped by its matrix; widths and heights are
    scaled by the square root of its determinant, because an upright box stays upright when the camera turns (the
    authors' code rotates them like a place, which can turn a width negative).
    """
    rows = slice(0, table.count)
    (xx, xy, shift_x), (yx, yy, shift_y) = affine.tolist()
    scale = math.sqrt(abs(xx * yy - xy * yx))
    for column in (table.position, table.velocity):
        x, y = column[rows, 0].copy(), column[rows, 1].copy()
        column[rows, 0], column[rows, 1] = xx * x + xy * y, yx * x + yy * y
        column[rows, 2:] *= scale
    table.position[rows, :2] += (shift_x, shift_y)
    for column in (table.cov_position, table.cov_mixed, table.cov_velocity):
        column[rows, 2:] *= scale * scale
    table.coupled = table.coupled or (table.count > 0 and bool(xy or yx))
    matrix, transposed = (xx, xy, yx, yy), (xx, yx, xy, yy)
    _write_xy(table, rows, *(_product(_product(matrix, block), transposed) for block in _read_xy(table, rows)))


def _correct_xy(table: TrackTable, rows: Rows, innovation: Array, noise: Array) -> None:
    """`correct` for x and y together: the textbook update on blocks of two by two."""
    position, mixed, velocity = _read_xy(table, rows)
    xx, xy, yx, yy = position[0] + noise[:, 0], position[1], position[2], position[3] + noise[:, 1]
    determinant = xx * yy - xy * yx
    inverse = yy / determinant, -xy / determinant, -yx / determinant, xx / determinant
    gain_position = _product(position, inverse)
    gain_velocity = _product((mixed[0], mixed[2], mixed[1], mixed[3]), inverse)
    for column, gain in ((table.position, gain_position), (table.velocity, gain_velocity)):
        column[rows, 0] += gain[0] * innovation[:, 0] + gain[1] * innovation[:, 1]
        column[rows, 1] += gain[2] * innovation[:, 0] + gain[3] * innovation[:, 1]
    parts = (position, gain_position, position), (mixed, gain_position, mixed), (velocity, gain_velocity, mixed)
    _write_xy(table, rows, *(_difference(block, _product(gain, other)) for block, gain, other in parts))


def _difference(first: _Block, second: _Block) -> _Block:
    return [a - b for a, b in zip(first, second, strict=True)]


def _product(first: _Block, second: _Block) -> _Block:
    """Of matrices of two by two."""
    (a, b, c, d), (e, f, g, h) = first, second
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h


def _read_xy(table: TrackTable, rows: Rows | slice) -> tuple[_Block, _Block, _Block]:
    """The x-y part of the covariance: its position, mixed (position by velocity) and velocity blocks."""
    position, mixed, velocity = table.cov_position[rows], table.cov_mixed[rows], table.cov_velocity[rows]
    coupling = table.cov_xy[rows]
    return (
        (position[:, 0], coupling[:, 0], coupling[:, 0], position[:, 1]),
        (mixed[:, 0], coupling[:, 1], coupling[:, 2], mixed[:, 1]),
        (velocity[:, 0], coupling[:, 3], coupling[:, 3], velocity[:, 1]),
    )


def _write_xy(table: TrackTable, rows: Rows | slice, position: _Block, mixed: _Block, velocity: _Block) -> None:
    for column, block in ((table.cov_position, position), (table.cov_mixed, mixed), (table.cov_velocity, velocity)):
        column[rows, 0], column[rows, 1] = block[0], block[3]
    table.cov_xy[rows] = np.stack([position[1], mixed[1], mixed[2], velocity[1]], axis=1)


def _size_squared(position: Array) -> Array:
    """(R, 4) ``[w, h, w, h]`` squared, the scale of every noise."""
    size_squared = np.empty_like(position)
    np.square(position[:, 2:], out=size_squared[:, 2:])
    size_squared[:, :2] = size_squared[:, 2:]
    return size_squared
