"""A small painter: round limbs, outlines, cloudy textures and blur, on a grid of pixels.

It uses sums, products, quotients and square roots of float64 alone, one array operation each, so that a seed gives
the same bytes on every processor: libraries differ in the last bit of a sine, compilers in where they fuse a product
into a sum.
"""

from __future__ import annotations

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
        cover: 0..1, soft over one pixel at the edge.
        across: -1..1 from its left to its right edge: the coordinate that shading and stripes follow.
        y: height on the canvas, in the painter's units.
    """

    window: tuple[slice, slice]
    cover: Plane
    across: Plane
    y: Plane


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """An image under the brush and the coordinates of its pixels.

    Attributes:
        image: (H, W, 3) grey levels 0..255.
        x, y: (1, W) and (H, 1) coordinates of the pixels' centres, in units of the painter's choice.
        pixel: size of a pixel in these units.
    """

    image: Plane
    x: Plane
    y: Plane
    pixel: float

    def limb(self, start: Point, end: Point, radii: tuple[float, float]) -> Shape:
        """A round-ended limb from `start` to `end`, both (x, y), whose radius changes evenly."""
        (x0, y0), (x1, y1), around = start, end, max(radii) + self.pixel
        window = self._window(
            (min(x0, x1) - around, min(y0, y1) - around), (max(x0, x1) + around, max(y0, y1) + around)
        )
        x, y = self.x[:, window[1]], self.y[window[0]]
        dx, dy, vx, vy = x - x0, y - y0, x1 - x0, y1 - y0
        length = np.sqrt(vx * vx + vy * vy)
        along = np.clip((dx * vx + dy * vy) / (length * length), 0, 1)
        radius = radii[0] + (radii[1] - radii[0]) * along
        off_x, off_y = dx - along * vx, dy - along * vy
        distance = np.sqrt(off_x * off_x + off_y * off_y)
        across = np.clip((dx * vy - dy * vx) / (length * radius), -1, 1)
        return Shape(window, self._soft(radius - distance), across, y + 0 * x)

    def outline(self, center: float, half_widths: list[tuple[float, float]]) -> Shape:
        """An upright shape around x = `center`, given as (y, half width) from top to bottom."""
        (top, width), (bottom, _) = half_widths[0], half_widths[-1]
        widest = max(half for _, half in half_widths) + self.pixel
        window = self._window((center - widest, top - self.pixel), (center + widest, bottom + self.pixel))
        dx, y = self.x[:, window[1]] - center, self.y[window[0]]
        half = np.full_like(y, width)
        for (y0, upper), (y1, lower) in pairwise(half_widths):
            half = half + (lower - upper) * np.clip((y - y0) / (y1 - y0), 0, 1)
        inside = np.minimum(half - np.abs(dx), np.minimum(y - top, bottom - y))
        return Shape(window, self._soft(inside), np.clip(dx / half, -1, 1), y + 0 * dx)

    def paint(self, shape: Shape, color: ArrayLike, *, opacity: float = 1) -> None:
        """Lay `color`, (3,) or one for each pixel of the shape's window, over the image where the shape is."""
        under = self.image[shape.window]
        under += opacity * shape.cover[..., None] * (np.asarray(color, np.float64) - under)

    def _window(self, low: Point, high: Point) -> tuple[slice, slice]:
        columns, rows = (
            slice(*np.searchsorted(axis.ravel(), (first, last)))
            for axis, first, last in zip((self.x, self.y), low, high, strict=True)
        )
        return rows, columns

    def _soft(self, inside: Plane) -> Plane:
        return np.clip(inside / self.pixel + 0.5, 0, 1)


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> Plane:
    """Smooth noise -1..1 of `shape`, with `cells` bumps down and across."""
    knots = 2 * rng.random((cells[0] + 1, cells[1] + 1)) - 1
    rows, columns = (np.arange(size) * count / size for size, count in zip(shape, cells, strict=True))
    i, j = rows.astype(np.int64), columns.astype(np.int64)
    down, right = _eased(rows - i)[:, None], _eased(columns - j)[None, :]
    upper = knots[i][:, j] * (1 - right) + knots[i][:, j + 1] * right
    lower = knots[i + 1][:, j] * (1 - right) + knots[i + 1][:, j + 1] * right
    mixed: Plane = upper * (1 - down) + lower * down
    return mixed


def blurred(image: Plane, passes: int) -> Plane:
    """`image` after `passes` of the 1-2-1 kernel down and across, its edges repeated."""
    for _ in range(passes):
        padded = np.concatenate([image[:1], image, image[-1:]])
        image = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
        padded = np.concatenate([image[:, :1], image, image[:, -1:]], axis=1)
        image = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return image


def _eased(part: Plane) -> Plane:
    return part * part * (3 - 2 * part)
