"""BoT-SORT step by step, slowly: the oracle that the fast tracker is compared with.

    boxes, scores, embeddings ──► 1 predict ──► 2 pool x high ──► 3 tracked x low ──► 4 unconfirmed x high
                      rows ◄── 7 duplicates ◄── 6 expiry ◄── 5 births ◄──────────────────────┘

One object a track, one 8x8 matrix a covariance, one loop a table; it reads like the specification and shares no code
with what it judges. Written from the paper (Aharon et al., arXiv 2206.14651) and the published behaviour of the
authors' code, without its faults: a score equal to the high threshold is high, rotation leaves widths alone, ids
belong to the instance, nothing removed is kept. Inputs are taken to be valid.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.assignment_reference import assign

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Box = tuple[float, float, float, float]
Costs = list[list[float]]


@dataclass(frozen=True)
class Parameters:
    """The thresholds, with the authors' defaults; costs and distances are upper bounds, scores and cosines lower."""

    track_high: float = 0.6
    track_low: float = 0.1
    new_track: float = 0.7
    max_lost_frames: int = 30
    match: float = 0.8
    second: float = 0.5
    unconfirmed: float = 0.7
    proximity: float = 0.5
    min_cosine: float = 0.5
    appearance_cost_scale: float = 0.5
    alpha: float = 0.9
    duplicate: float = 0.15
    fuse_score: bool = True
    with_reid: bool = True


class Row(NamedTuple):
    """One confirmed track that is followed in this frame; `detection_index` is the row of `boxes_xyxy` it took."""

    id: int
    detection_index: int
    box_xyxy: Box
    score: float
    class_id: int
    confirmed: bool


class State(Enum):
    """Removed tracks are simply no longer there."""

    TRACKED = "tracked"
    LOST = "lost"


@dataclass(frozen=True)
class Detection:
    """One row of a frame's input; `embedding` has unit length, and is None where there is none to be used."""

    index: int
    box_xyxy: Box
    score: float
    class_id: int
    embedding: Vector | None

    @property
    def measurement(self) -> Vector:
        """z = [cx, cy, w, h]."""
        x1, y1, x2, y2 = self.box_xyxy
        return np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])


# --- State and noise: x = [cx, cy, w, h, vx, vy, vw, vh], pixels and pixels/frame -----------------------------------

POSITION_NOISE = 1 / 20
VELOCITY_NOISE = 1 / 160
TRANSITION = np.eye(8) + np.eye(8, k=4)
OBSERVATION = np.eye(4, 8)


def noise(scale: float, width: float, height: float) -> list[float]:
    """The variances of four numbers that are uncertain in proportion to [w, h, w, h]."""
    return [(scale * side) ** 2 for side in (width, height, width, height)]


class ReferenceTrack:
    """One person, from birth to removal."""

    def __init__(self, track_id: int, detection: Detection, frame: int, *, confirmed: bool) -> None:
        self.id = track_id
        self.confirmed = confirmed
        self.start_frame = frame
        z = detection.measurement
        self.mean = np.concatenate([z, np.zeros(4)])
        self.covariance = np.diag(noise(2 * POSITION_NOISE, z[2], z[3]) + noise(10 * VELOCITY_NOISE, z[2], z[3]))
        self._take(detection, frame)
        self.embedding = detection.embedding

    @property
    def box_xyxy(self) -> Box:
        """The box of the filter's state."""
        cx, cy, w, h = self.mean[:4].tolist()
        return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2

    @property
    def life_frames(self) -> int:
        """From birth to the last detection."""
        return self.last_frame - self.start_frame

    def predict(self) -> None:
        """One frame on, by constant velocity; a track that is not tracked keeps its size."""
        if self.state is not State.TRACKED:
            self.mean[6:8] = 0
        w, h = self.mean[2:4]
        drift = np.diag(noise(POSITION_NOISE, w, h) + noise(VELOCITY_NOISE, w, h))
        self.mean = TRANSITION @ self.mean
        self.covariance = TRANSITION @ self.covariance @ TRANSITION.T + drift

    def move_with_camera(self, affine: Matrix) -> None:
        """From the previous image into the current one: places turn and scale, sizes only scale."""
        linear, translation = affine[:, :2], affine[:, 2]
        scale = math.sqrt(abs(linear[0, 0] * linear[1, 1] - linear[0, 1] * linear[1, 0]))
        whole = np.zeros((8, 8))
        whole[0:2, 0:2] = linear
        whole[2:4, 2:4] = scale * np.eye(2)
        whole[4:6, 4:6] = linear
        whole[6:8, 6:8] = scale * np.eye(2)
        self.mean = whole @ self.mean
        self.mean[0:2] += translation
        self.covariance = whole @ self.covariance @ whole.T

    def update(self, detection: Detection, frame: int, *, alpha: float) -> None:
        """The detection corrects the filter and the appearance; the track is tracked and confirmed, if it was not."""
        measurement_noise = np.diag(noise(POSITION_NOISE, self.mean[2], self.mean[3]))
        innovation_covariance = OBSERVATION @ self.covariance @ OBSERVATION.T + measurement_noise
        gain = self.covariance @ OBSERVATION.T @ np.linalg.inv(innovation_covariance)
        self.mean = self.mean + gain @ (detection.measurement - OBSERVATION @ self.mean)
        self.covariance = self.covariance - gain @ innovation_covariance @ gain.T
        if detection.embedding is not None:
            if self.embedding is None:
                self.embedding = detection.embedding
            else:
                self.embedding = unit(alpha * self.embedding + (1 - alpha) * detection.embedding)
        self.confirmed = True
        self._take(detection, frame)

    def lose(self) -> None:
        """No detection in this frame."""
        self.state = State.LOST
        self.detection_index = -1

    def _take(self, detection: Detection, frame: int) -> None:
        self.state = State.TRACKED
        self.last_frame = frame
        self.detection_index = detection.index
        self.score = detection.score
        self.class_id = detection.class_id


# --- Costs -----------------------------------------------------------------------------------------------------------


def unit(vector: Vector) -> Vector:
    """The vector at length one."""
    return vector / math.sqrt(float(vector @ vector))


def iou_distance(a: Box, b: Box) -> float:
    """1 - IoU; boxes that do not overlap are at distance 1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 1.0
    shared = width * height
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return 1 - shared / (areas - shared)


def iou_cost(track: ReferenceTrack, detection: Detection, parameters: Parameters) -> float:
    """The cost of the second association: overlap alone."""
    return iou_distance(track.box_xyxy, detection.box_xyxy)


def fused_cost(track: ReferenceTrack, detection: Detection, parameters: Parameters) -> float:
    """The cost of a high detection: the lesser of overlap (weighed with the score) and gated appearance."""
    distance = iou_distance(track.box_xyxy, detection.box_xyxy)
    cost = distance
    if parameters.fuse_score:
        cost = 1 - (1 - distance) * detection.score
    return min(cost, appearance_cost(track, detection, distance, parameters))


def appearance_cost(track: ReferenceTrack, detection: Detection, distance: float, parameters: Parameters) -> float:
    """Scaled cosine distance; 1 where it must not speak: unknown, unlike, or too far away."""
    if not parameters.with_reid or track.embedding is None or detection.embedding is None:
        return 1.0
    cosine = float(track.embedding @ detection.embedding)
    if cosine < parameters.min_cosine:
        return 1.0
    if distance > parameters.proximity:
        return 1.0
    return max(0.0, parameters.appearance_cost_scale * (1 - cosine))


# --- One frame -------------------------------------------------------------------------------------------------------


class ReferenceBotSort:
    """The tracker. `tracks` holds all living tracks, unconfirmed and lost ones too, by ascending id."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self.frame = 0
        self.next_id = 1
        self.tracks: list[ReferenceTrack] = []

    def update(
        self,
        boxes_xyxy: NDArray[np.float64],
        scores: NDArray[np.float64],
        classes: NDArray[np.int64] | None = None,
        embeddings: NDArray[np.float32] | None = None,
        embedded: NDArray[np.bool_] | None = None,
        camera_motion: NDArray[np.float64] | None = None,
    ) -> list[Row]:
        """The confirmed tracks that are followed after this frame, by ascending id.

        Args:
            boxes_xyxy: (N, 4) pixels.
            scores: (N,).
            classes: (N,), all 0 by default; they are handed through and decide nothing.
            embeddings: (N, D), any length but zero; read for high detections alone.
            embedded: (N,), which rows of `embeddings` hold something; all by default.
            camera_motion: (2, 3) affine from the previous image to this one.
        """
        p = self.parameters
        self.frame += 1

        detections = self._detections(boxes_xyxy, scores, classes, embeddings, embedded)
        high = [d for d in detections if d.score >= p.track_high]
        low = [d for d in detections if p.track_low < d.score < p.track_high]

        # 1. Where everybody should be now. Unconfirmed tracks are one frame old and stand still.
        pool = [t for t in self.tracks if t.confirmed]
        unconfirmed = [t for t in self.tracks if not t.confirmed]
        lost_before = [t for t in pool if t.state is State.LOST]
        for track in pool:
            track.predict()
        if camera_motion is not None:
            for track in pool + unconfirmed:
                track.move_with_camera(camera_motion)

        # 2. Tracked and lost tracks, high detections.
        pool, high = self._associate(pool, high, fused_cost, p.match)

        # 3. Tracked tracks that are left, low detections.
        tracked = [t for t in pool if t.state is State.TRACKED]
        tracked, _ = self._associate(tracked, low, iou_cost, p.second)
        for track in tracked:
            track.lose()

        # 4. Unconfirmed tracks, high detections that are left: now or never.
        unconfirmed, high = self._associate(unconfirmed, high, fused_cost, p.unconfirmed)
        self._remove(unconfirmed)

        # 5. Births.
        for detection in high:
            if detection.score >= p.new_track:
                self.tracks.append(ReferenceTrack(self.next_id, detection, self.frame, confirmed=self.frame == 1))
                self.next_id += 1

        # 6. Expiry of those that were lost before this frame and were not found in it.
        self._remove(
            [t for t in lost_before if t.state is State.LOST and self.frame - t.last_frame > p.max_lost_frames]
        )

        # 7. Of a tracked and a lost track in one place the longer life stays, the lost one on a tie. All pairs are
        #    judged before any is removed.
        duplicates = []
        for tracked_track in [t for t in self.tracks if t.state is State.TRACKED]:
            for lost_track in [t for t in self.tracks if t.state is State.LOST]:
                if iou_distance(tracked_track.box_xyxy, lost_track.box_xyxy) < p.duplicate:
                    tracked_stays = tracked_track.life_frames > lost_track.life_frames
                    duplicates.append(lost_track if tracked_stays else tracked_track)
        self._remove(duplicates)

        return [
            Row(t.id, t.detection_index, t.box_xyxy, t.score, t.class_id, t.confirmed)
            for t in self.tracks
            if t.confirmed and t.state is State.TRACKED
        ]

    def _detections(
        self,
        boxes_xyxy: NDArray[np.float64],
        scores: NDArray[np.float64],
        classes: NDArray[np.int64] | None,
        embeddings: NDArray[np.float32] | None,
        embedded: NDArray[np.bool_] | None,
    ) -> list[Detection]:
        """The rows as objects, in input order; embeddings only where the first association will use them."""
        detections = []
        for index in range(len(scores)):
            x1, y1, x2, y2 = (float(edge) for edge in boxes_xyxy[index])
            score = float(scores[index])
            class_id = 0 if classes is None else int(classes[index])
            embedding = None
            if embeddings is not None and (embedded is None or embedded[index]) and score >= self.parameters.track_high:
                embedding = unit(embeddings[index].astype(np.float64))
            detections.append(Detection(index, (x1, y1, x2, y2), score, class_id, embedding))
        return detections

    def _associate(
        self,
        tracks: list[ReferenceTrack],
        detections: list[Detection],
        pair_cost: Callable[[ReferenceTrack, Detection, Parameters], float],
        limit: float,
    ) -> tuple[list[ReferenceTrack], list[Detection]]:
        """Match, update the matched tracks, and return who is left on either side, in order."""
        costs: Costs = [[pair_cost(t, d, self.parameters) for d in detections] for t in tracks]
        columns = assign(costs, limit)
        for track, column in zip(tracks, columns, strict=True):
            if column is not None:
                track.update(detections[column], self.frame, alpha=self.parameters.alpha)
        tracks_left = [t for t, column in zip(tracks, columns, strict=True) if column is None]
        detections_left = [d for column, d in enumerate(detections) if column not in columns]
        return tracks_left, detections_left

    def _remove(self, tracks: list[ReferenceTrack]) -> None:
        self.tracks = [t for t in self.tracks if t not in tracks]
