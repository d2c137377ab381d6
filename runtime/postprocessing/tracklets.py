"""Tracklets: what a tracker wrote of one person, as long as it gave them one id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.video.mot_files import MotTable, TracksWriter, read_tracks


@dataclass(frozen=True, slots=True, eq=False)
class Tracklet:
    """One id's boxes.

    Attributes:
        id: as the tracker gave it.
        frames: (K,) int64, ascending, K at least 1.
        boxes_xyxy: (K, 4) float64 pixels.
        scores: (K,) float64 in [0, 1].
    """

    id: int
    frames: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]

    @staticmethod
    def join(first: Tracklet, second: Tracklet) -> Tracklet:
        """Both under the id of `first`, which must end before `second` begins."""
        return Tracklet(
            first.id,
            np.concatenate([first.frames, second.frames]),
            np.concatenate([first.boxes_xyxy, second.boxes_xyxy]),
            np.concatenate([first.scores, second.scores]),
        )


def read_tracklets(path: Path) -> list[Tracklet]:
    """The tracklets of a tracker's output, by ascending id. Raises `InvalidFile`."""
    return _tracklets(read_tracks(path))


def _tracklets(table: MotTable) -> list[Tracklet]:
    order = np.lexsort((table.frames, table.ids))
    ids, starts = np.unique(table.ids[order], return_index=True)
    boxes = np.concatenate([table.boxes_xywh[:, :2], table.boxes_xywh[:, :2] + table.boxes_xywh[:, 2:]], axis=1)
    return [
        Tracklet(int(identity), table.frames[rows], boxes[rows], table.scores[rows])
        for identity, rows in zip(ids, np.split(order, starts[1:]), strict=False)
    ]


def add_tracklets(tracklets: Sequence[Tracklet], writer: TracksWriter) -> None:
    """Write tracklets frame by frame, ids ascending."""
    ids = np.concatenate([np.full(len(each.frames), each.id) for each in tracklets] or [np.zeros(0, np.int64)])
    frames = np.concatenate([each.frames for each in tracklets] or [np.zeros(0, np.int64)])
    boxes = np.concatenate([each.boxes_xyxy for each in tracklets] or [np.zeros((0, 4))])
    scores = np.concatenate([each.scores for each in tracklets] or [np.zeros(0)])
    order = np.lexsort((ids, frames))
    present, starts = np.unique(frames[order], return_index=True)
    for frame, rows in zip(present.tolist(), np.split(order, starts[1:]), strict=False):
        writer.write(frame, ids[rows], boxes[rows], scores[rows])
