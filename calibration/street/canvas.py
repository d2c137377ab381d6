"""A small painter: round limbs, outlines and ellipses with soft edges, cloudy textures and blur.

It uses sums, products, quotients and square roots of float64 alone, one array operation each, so that a seed gives
the same bytes on every processor: libraries differ in the last bit of a sine, compilers in where they fuse a product
into a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Plane = NDArray[np.float64]
Point = tuple[float, float]


class Shape(NamedTuple):
    """Where a shape lies on the canvas.

    Attributes:
        window: the rows and columns that hold it; the arrays below cover these alone.
        cover: (h, w) 0..1, soft over one pixel at the edge.
        across: (h, w) -1..1 from its left to its right edge: the coordinate that shading and stripes follow.
        y: (h, 1) height on the canvas, in the painter's units.
    """

    window: tuple[slice, slice]
    cover: Plane
    across: Plane
    y: Plane


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """A picture under the brush, transparent at first, and where its pixels lie.

    Attributes:
        image: (H, W, 4) red, green and blue 0..255, multiplied by the alpha 0..1 in the last channel.
        left, top: coordinates of the picture's corner, in units of the painter's choice.
        pixel: size of a pixel in these units.
    """

    image: Plane
    left: float
    top: float
    pixel: float

    @staticmethod
    def blank(height: int, width: int, *, left: float, top: float, pixel: float) -> Canvas:
        """A transparent canvas of `height` x `width` pixels."""
        return Canvas(np.zeros((height, width, 4)), left, top, pixel)

    def limb(self, start: Point, end: Point, radii: tuple[float, float]) -> Shape:
        """A round-ended limb from `start` to `end`, both (x, y), whose radius changes evenly."""
        (x0, y0), (x1, y1), around = start, end, max(radii)
        low, high = (min(x0, x1) - around, min(y0, y1) - around), (max(x0, x1) + around, max(y0, y1) + around)
        window, x, y = self._window(low, high)
        vx, vy = x1 - x0, y1 - y0
        square = max(vx * vx + vy * vy, 1e-12)
        dx, dy = x - x0, y - y0
        along = np.clip((dx * vx + dy * vy) / square, 0, 1)
        radius = radii[0] + (radii[1] - radii[0]) * along
        off_x, off_y = dx - along * vx, dy - along * vy
        inside = radius - np.sqrt(off_x * off_x + off_y * off_y)
        # Left stays left whichever way a limb points, so that all are lit from the same side.
        sign = 1 if vy >= 0 else -1
        across = np.clip(sign * (dx * vy - dy * vx) / (np.sqrt(square) * radius), -1, 1)
        return Shape(window, self._soft(inside), across, y)

    def outline(self, profile: Sequence[tuple[float, float, float]]) -> Shape:
        """An upright shape given as (y, x of its middle, half width) from top to bottom."""
        low = (min(x - half for _, x, half in profile), profile[0][0])
        high = (max(x + half for _, x, half in profile), profile[-1][0])
        window, x, y = self._window(low, high)
        middle, half = np.full_like(y, profile[0][1]), np.full_like(y, profile[0][2])
        for (y0, upper_x, upper), (y1, lower_x, lower) in pairwise(profile):
            part = np.clip((y - y0) / (y1 - y0), 0, 1)
            middle = middle + (lower_x - upper_x) * part
            half = half + (lower - upper) * part
        inside = np.minimum(half - np.abs(x - middle), np.minimum(y - low[1], high[1] - y))
        return Shape(window, self._soft(inside), np.clip((x - middle) / half, -1, 1), y)

    def ribbon(self, top: Plane, bottom: Plane) -> Shape:
        """What lies between two lines, each given as (W,) heights of the canvas' columns."""
        window, x, y = self._window(
            (self.left, float(top.min())), (self.left + len(top) * self.pixel, float(bottom.max()))
        )
        return Shape(window, self._soft(np.minimum(y - top, bottom - y)), np.zeros_like(x), y)

    def ellipse(self, center: Point, radii: tuple[float, float], *, until: float = 1) -> Shape:
        """An upright ellipse, or only what of it lies above `until`, in vertical radii below its middle."""
        (cx, cy), (rx, ry) = center, radii
        window, x, y = self._window((cx - rx, cy - ry), (cx + rx, cy + until * ry))
        u, v = (x - cx) / rx, (y - cy) / ry
        inside = np.minimum((1 - np.sqrt(u * u + v * v)) * min(rx, ry), (until - v) * ry if until < 1 else 1)
        return Shape(window, self._soft(inside), np.clip(u, -1, 1), y)

    def paint(self, shape: Shape, color: ArrayLike, *, opacity: float = 1) -> None:
        """Lay `color`, (3,) or one for each pixel of the shape's window, over the picture where the shape is."""
        cover = opacity * shape.cover[..., None]
        under = self.image[shape.window]
        under *= 1 - cover
        under[..., :3] += cover * np.asarray(color, np.float64)
        under[..., 3:] += cover

    def _window(self, low: Point, high: Point) -> tuple[tuple[slice, slice], Plane, Plane]:
        """Rows and columns between two corners and a pixel more, and the (1, w) and (h, 1) middles of their pixels."""
        height, width = self.image.shape[:2]
        columns = _pixels((low[0] - self.left) / self.pixel, (high[0] - self.left) / self.pixel, width)
        rows = _pixels((low[1] - self.top) / self.pixel, (high[1] - self.top) / self.pixel, height)
        x = self.left + (np.arange(columns.start, columns.stop) + 0.5) * self.pixel
        y = self.top + (np.arange(rows.start, rows.stop) + 0.5) * self.pixel
        return (rows, columns), x[None, :], y[:, None]

    def _soft(self, inside: Plane) -> Plane:
        return np.clip(inside / self.pixel + 0.5, 0, 1)


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> Plane:
    """Smooth noise -1..1 of `shape`, with `cells` bumps down and across."""
    knots = 2 * rng.random((cells[0] + 1, cells[1] + 1)) - 1
    rows, columns = (np.arange(size) * count / size for size, count in zip(shape, cells, strict=True))
    i, j = rows.astype(np.int64), columns.astype(np.int64)
    down, right = eased(rows - i)[:, None], eased(columns - j)[None, :]
    upper = knots[i][:, j] * (1 - right) + knots[i][:, j + 1] * right
    lower = knots[i + 1][:, j] * (1 - right) + knots[i + 1][:, j + 1] * right
    mixed: Plane = upper * (1 - down) + lower * down
    return mixed


def banded(position: Plane, width: float, pixel: float | Plane) -> Plane:
    """How much of a pixel is covered by lines of `width` at each whole `position`; all three in the same unit."""
    away = np.abs(position - np.floor(position) - 0.5)
    sharp: Plane = np.clip((away - 0.5 + width / 2) / pixel + 0.5, 0, 1)
    return sharp * np.minimum(1, width / np.asarray(pixel))


def blended(first: ArrayLike, second: ArrayLike, part: Plane) -> Plane:
    """`first` where `part` is 0, `second` where it is 1."""
    low = np.asarray(first, np.float64)
    mixed: Plane = low + (np.asarray(second, np.float64) - low) * part
    return mixed


def blurred(image: Plane, passes: int) -> Plane:
    """`image` after `passes` of the 1-2-1 kernel down and across, its edges repeated."""
    for _ in range(passes):
        padded = np.concatenate([image[:1], image, image[-1:]])
        image = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
        padded = np.concatenate([image[:, :1], image, image[:, -1:]], axis=1)
        image = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return image


def eased(part: Plane) -> Plane:
    """0..1 to 0..1, with a gentle start and end."""
    return part * part * (3 - 2 * part)


def _pixels(first: float, last: float, size: int) -> slice:
    start = min(max(int(first) - 1, 0), size)
    return slice(start, max(start, min(int(last) + 2, size)))
