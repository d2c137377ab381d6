"""Aligning a picture with an earlier one directly, by the brightness of a few thousand chosen pixels.

```
 earlier picture ─► steepest pixel of each cell, people left out ─► Landmarks
 later picture ───► brightness where the landmarks should be now ─► differences ─► a better shift, turn and zoom ─┐
                                    ▲─────────────────────────────────────────────────────────────────────────────┘
```

The inverse compositional form of Lucas and Kanade's method (Baker and Matthews, "Lucas-Kanade 20 Years On", 2004): the
gradients belong to the earlier picture and are taken once. Differences in exposure are estimated along with the motion
(a gain and an offset); what moves by itself, or was uncovered, is weighed down (Tukey's biweight).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.tracking.camera_motion.motion import Affine, Boxes, Grey, covered

Floats = NDArray[np.float32]

CELL = 8  # pixels; a box of people covers whole cells
_MARGIN = 4  # pixels along the border that are not looked at
_MIN_GRADIENT = 3.0  # brightness levels a pixel: what is flatter is noise
_MIN_LANDMARKS = 60
_AGREEING = 0.5  # pixels along its gradient within which a landmark agrees with a motion
_TUKEY = 4.685  # residuals beyond so many standard deviations have no weight
_WORSE = 1.1  # times the misfit at the start: the improvements led astray
_STIFFNESS = 1.0  # brightness levels squared; keeps still what no landmark speaks of


@dataclass(frozen=True, slots=True)
class View:
    """One frame as it is aligned: a smoothed grey picture of working size, and the cells that people cover."""

    picture: Grey
    people: NDArray[np.bool_]

    @staticmethod
    def of(picture: Grey, people_xyxy: Boxes, shrunk: float) -> View:
        """A view on a picture `shrunk` from a frame with people at `people_xyxy`, (N, 4) pixels of the frame."""
        cells = -(-picture.shape[0] // CELL), -(-picture.shape[1] // CELL)
        return View(picture, covered(cells, people_xyxy, shrunk * CELL))


@dataclass(frozen=True, slots=True)
class Alignment:
    """A motion found.

    Attributes:
        affine: (2, 3), in pixels of the working size.
        agreeing: share of the landmarks in sight that agree with it.
        settled: whether improving it had come to an end.
    """

    affine: Affine
    agreeing: float = 0.0
    settled: bool = False


class Landmarks:
    """The pixels of a view by which later ones are aligned with it."""

    def __init__(self, cv2: Any, view: View, *, count: int) -> None:
        """Choose about `count` landmarks, fewer where the picture is flat or people stand."""
        self._shape = view.picture.shape
        x, y, gradient_x, gradient_y = _steepest(cv2, view.picture, count)
        kept = ~view.people[y // CELL, x // CELL]
        kept &= np.maximum(np.abs(gradient_x), np.abs(gradient_y)) >= _MIN_GRADIENT
        x, y, gradient_x, gradient_y = x[kept], y[kept], gradient_x[kept], gradient_y[kept]
        self._x, self._y = x.astype(np.float32), y.astype(np.float32)
        self._brightness = view.picture[y, x].astype(np.float32)
        self._steepness = np.hypot(gradient_x, gradient_y)
        # Unknowns: zoom and turn in pixels at the left and right border, shift x and y, gain over 64 levels, offset.
        height, width = self._shape
        self._centre = np.array([(width - 1) / 2, (height - 1) / 2])
        self._radius = width / 2
        out_x, out_y = (x - self._centre[0]) / self._radius, (y - self._centre[1]) / self._radius
        zoom, turn = gradient_x * out_x + gradient_y * out_y, gradient_y * out_x - gradient_x * out_y
        gain, offset = (self._brightness - 128) / 64, np.ones(len(x))
        self._jacobian = np.stack([zoom, turn, gradient_x, gradient_y, gain, offset], axis=1).astype(np.float32)

    def align(self, view: View, start: Affine, *, steps: int = 8, precision: float = 0.01) -> Alignment:
        """How the landmarks' picture moved into that of `view`, from a first idea on that is right to a few pixels.

        Args:
            view: a later view of the same size.
            start: (2, 3) affine in pixels of the working size.
            steps: at most so many improvements.
            precision: pixels; an improvement smaller than this is the last.

        Returns:
            The affine; where `start` fits the picture better than what it was improved to, `start`. Nothing agrees
            where there are too few landmarks.
        """
        affine, exposure = start, np.zeros(2, np.float32)
        first, misfit_at_start = Alignment(start), np.inf
        for step in range(steps + 1):
            x, y = self._mapped(affine)
            seen = self._in_sight(view, x, y)
            if np.count_nonzero(seen) < _MIN_LANDMARKS:
                return Alignment(start)
            difference = _sample(view.picture, x, y) - self._brightness - self._jacobian[:, 4:] @ exposure
            if step == 0:
                exposure[1] = np.median(difference[seen])
                difference -= exposure[1]
            size = np.abs(difference)
            misfit = float(np.median(size[seen]))
            reach = _TUKEY * max(1.0, 1.4826 * misfit)
            weight = np.where(seen, np.square(1 - np.square(size / reach).clip(max=1)), 0)
            weighted = self._jacobian * weight[:, None]
            normal = (weighted.T @ self._jacobian).astype(np.float64) + _STIFFNESS * np.eye(6)
            change = np.linalg.solve(normal, weighted.T @ difference)
            settled = bool(np.abs(change[:4]).max() < precision)
            found = Alignment(affine, float(np.mean(size[seen] < _AGREEING * self._steepness[seen])), settled)
            if step == 0:
                first, misfit_at_start = found, misfit
            if settled:
                break
            exposure += change[4:].astype(np.float32)
            affine = self._composed(affine, change)
        return found if misfit <= _WORSE * misfit_at_start else first

    def _mapped(self, affine: Affine) -> tuple[Floats, Floats]:
        """Where the landmarks are after a motion."""
        matrix = affine.astype(np.float32)
        x = matrix[0, 0] * self._x + matrix[0, 1] * self._y + matrix[0, 2]
        y = matrix[1, 0] * self._x + matrix[1, 1] * self._y + matrix[1, 2]
        return x, y

    def _in_sight(self, view: View, x: Floats, y: Floats) -> NDArray[np.bool_]:
        """Which landmarks are within the picture there, and not behind people."""
        height, width = self._shape
        seen: NDArray[np.bool_] = (x >= 1) & (x < width - 2) & (y >= 1) & (y < height - 2)
        column, row = np.where(seen, x, 0).astype(np.int32), np.where(seen, y, 0).astype(np.int32)
        seen &= ~view.people[row // CELL, column // CELL]
        return seen

    def _composed(self, affine: Affine, change: NDArray[np.float64]) -> Affine:
        """`affine` after the inverse of the small motion `change` of the earlier picture."""
        zoom, turn = change[:2] / self._radius
        small = np.eye(3)
        small[:2, :2] += [[zoom, -turn], [turn, zoom]]
        small[:2, 2] = change[2:4] + self._centre - small[:2, :2] @ self._centre
        composed: Affine = affine @ np.linalg.inv(small)
        return composed


def _steepest(cv2: Any, picture: Grey, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]:
    """x, y and the gradient there of the steepest pixel of each of about `count` square cells.

    Rows of cells take turns in looking along x and along y, so that both directions are told.
    """
    height, width = picture.shape
    side = max(2, round(np.sqrt(height * width / count) / 2))  # of a cell, in every other pixel
    rows, columns = (height - 2 * _MARGIN) // (2 * side), (width - 2 * _MARGIN) // (2 * side)
    if rows < 1 or columns < 1:
        nothing, flat = np.zeros(0, np.int64), np.zeros(0, np.float32)
        return nothing, nothing, flat, flat
    gradient_x, gradient_y = cv2.spatialGradient(picture)  # Sobel's, eight times the slope
    looked_at = (slice(_MARGIN, _MARGIN + 2 * side * rows, 2), slice(_MARGIN, _MARGIN + 2 * side * columns, 2))
    steepness = np.empty((rows, side, columns * side), np.int16)
    for first, gradient in enumerate((gradient_x, gradient_y)):
        np.abs(gradient[looked_at].reshape(steepness.shape)[first::2], out=steepness[first::2])
    row, column = np.arange(rows)[:, None], np.arange(columns)
    in_column = steepness.max(axis=1).reshape(rows, columns, side).argmax(axis=2)
    in_row = steepness[row, :, column * side + in_column].argmax(axis=2)
    y = (_MARGIN + 2 * (row * side + in_row)).ravel()
    x = (_MARGIN + 2 * (column * side + in_column)).ravel()
    return x, y, gradient_x[y, x].astype(np.float32) / 8, gradient_y[y, x].astype(np.float32) / 8


def _sample(picture: Grey, x: Floats, y: Floats) -> Floats:
    """Bilinear brightness at places; those outside the picture are moved to its border.

    In float32 throughout: OpenCV's remap knows only 32 places between two pixels.
    """
    height, width = picture.shape
    x, y = x.clip(0, width - 1.01), y.clip(0, height - 1.01)
    column, row = x.astype(np.int32), y.astype(np.int32)
    right, down = x - column, y - row
    flat, place = picture.ravel(), row * np.int32(width) + column
    upper_left, lower_left = flat.take(place).astype(np.float32), flat.take(place + width).astype(np.float32)
    upper = upper_left + (flat.take(place + 1) - upper_left) * right
    lower = lower_left + (flat.take(place + width + 1) - lower_left) * right
    sampled: Floats = upper + (lower - upper) * down
    return sampled
