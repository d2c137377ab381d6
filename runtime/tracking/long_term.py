"""Recognising a lost person by appearance alone, before a new id is given.

The classic associations need boxes that overlap: appearance re-ranks neighbours, it never brings anybody back. This
stage compares each lost track's ring of past embeddings with the detections that nobody claimed. A pair counts when
it is similar enough, when the person could have walked there in the time, and when it is the best of its row *and* of
its column by a margin, so that look-alikes stay strangers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.tracking.likeness import likeness

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


class EmbeddingRings:
    """The last embeddings of every track, by id.

    Memory is `history` float32 embeddings a kept track; `forget` gives a ring back for the next person.
    """

    def __init__(self, history: int, dim: int) -> None:
        self._history = history
        self._rings = np.zeros((16, history, dim), np.float32)
        self._added = np.zeros(16, np.int64)
        self._slots: dict[int, int] = {}
        self._free = list(range(16))

    def add(self, ids: Indices, embeddings: Array) -> None:
        """Append one (D,) unit embedding to each track's ring, (K, D) in all; a full ring drops its oldest."""
        slots = np.fromiter((self._slot_of(int(track)) for track in ids), np.int64, len(ids))
        self._rings[slots, self._added[slots] % self._history] = embeddings
        self._added[slots] += 1

    def keep(self, ids: Indices) -> None:
        """Forget every track that is not among `ids`."""
        for gone in self._slots.keys() - set(ids.tolist()):
            slot = self._slots.pop(gone)
            self._added[slot] = 0
            self._rings[slot] = 0
            self._free.append(slot)

    def counts(self, ids: Indices) -> Indices:
        """(T,) how many embeddings each track was ever given."""
        slots = (self._slots.get(track) for track in ids.tolist())
        return np.fromiter((0 if slot is None else self._added[slot] for slot in slots), np.int64, len(ids))

    def similarity(self, ids: Indices, embeddings: Array) -> Array:
        """(T, N) likeness of each track's ring and each of N embeddings; -1 where a track has no embedding."""
        result = np.full((len(ids), len(embeddings)), -1.0)
        candidates = embeddings.astype(np.float32)
        for row, track in enumerate(ids.tolist()):
            if (slot := self._slots.get(track)) is not None:
                cosine = self._rings[slot, : min(int(self._added[slot]), self._history)] @ candidates.T
                result[row] = likeness(cosine, axis=0)
        return result

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Contents, for `from_arrays`."""
        slots = np.array(list(self._slots.values()), np.int64)
        return {
            "ring_ids": np.array(list(self._slots), np.int64),
            "ring_added": self._added[slots],
            "rings": self._rings[slots],
        }

    @staticmethod
    def from_arrays(arrays: dict[str, NDArray[np.generic]]) -> EmbeddingRings:
        """Rings as `to_arrays` gave them."""
        contents = arrays["rings"]
        rings = EmbeddingRings(contents.shape[1], contents.shape[2])
        for track, added, content in zip(arrays["ring_ids"], arrays["ring_added"], contents, strict=True):
            slot = rings._slot_of(int(track))
            rings._added[slot] = added
            rings._rings[slot] = content
        return rings

    def _slot_of(self, track: int) -> int:
        if (slot := self._slots.get(track)) is None:
            if not self._free:
                self._free = list(range(len(self._added), 2 * len(self._added)))
                self._rings = np.concatenate([self._rings, np.zeros_like(self._rings)])
                self._added = np.concatenate([self._added, np.zeros_like(self._added)])
            slot = self._slots[track] = self._free.pop()
        return slot


_MOST_GROWTH = 1.6
"""How much taller or shorter a person may come back."""


def reachable(
    seen: Array, predicted: Array, measured: Array, frames_lost: Indices, *, max_speed: float, frame_rate: float
) -> NDArray[np.bool_]:
    """(T, N) whether a lost person could be at `measured`: whether they may have stayed, walked off or walked on.

    Args:
        seen: (T, 4) ``[cx, cy, w, h]`` where the track was seen last, pixels.
        predicted: (T, 4) the same where it would be by now at its last speed.
        measured: (N, 4) the same of the detections.
        frames_lost: (T,) frames since the track was seen.
        max_speed: box heights per second, away from the nearer of the two places.
        frame_rate: frames per second.
    """
    height = seen[:, None, 3]
    distance = np.minimum(_steps_apart(seen, measured), _steps_apart(predicted, measured))
    near: NDArray[np.bool_] = distance <= height * (0.5 + max_speed * frames_lost[:, None] / frame_rate)
    # A filter may have shrunk somebody to nothing and beyond: nobody is as tall as that.
    alike = (measured[:, 3] <= _MOST_GROWTH * height) & (height <= _MOST_GROWTH * measured[:, 3])
    return near & alike


def at_border(boxes: Array, *, width: int, height: int) -> NDArray[np.bool_]:
    """(N,) whether (N, 4) ``[cx, cy, w, h]`` come within a quarter of their width of the picture's border."""
    reach = boxes[:, 2:] / 2 + boxes[:, 2:3] / 4
    room = np.concatenate([boxes[:, :2] - reach, np.array([width, height]) - reach - boxes[:, :2]], axis=1)
    touching: NDArray[np.bool_] = room.min(axis=1) < 0
    return touching


def _steps_apart(first: Array, second: Array) -> Array:
    """(T, N) pixels between the feet of (T, 4) and those of (N, 4) ``[cx, cy, w, h]``."""
    sideways = second[:, 0] - first[:, None, 0]
    return np.hypot(sideways, (second[:, 1] + second[:, 3] / 2) - (first[:, None, 1] + first[:, None, 3] / 2))


def mutual_best(
    similarity: Array, allowed: NDArray[np.bool_], *, minimum: float, margin: float
) -> tuple[Indices, Indices]:
    """Rows and columns of the pairs that are the best of both their row and their column by `margin`.

    `similarity` and `allowed` are (T, N); rivals count only where `allowed`, and must reach no minimum.
    """
    if not similarity.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    values = np.where(allowed, similarity, -2.0)
    column = values.argmax(axis=1)
    rows = np.arange(len(values))
    best = values[rows, column]
    rivals = values.copy()
    rivals[rows, column] = -2.0
    row_rival = rivals.max(axis=1)
    others = np.where(np.arange(len(values))[:, None] == rows, -2.0, values[:, column])
    column_rival = others.max(axis=0)
    clear = (best >= minimum) & (best - row_rival >= margin) & (best - column_rival >= margin)
    found = np.flatnonzero(clear)
    return found, column[found]
