"""One frame's detections as the tracker reads them: checked, in float64, split by score."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.native import unit_embeddings
from reidkit.runtime.tracking.arguments import array_of, number_array
from reidkit.runtime.tracking.classes import threshold
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.kalman import measurements
from reidkit.runtime.tracking.regions import standing_in

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

MAX_COORDINATE = 1e7  # pixels; the squares of its squares are still far from the end of float64
MIN_SIZE = 1e-3  # pixels
_LARGEST_CLASS = np.iinfo(np.int64).max
_NO_EMBEDDINGS = np.zeros((0, 0))


@dataclass(slots=True)
class Observation:
    """The detections of one frame.

    Attributes:
        boxes_xyxy: (N, 4) pixels.
        measured: (N, 4) the same as ``[cx, cy, w, h]``.
        scores: (N,) confidences.
        classes: (N,) integers.
        high: rows from `high_score` on, ascending.
        low: rows above `low_score` and below `high_score`, ascending.
        embeddings: (E, D) unit vectors of the high rows that have one.
        embedding_rows: (N,) row of `embeddings` that belongs to a detection, -1 where none.
    """

    boxes_xyxy: Array
    measured: Array
    scores: Array
    classes: Indices
    high: Indices
    low: Indices
    embedding_rows: Indices
    embeddings: Array = field(default_factory=lambda: _NO_EMBEDDINGS)

    @staticmethod
    def read(
        config: BotSortConfig,
        boxes_xyxy: ArrayLike,
        scores: ArrayLike,
        *,
        classes: ArrayLike | None,
        size: tuple[int, int] | None = None,
    ) -> Observation:
        """Check and split detections; arguments and errors as for `BotSort.update`, `size` is the picture's."""
        boxes = number_array(boxes_xyxy, "boxes_xyxy")
        count = len(boxes)
        if boxes.shape == (0,):
            boxes = boxes.reshape(0, 4)
        if boxes.shape != (count, 4):
            raise InvalidInput(f"boxes_xyxy must have shape (N, 4), found {boxes.shape}")
        confidences = number_array(scores, "scores")
        if confidences.shape != (count,):
            raise InvalidInput(f"scores must have shape ({count},) like the boxes, found {confidences.shape}")
        labels = np.zeros(count, np.int64) if classes is None else array_of(classes, "classes", f"({count},) integers")
        if labels.shape != (count,) or (count and labels.dtype.kind not in "iu"):
            raise InvalidInput(f"classes must be ({count},) integers, found {labels.shape} {labels.dtype}")
        _check_boxes(boxes)
        measured = measurements(boxes)
        if not ((confidences >= 0) & (confidences <= 1)).all():
            row = int(np.flatnonzero(~((confidences >= 0) & (confidences <= 1)))[0])
            raise InvalidInput(f"scores must lie within 0 and 1, row {row} is {confidences[row]}")
        if labels.dtype == np.uint64 and labels.max(initial=0) > _LARGEST_CLASS:
            raise InvalidInput(f"classes must be at most {_LARGEST_CLASS}, found {labels.max()}")
        labels = labels.astype(np.int64, copy=False)
        is_high = confidences >= threshold(config, "high_score", labels)
        is_low = ~is_high & (confidences > threshold(config, "low_score", labels))
        if config.ignored_regions:
            matters = ~standing_in(config.ignored_regions, boxes, size=size)
            is_high &= matters
            is_low &= matters
        return Observation(
            boxes_xyxy=boxes,
            measured=measured,
            scores=confidences,
            classes=labels,
            high=np.flatnonzero(is_high),
            low=np.flatnonzero(is_low),
            embedding_rows=np.full(count, -1, np.int64),
        )

    def embeddable(self, config: BotSortConfig) -> Indices:
        """Rows that may carry an embedding, ascending."""
        return self.high[self.scores[self.high] >= threshold(config, "min_embedding_score", self.classes[self.high])]

    def read_embeddings(
        self, config: BotSortConfig, embeddings: ArrayLike | None, embedded: ArrayLike | None, *, width: int | None
    ) -> int:
        """Read the embeddings of the high detections that have one; arguments and errors as for `BotSort.update`.

        `width` is the embedding width so far, None before the first. Returns how many that may carry one have none.
        """
        if embeddings is None:
            if embedded is not None and array_of(embedded, "embedded", "(N,) bool").any():
                raise InvalidInput("embedded marks detections as embedded, but embeddings is None: pass both")
            return 0
        count = len(self.scores)
        values = array_of(embeddings, "embeddings", f"({count}, D) floats")
        if values.ndim != 2 or len(values) != count or values.dtype.kind != "f":
            raise InvalidInput(f"embeddings must be ({count}, D) floats, found {values.shape} {values.dtype}")
        if count and width is not None and values.shape[1] != width:
            raise InvalidInput(
                f"embeddings have width {values.shape[1]}, this tracker's have {width}",
                remedy="use the same artifact throughout, or reset() the tracker",
            )
        rows = embeddable = self.embeddable(config)
        if embedded is not None:
            flags = array_of(embedded, "embedded", f"({count},) bool")
            if flags.shape != (count,) or flags.dtype != np.bool_:
                raise InvalidInput(f"embedded must be ({count},) bool, found {flags.shape} {flags.dtype}")
            rows = rows[flags[rows]]
        if not rows.size:
            return int(embeddable.size)
        if values.dtype != np.float32 or not values.flags.c_contiguous:
            values = np.ascontiguousarray(values, np.float64)
        chosen, norms = unit_embeddings(values, rows, config.normalize_embeddings)
        if not (np.isfinite(norms) & (norms > 0)).all():
            row = int(rows[~(np.isfinite(norms) & (norms > 0))][0])
            raise InvalidInput(f"the embedding of detection {row} is zero or not finite: it cannot be compared")
        if not config.normalize_embeddings and np.abs(norms - 1).max() > 1e-3:
            raise InvalidInput(
                f"normalize_embeddings is off, but an embedding has norm {norms[np.abs(norms - 1).argmax()]:.4g}",
                remedy="switch it on, or use an artifact that normalises in its graph",
            )
        self.embeddings = chosen
        self.embedding_rows[rows] = np.arange(rows.size)
        return int(embeddable.size - rows.size)


def _check_boxes(boxes: Array) -> None:
    if not len(boxes) or (np.abs(boxes).max() <= MAX_COORDINATE and (boxes[:, 2:] - boxes[:, :2]).min() >= MIN_SIZE):
        return
    with np.errstate(invalid="ignore"):
        good = (np.abs(boxes) <= MAX_COORDINATE).all(axis=1) & (boxes[:, 2:] - boxes[:, :2] >= MIN_SIZE).all(axis=1)
    row = int(np.flatnonzero(~good)[0])
    raise InvalidInput(
        f"boxes_xyxy must have x1 < x2 and y1 < y2, by {MIN_SIZE:g} pixels at least, and coordinates within "
        f"±{MAX_COORDINATE:.0e} pixels: row {row} is {boxes[row].tolist()}"
    )
