"""The real sequences of ../shared/data as a tracker is given them: public detections, and what goes with them.

Camera motion is the BoT-SORT authors' where they published it, else a camera that pans and turns a little. Few of the
sequences come with their pictures, so embeddings are made up: a vector for each person of the ground truth, with noise,
and a stranger's where a detection is nobody's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from reference.sequences import Frame

from reidkit.runtime.native import iou_distance
from reidkit.runtime.video.mot_files import read_detections, read_tracks

NAMES = (
    "MOT15/ADL-Rundle-6",
    "MOT15/ADL-Rundle-8",
    "MOT15/ETH-Bahnhof",
    "MOT15/ETH-Pedcross2",
    "MOT15/KITTI-13",
    "MOT15/KITTI-17",
    "MOT15/PETS09-S2L1",
    "MOT15/TUD-Campus",
    "MOT17-mini/MOT17-02-FRCNN",
    "MOT17-mini/MOT17-04-FRCNN",
    "MOT17-mini/MOT17-05-FRCNN",
    "MOT17-mini/MOT17-10-FRCNN",
)
EMBEDDING_DIM = 24


@dataclass(frozen=True)
class Given:
    """What a tracker gets beside the detections."""

    embeddings: bool
    camera_motion: bool

    def __str__(self) -> str:
        return f"{'with' if self.embeddings else 'no'} embeddings, {'a moving' if self.camera_motion else 'no'} camera"


EVERYTHING_GIVEN = [Given(embeddings, camera) for embeddings in (False, True) for camera in (False, True)]


def real_frames(shared_data: Path, name: str, given: Given, *, most: int) -> Iterator[Frame]:
    """The first frames of a sequence, `most` at the most."""
    folder = shared_data / "mot" / name
    detections, truth = read_detections(folder / "det" / "det.txt"), read_tracks(folder / "gt" / "gt.txt")
    random = np.random.default_rng(len(name))
    faces = {int(person): random.normal(size=EMBEDDING_DIM) for person in np.unique(truth.ids)}
    motions = _camera_motions(shared_data / "mot" / "gmc" / f"GMC-{Path(name).name.removesuffix('-FRCNN')}.txt")
    for number in range(1, min(max(detections), most) + 1):
        seen = detections.get(number)
        boxes = np.zeros((0, 4)) if seen is None else seen.boxes_xyxy.astype(np.float64)
        scores = np.zeros(0) if seen is None else seen.scores.astype(np.float64)
        people = truth.frames == number
        views = _views(random, boxes, truth.boxes_xywh[people], [faces[int(i)] for i in truth.ids[people]])
        motion = next(motions)
        yield Frame(
            boxes,
            scores,
            np.zeros(len(scores), np.int64),
            views if given.embeddings else None,
            None,
            motion if given.camera_motion and number > 1 else None,
        )


def _views(
    random: np.random.Generator, boxes: NDArray[np.float64], people_xywh: NDArray[np.float64], faces: list[np.ndarray]
) -> NDArray[np.float32]:
    views = random.normal(size=(len(boxes), EMBEDDING_DIM))
    if faces and len(boxes):
        people = np.concatenate([people_xywh[:, :2], people_xywh[:, :2] + people_xywh[:, 2:]], axis=1)
        distance = iou_distance(boxes, people)
        for row in np.flatnonzero(distance.min(axis=1) < 0.6):
            views[row] = faces[int(distance[row].argmin())] + 0.5 * views[row]
    return views.astype(np.float32)


def _camera_motions(path: Path) -> Iterator[NDArray[np.float64]]:
    if path.is_file():
        yield from np.loadtxt(path)[:, 1:7].reshape(-1, 2, 3)
    random = np.random.default_rng(0)
    while True:
        angle, shift = random.normal(0, 0.002), random.normal(0, 2, 2)
        yield np.array([[math.cos(angle), -math.sin(angle), shift[0]], [math.sin(angle), math.cos(angle), shift[1]]])
