"""Painted people, kept: every person in a few sizes, turns and moments of the walk, and scaled to where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.street.body import Pose
from reidkit.calibration.street.canvas import Canvas, clouds
from reidkit.calibration.street.figures import paint_figure
from reidkit.calibration.street.people import Figure

_TURNS, _PHASES, _STRIDES = 20, 12, 3
_LEVEL = 1.4  # each size is so much larger than the next smaller one
_SMALLEST = 24
_KEPT_BYTES = 400 << 20
_SPACE = 0.45, 0.08  # beside and above a body, in its heights


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A person, cut out.

    Attributes:
        image: (h, w, 4) float32, red, green and blue 0..255 multiplied by the alpha 0..1 in the last channel, with a
            transparent rim.
        left, top: the picture's corner from where the soles stand, in heights of the body.
        pixel: size of a pixel in these.
        box: left, top, right and bottom of what is opaque, in the same units.
    """

    image: NDArray[np.float32]
    left: float
    top: float
    pixel: float
    box: tuple[float, float, float, float]


class Sprites:
    """Sprites of people, painted when they are first asked for."""

    def __init__(self, figures: Sequence[Figure], *, seed: int) -> None:
        self._figures = figures
        self._seed = seed
        self._turns = _circle(_TURNS)
        self._kept: dict[tuple[float, ...], Sprite] = {}
        self._bytes = 0

    def sprite(
        self, person: int, *, front: float, side: float, phase: float, stride: float, sun: float, height: float
    ) -> Sprite:
        """A person in about that pose (see `Pose`) in the light of a `sun` -1..1 from left or right.

        It is painted at least `height` pixels tall.
        """
        turn = int(np.argmax(self._turns[:, 0] * front + self._turns[:, 1] * side))
        strides = int(stride * (_STRIDES - 1) + 0.5)
        moment = int(phase * _PHASES) if strides else 0
        level, painted = 0, float(_SMALLEST)
        while painted < height:
            level, painted = level + 1, painted * _LEVEL
        key = person, turn, moment, strides, level, sun
        if key not in self._kept:
            front, side = self._turns[turn].tolist()
            pose = Pose(
                front=front,
                side=side,
                phase=moment / _PHASES,
                stride=strides / (_STRIDES - 1),
                arm_swing=self._figures[person].arm_swing,
            )
            sprite = self._paint(person, pose, sun, painted)
            if self._bytes > _KEPT_BYTES:
                self._kept.clear()
                self._bytes = 0
            self._kept[key] = sprite
            self._bytes += sprite.image.nbytes
        return self._kept[key]

    def _paint(self, person: int, pose: Pose, sun: float, height: float) -> Sprite:
        beside, above = _SPACE
        rows, columns = int((1.06 + above) * height) + 1, int(2 * beside * height) + 1
        canvas = Canvas.blank(rows, columns, left=-beside, top=-above, pixel=1 / height)
        rng = np.random.Generator(np.random.PCG64([self._seed, person]))
        paint_figure(canvas, self._figures[person], pose, sun=sun, folds=clouds(rng, (rows, columns), (16, 10)))
        np.minimum(canvas.image[..., :3], 255 * canvas.image[..., 3:], out=canvas.image[..., :3])
        solid_rows, solid_columns = np.nonzero(canvas.image[..., 3] >= 0.5)
        top, bottom = int(solid_rows.min()), int(solid_rows.max()) + 1
        left, right = int(solid_columns.min()), int(solid_columns.max()) + 1
        cut = canvas.image[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2].astype(np.float32)
        image = np.pad(cut, ((1, 1), (1, 1), (0, 0)))
        x, y = (max(left - 2, 0) - 1) / height - beside, (max(top - 2, 0) - 1) / height - above - 1
        box = (left / height - beside, top / height - above - 1, right / height - beside, bottom / height - above - 1)
        return Sprite(image, x, y, 1 / height, box)


def scaled(sprite: Sprite, x: float, y: float, height: float) -> tuple[int, int, NDArray[np.float32]]:
    """The sprite `height` pixels tall with its soles at (x, y): left, top and (h, w, 4)."""
    rows, columns = sprite.image.shape[:2]
    step = 1 / (height * sprite.pixel)  # sprite pixels for each of the picture's
    left, top = x + sprite.left * height, y + sprite.top * height
    first_column, first_row = int(np.floor(left)), int(np.floor(top))
    across = _taps(first_column, left, step, int(columns / step) + 2, columns)
    down = _taps(first_row, top, step, int(rows / step) + 2, rows)
    strip: NDArray[np.float32] = (
        sprite.image[down[0]] * (1 - down[2])[:, None, None] + sprite.image[down[1]] * down[2][:, None, None]
    )
    image: NDArray[np.float32] = (
        strip[:, across[0]] * (1 - across[2])[:, None] + strip[:, across[1]] * across[2][:, None]
    )
    return first_column, first_row, image


def _taps(
    first: int, start: float, step: float, count: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each of `count` pixels from `first`: the two source pixels on either side and the second one's weight."""
    at = np.clip((np.arange(first, first + count) + 0.5 - start) * step - 0.5, 0, size - 1)
    low = np.minimum(at.astype(np.int64), size - 2)
    return low, low + 1, (at - low).astype(np.float32)


def _circle(count: int) -> NDArray[np.float64]:
    """(count, 2) directions all round, nearly evenly spread: the circle's rational points."""
    half = np.arange(count // 4) / (count // 4)  # tangents of half the angles of the first quarter
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    quarters = [(cosine, sine), (-sine, cosine), (-cosine, -sine), (sine, -cosine)]
    return np.concatenate([np.stack(quarter, axis=1) for quarter in quarters])
