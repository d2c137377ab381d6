"""The constant-velocity Kalman filter of BoT-SORT on all tracks at once (arXiv 2206.14651, section 3.1).

The state of a track is ``[cx, cy, w, h, vx, vy, vw, vh]`` in pixels and pixels per frame. Process noise, measurement
noise and initial covariance are diagonal and grow with the box, so that each of the four coordinates is a filter of
its own: the 8x8 covariance is four 2x2 blocks, kept as three diagonals of length four (position, mixed, velocity), and
every step is element-wise. Only a camera that turns couples x with y; from then on these two are one 4x4 block, whose
off-diagonal terms are `TrackTable.cov_xy`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.tracking.table import Rows, TrackTable
from reidkit.runtime.tracking.tracks import TrackState

Array = NDArray[np.float64]

POSITION_NOISE = 1 / 20
VELOCITY_NOISE = 1 / 160


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
    table.cov_position[rows] = size_squared * (2 * POSITION_NOISE) ** 2
    table.cov_velocity[rows] = size_squared * (10 * VELOCITY_NOISE) ** 2


def predict(table: TrackTable, rows: Rows) -> None:
    """Move tracks one frame on. A track that is not tracked keeps its size."""
    position, velocity = table.position[rows], table.velocity[rows]
    velocity[table.state[rows] != TrackState.TRACKED, 2:] = 0
    size_squared = _size_squared(position)
    cov_position, cov_mixed, cov_velocity = table.cov_position[rows], table.cov_mixed[rows], table.cov_velocity[rows]
    cov_position += cov_mixed
    cov_mixed += cov_velocity
    cov_position += cov_mixed
    cov_position += size_squared * POSITION_NOISE**2
    cov_velocity += size_squared * VELOCITY_NOISE**2
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
        steps * POSITION_NOISE**2 + second * VELOCITY_NOISE**2
    )
    table.cov_mixed[rows] += steps * cov_velocity + size_squared * (first * VELOCITY_NOISE**2)
    table.cov_velocity[rows] += size_squared * (steps * VELOCITY_NOISE**2)
    if table.coupled:
        coupling = table.cov_xy[rows]
        coupling[:, 0] += steps * (coupling[:, 1] + coupling[:, 2]) + steps**2 * coupling[:, 3]
        coupling[:, 1:3] += steps * coupling[:, 3:]
        table.cov_xy[rows] = coupling


def correct(table: TrackTable, rows: Rows, measured: Array) -> None:
    """Draw tracks towards their measurements, (R, 4) ``[cx, cy, w, h]``."""
    position, velocity = table.position[rows], table.velocity[rows]
    cov_position, cov_mixed, cov_velocity = table.cov_position[rows], table.cov_mixed[rows], table.cov_velocity[rows]
    noise = _size_squared(position) * POSITION_NOISE**2
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
    matrix, shift = affine[:, :2], affine[:, 2]
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    for column in (table.position, table.velocity):
        column[rows, :2] = column[rows, :2] @ matrix.T
        column[rows, 2:] *= scale
    table.position[rows, :2] += shift
    for column in (table.cov_position, table.cov_mixed, table.cov_velocity):
        column[rows, 2:] *= scale**2
    table.coupled = table.coupled or bool(matrix[0, 1] or matrix[1, 0])
    blocks = (matrix @ block @ matrix.T for block in _read_xy(table, rows))
    _write_xy(table, rows, *blocks)


def _correct_xy(table: TrackTable, rows: Rows, innovation: Array, noise: Array) -> None:
    """`correct` for x and y together: the textbook update on (R, 2, 2) blocks."""
    cov_position, cov_mixed, cov_velocity = _read_xy(table, rows)
    innovation_cov = cov_position.copy()
    innovation_cov[:, (0, 1), (0, 1)] += noise
    inverse = np.linalg.inv(innovation_cov)
    gain_position = cov_position @ inverse
    gain_velocity = cov_mixed.transpose(0, 2, 1) @ inverse
    table.position[rows, :2] += (gain_position @ innovation[:, :, None])[:, :, 0]
    table.velocity[rows, :2] += (gain_velocity @ innovation[:, :, None])[:, :, 0]
    _write_xy(
        table,
        rows,
        cov_position - gain_position @ cov_position,
        cov_mixed - gain_position @ cov_mixed,
        cov_velocity - gain_velocity @ cov_mixed,
    )


def _read_xy(table: TrackTable, rows: Rows | slice) -> tuple[Array, Array, Array]:
    """The x-y part of the covariance as (R, 2, 2) position, mixed (position by velocity) and velocity blocks."""
    coupling = table.cov_xy[rows]
    blocks = []
    for diagonal, upper, lower in (
        (table.cov_position[rows], 0, 0),
        (table.cov_mixed[rows], 1, 2),
        (table.cov_velocity[rows], 3, 3),
    ):
        block = np.empty((len(coupling), 2, 2))
        block[:, 0, 0], block[:, 1, 1] = diagonal[:, 0], diagonal[:, 1]
        block[:, 0, 1], block[:, 1, 0] = coupling[:, upper], coupling[:, lower]
        blocks.append(block)
    return blocks[0], blocks[1], blocks[2]


def _write_xy(table: TrackTable, rows: Rows | slice, position: Array, mixed: Array, velocity: Array) -> None:
    for column, block in ((table.cov_position, position), (table.cov_mixed, mixed), (table.cov_velocity, velocity)):
        column[rows, 0], column[rows, 1] = block[:, 0, 0], block[:, 1, 1]
    table.cov_xy[rows] = np.stack([position[:, 0, 1], mixed[:, 0, 1], mixed[:, 1, 0], velocity[:, 0, 1]], axis=1)


def _size_squared(position: Array) -> Array:
    """(R, 4) ``[w, h, w, h]`` squared, the scale of every noise."""
    size_squared = np.empty_like(position)
    np.square(position[:, 2:], out=size_squared[:, 2:])
    size_squared[:, :2] = size_squared[:, 2:]
    return size_squared
