"""Regions of no interest: who stands in one is as good as not detected.

A region is a polygon. People stand at the middle of their box's lower edge. Corners that all lie within 0 and 1 are
shares of the picture's width and height, else they are pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.errors import InvalidConfig, InvalidInput

Region = tuple[tuple[float, float], ...]


def read_regions(value: object) -> tuple[Region, ...]:
    """Polygons as a file gives them: lists of at least three ``[x, y]``. Raises `InvalidConfig` for anything else."""
    remedy = "give a list of polygons, each a list of corners [x, y], pixels or shares of the picture"
    if not _is_list(value):
        raise InvalidConfig(f"ignored_regions is {value!r}", remedy=remedy)
    regions = []
    for number, polygon in enumerate(value):
        corners = _corners(polygon)
        if corners is None:
            raise InvalidConfig(f"ignored_regions: polygon {number} is {polygon!r}", remedy=remedy)
        if np.linalg.matrix_rank(corners - corners[0]) < 2:
            raise InvalidConfig(f"ignored_regions: polygon {number} has no area: {polygon!r}", remedy=remedy)
        regions.append(tuple((float(x), float(y)) for x, y in corners))
    return tuple(regions)


def is_in_shares(region: Region) -> bool:
    """Whether its corners are shares of the picture, not pixels."""
    return all(0 <= coordinate <= 1 for corner in region for coordinate in corner)


def standing_in(
    regions: Sequence[Region], boxes_xyxy: NDArray[np.float64], *, size: tuple[int, int] | None
) -> NDArray[np.bool_]:
    """(N,) whether the people of (N, 4) boxes stand in any of the regions.

    `size`, width and height of the picture, is needed by regions in shares, where who reaches out of the picture
    stands at its border. Raises `InvalidInput` where it is None.
    """
    feet = np.column_stack([(boxes_xyxy[:, 0] + boxes_xyxy[:, 2]) / 2, boxes_xyxy[:, 3]])
    inside = np.zeros(len(feet), np.bool_)
    for region in regions:
        points = feet
        if is_in_shares(region):
            if size is None:
                raise InvalidInput("ignored_regions are shares of the picture: pass frame= to wanted() and update()")
            points = np.clip(feet / size, 0, np.nextafter(1, 0))
        inside |= _inside(np.array(region), points)
    return inside


def _inside(polygon: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) whether (N, 2) points lie in a (K, 2) polygon: whether a ray to the right crosses its edges oddly often."""
    x, y = points[:, None, 0], points[:, None, 1]
    begin, end = polygon, np.roll(polygon, -1, axis=0)
    crossed = (begin[:, 1] > y) != (end[:, 1] > y)
    rise = np.where(begin[:, 1] == end[:, 1], 1, end[:, 1] - begin[:, 1])
    where = begin[:, 0] + (y - begin[:, 1]) * (end[:, 0] - begin[:, 0]) / rise
    odd: NDArray[np.bool_] = np.count_nonzero(crossed & (x < where), axis=1) % 2 == 1
    return odd


def _corners(polygon: object) -> NDArray[np.float64] | None:
    """(K, 2), or None where it is no polygon."""
    if (
        not _is_list(polygon)
        or len(polygon) < 3
        or not all(_is_list(corner) and len(corner) == 2 for corner in polygon)
    ):
        return None
    numbers = [number for corner in polygon for number in corner]
    if not all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers):
        return None
    return np.array(polygon, np.float64) if all(-1e7 < number < 1e7 for number in numbers) else None


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, (list, tuple))
