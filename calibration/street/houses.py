"""Paints the row of houses that closes the street: walls, windows with shutters, shops under awnings, roofs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.calibration.street.canvas import Plane, blended
from reidkit.calibration.street.scene import House

_GROUND_FLOOR_M, _STOREY_M, _ROOF_M = 3.4, 2.5, 1.5
_GLASS_HIGH, _GLASS_LOW, _CANVAS = (150, 178, 196), (66, 84, 100), (240, 234, 220)


def paint_houses(houses: tuple[House, ...], x: Plane, y: Plane, sky: Plane) -> Plane:
    """The houses' fronts, and `sky` (h, w, 3) above them; x (1, w) and y (h, w) in metres on the fronts."""
    color: Plane = sky.copy()
    for house in houses:
        columns = np.flatnonzero((x[0] >= house.left) & (x[0] < house.left + house.width))
        if len(columns):
            span = slice(columns[0], columns[-1] + 1)
            front = _Front(house, x[:, span] - house.left, y[:, span], color[:, span])
            front.paint_wall()
            front.paint_windows()
            front.paint_ground_floor()
            if house.awning:
                front.paint_awnings()
            front.paint_roof(sky[:, span])
    return color


@dataclass(frozen=True, slots=True)
class _Front:
    """A house's front under the brush.

    Attributes:
        house: which.
        x, y: (1, w) and (h, w) metres from its lower left corner.
        color: (h, w, 3) what is painted.
    """

    house: House
    x: Plane
    y: Plane
    color: Plane

    @property
    def eaves(self) -> float:
        """Height of the wall."""
        return _GROUND_FLOOR_M + _STOREY_M * self.house.storeys

    @property
    def bay(self) -> float:
        """Width that each window has for itself."""
        return self.house.width / self.house.bays

    @property
    def bay_index(self) -> Plane:
        """(1, w) which bay."""
        return np.minimum(np.floor(self.x / self.bay), self.house.bays - 1)

    @property
    def aside(self) -> Plane:
        """(1, w) distance from the middle of the bay."""
        return np.abs(self.x - (self.bay_index + 0.5) * self.bay)

    def lay(self, where: NDArray[np.bool_], color: ArrayLike) -> None:
        """Paint what `where`, of any shape that fits, says."""
        self.color[:] = np.where(where[..., None], color, self.color)

    def paint_wall(self) -> None:
        """Plaster, a little darker towards the ground and at the corners; a dark base and a pale ledge."""
        wall = self._wall()
        self.color[:] = wall * (0.9 + 0.02 * np.clip(self.y, 0, 5))[..., None]
        self.lay(np.minimum(self.x, self.house.width - self.x) < 0.07, self.color * 0.86)
        self.lay(self.y < 0.4, wall * 0.66)
        self.lay(np.abs(self.y - 3.3) < 0.09, wall * 0.45 + 135)

    def paint_windows(self) -> None:
        """Those of the upper floors."""
        aside = self.aside
        over = self.y - _GROUND_FLOOR_M
        up = over - np.floor(over / _STOREY_M) * _STOREY_M - 0.5  # from the sill
        is_upper = over > 0
        if self.house.shutters:
            self.lay(is_upper & (up > 0) & (up < 1.6) & (aside < min(0.95, 0.46 * self.bay)), self.house.trim)
        self.lay(is_upper & (up > -0.1) & (up < 1.7) & (aside < 0.56), self._wall() * 0.5 + 125)
        is_pane = (aside < 0.46) & (aside > 0.035) & (np.abs(up - 1.1) > 0.035)
        self.lay(is_upper & (up > 0) & (up < 1.6) & is_pane, _glass(up / 1.6))

    def paint_ground_floor(self) -> None:
        """A door, and shop windows beside it."""
        aside, y, frame = self.aside, self.y, self._wall() * 0.55
        is_door = self.bay_index == self.house.door
        self.lay(~is_door & (y > 0.45) & (y < 2.72) & (aside < 0.4 * self.bay + 0.1), frame)
        self.lay(~is_door & (y > 0.55) & (y < 2.6) & (aside < 0.4 * self.bay) & (aside > 0.03), _glass((y - 0.5) / 2.6))
        self.lay(is_door & (y < 2.5) & (aside < 0.62), frame)
        self.lay(is_door & (y < 2.4) & (aside < 0.5) & (aside > 0.02), self.house.trim)

    def paint_awnings(self) -> None:
        """Striped cloth over the shop windows, and its shade on them."""
        aside, y, stripes = self.aside, self.y, self.x / 0.4
        is_shop = self.bay_index != self.house.door
        hem = 2.35 + 0.12 * np.abs(stripes - np.floor(stripes) - 0.5)
        cloth = np.where((np.floor(stripes) % 2 == 0)[..., None], self.house.trim, _CANVAS)
        lit = (0.86 + 0.22 * np.clip(y - 2.3, 0, 1))[..., None]
        self.lay(is_shop & (y < hem) & (y > hem - 0.35) & (aside < 0.4 * self.bay), self.color * 0.72)
        self.lay(is_shop & (y > hem) & (y < 3.1) & (aside < 0.46 * self.bay), cloth * lit)

    def paint_roof(self, sky: Plane) -> None:
        """Rows of tiles over a pale cornice, and the sky over them."""
        up = self.y - self.eaves
        tiles = np.asarray(self.house.roof) * (1.0 - 0.12 * (np.floor(self.y / 0.22) % 2) + 0.04 * up)[..., None]
        self.lay((up > -0.4) & (up < 0), self.color * 0.8)
        self.lay((up > -0.22) & (up < 0), self._wall() * 0.35 + 150)
        self.lay(up > 0, tiles)
        self.lay(up > _ROOF_M, sky)

    def _wall(self) -> Plane:
        return np.asarray(self.house.wall, np.float64)


def _glass(up: Plane) -> Plane:
    """Panes that mirror the sky in their upper part; `up` is 0..1 from their lower edge."""
    return blended(_GLASS_LOW, _GLASS_HIGH, np.clip(up, 0, 1)[..., None])
