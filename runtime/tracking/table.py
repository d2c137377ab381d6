"""The tracks of one tracker as a struct of arrays: one column a quantity, one row a track, by ascending id.

Nothing here is a Python object per track: a frame costs a fixed number of NumPy calls, however many people there are.
Columns grow by doubling and shrink never, so memory is bounded by the largest crowd seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

_COLUMNS: dict[str, tuple[type, tuple[int, ...]]] = {
    "id": (np.int64, ()),
    "state": (np.int8, ()),
    "confirmed": (np.bool_, ()),
    "start_frame": (np.int64, ()),
    "last_frame": (np.int64, ()),
    "score": (np.float64, ()),
    "class_id": (np.int64, ()),
    "class_lead": (np.float64, ()),
    "detection_index": (np.int64, ()),
    "position": (np.float64, (4,)),
    "velocity": (np.float64, (4,)),
    "cov_position": (np.float64, (4,)),
    "cov_mixed": (np.float64, (4,)),
    "cov_velocity": (np.float64, (4,)),
    "cov_xy": (np.float64, (4,)),
    "has_embedding": (np.bool_, ()),
    "embedded_frame": (np.int64, ()),
}


class TrackTable:
    """Columns of all kept tracks; rows 0 to `count - 1` are alive.

    Attributes:
        count: number of tracks.
        id, state, confirmed, start_frame, last_frame, score, class_id, detection_index: (C,) bookkeeping; C is the
            capacity.
        class_lead: (C,) by what sum of scores `class_id` leads, see `classes.vote`; 0 without a vote.
        position: (C, 4) centre x, centre y, width, height in pixels.
        velocity: (C, 4) the same per frame.
        cov_position, cov_mixed, cov_velocity: (C, 4) diagonals of the covariance's position-position,
            position-velocity and velocity-velocity blocks (see `kalman`).
        cov_xy: (C, 4) what couples x and y once the camera has turned: cov(x, y), cov(x, vy), cov(y, vx), cov(vx, vy).
        coupled: whether any entry of `cov_xy` may differ from zero.
        has_embedding: (C,) whether `embedding` is set.
        embedded_frame: (C,) frame of the last embedding.
        embedding: (C, D) float64 unit vectors, the moving average of a track's appearance; D is 0 until known.
    """

    id: NDArray[np.int64]
    state: NDArray[np.int8]
    confirmed: NDArray[np.bool_]
    start_frame: NDArray[np.int64]
    last_frame: NDArray[np.int64]
    score: NDArray[np.float64]
    class_id: NDArray[np.int64]
    class_lead: NDArray[np.float64]
    detection_index: NDArray[np.int64]
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    cov_position: NDArray[np.float64]
    cov_mixed: NDArray[np.float64]
    cov_velocity: NDArray[np.float64]
    cov_xy: NDArray[np.float64]
    has_embedding: NDArray[np.bool_]
    embedded_frame: NDArray[np.int64]
    embedding: NDArray[np.float64]

    def __init__(self) -> None:
        self.count = 0
        self.coupled = False
        for name, (dtype, shape) in _COLUMNS.items():
            setattr(self, name, np.zeros((64, *shape), dtype))
        self.embedding = np.zeros((64, 0), np.float64)

    def reserve(self, count: int) -> None:
        """Make room for `count` rows in all."""
        while count > len(self.id):
            for name, column in self.columns().items():
                setattr(self, name, np.concatenate([column, np.zeros_like(column)]))

    def append(self, count: int) -> slice:
        """Add `count` zeroed rows at the end and return where they are."""
        self.reserve(self.count + count)
        start, self.count = self.count, self.count + count
        rows = slice(start, self.count)
        for name in self._names():
            getattr(self, name)[rows] = 0
        return rows

    def keep(self, alive: NDArray[np.bool_]) -> None:
        """Drop the rows where `alive`, (count,) bool, is False; the order of the rest stays."""
        rows = np.flatnonzero(alive)
        for name in self._names():
            column = getattr(self, name)
            column[: rows.size] = column[rows]
        self.count = int(rows.size)
        self.coupled = self.coupled and self.count > 0

    def boxes_xyxy(self, rows: Rows) -> NDArray[np.float64]:
        """(R, 4) float64 boxes of the given rows in pixels."""
        position = self.position[rows]
        half = position[:, 2:] * 0.5
        boxes = np.empty_like(position)
        np.subtract(position[:, :2], half, out=boxes[:, :2])
        np.add(position[:, :2], half, out=boxes[:, 2:])
        return boxes

    def set_embedding_dim(self, dim: int) -> None:
        """Give `embedding` its width; called once, with the first embeddings."""
        self.embedding = np.zeros((len(self.id), dim), np.float64)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Every column by name, C rows long; theirs is the memory."""
        return {name: getattr(self, name) for name in self._names()}

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Copies of the living rows of every column."""
        return {name: column[: self.count].copy() for name, column in self.columns().items()}

    @staticmethod
    def from_arrays(arrays: dict[str, NDArray[Any]], *, coupled: bool) -> TrackTable:
        """A table whose living rows are `arrays`, as `to_arrays` gave them."""
        table = TrackTable()
        table.set_embedding_dim(arrays["embedding"].shape[1])
        rows = table.append(len(arrays["id"]))
        for name in table._names():
            getattr(table, name)[rows] = arrays[name]
        table.coupled = coupled
        return table

    @staticmethod
    def _names() -> tuple[str, ...]:
        return (*_COLUMNS, "embedding")
