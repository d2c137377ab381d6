"""The place where people walk: houses, trees, a colonnade and a kiosk to hide behind, and what lies in the shade.

Seen from above, with the first camera at the origin and metres as units:

    z 26  | house | house | house | house |
    z 21     tree     camera 2      tree        tree
    z 14              kiosk
    z  9     pillar        pillar       pillar      under one beam
    z  0               camera 1
    z -1        tree        tree          tree
    z -6  | house | house | house | house |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.street.camera import Camera, Sight
from reidkit.calibration.street.people import Rgb, between, one_of

WALKABLE_Z = (6.6, 16.0)
_MIDDLE_Z, _TREES_M, _KERB_M, _HOUSES_M = 10.0, 11.0, 12.5, 16.0  # of the street; and from there to either side
BEAM_Y = (5.4, 6.0)
STONE: Rgb = (226, 216, 200)  # of columns and beam
SUN = (0.8, 0.6)  # where shadows fall on the ground, of length 1
SHADOW_LENGTH = 0.8  # of one metre of height

_WALLS: list[Rgb] = [
    *[(226, 190, 152), (206, 138, 110), (236, 214, 172), (178, 194, 180), (220, 168, 142)],
    *[(186, 176, 196), (232, 200, 120), (168, 186, 200), (214, 204, 190)],
]
_ROOFS: list[Rgb] = [(150, 84, 66), (122, 72, 62), (96, 98, 108), (164, 102, 74)]
_TRIMS: list[Rgb] = [(74, 110, 104), (60, 84, 120), (148, 66, 58), (92, 74, 64), (84, 110, 72), (210, 150, 60)]


@dataclass(frozen=True, slots=True)
class Pillar:
    """Something round that hides people.

    Attributes:
        x, z: its middle on the ground.
        radius: in metres.
        kind: a column that carries the beam, or a kiosk with posters.
        posters: two colours of what is pasted on a kiosk.
    """

    x: float
    z: float
    radius: float
    kind: Literal["column", "kiosk"]
    posters: tuple[Rgb, Rgb]

    @property
    def height_m(self) -> float:
        """To the beam, or to the kiosk's roof."""
        return BEAM_Y[0] if self.kind == "column" else 3.1


@dataclass(frozen=True, slots=True)
class House:
    """One house of the row.

    Attributes:
        left, width: where it stands, in metres.
        storeys: above the ground floor.
        bays: windows in a row.
        door: the bay that holds the door.
        wall, roof, trim: colours; `trim` is that of door, shutters and awning.
        shutters, awning: whether it has them.
    """

    left: float
    width: float
    storeys: int
    bays: int
    door: int
    wall: Rgb
    roof: Rgb
    trim: Rgb
    shutters: bool
    awning: bool


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree with a round crown of several tufts, each (x, y, radius) in metres."""

    x: float
    z: float
    tufts: tuple[tuple[float, float, float], ...]
    hue: Rgb


@dataclass(frozen=True, slots=True)
class Row:
    """What closes the street on one side.

    Attributes:
        side: 1 where z grows, or -1.
        houses, trees: from where x is small.
    """

    side: int
    houses: tuple[House, ...]
    trees: tuple[Tree, ...]

    @property
    def houses_z(self) -> float:
        """Where the fronts stand."""
        return _from_middle(self.side, _HOUSES_M)

    @property
    def kerb_z(self) -> float:
        """Where the walk before the houses begins."""
        return _from_middle(self.side, _KERB_M)

    @property
    def trees_z(self) -> float:
        """Where the trees stand."""
        return _from_middle(self.side, _TREES_M)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that stands still, as far as it is seen from one side.

    Attributes:
        pillars: a colonnade and a kiosk.
        row: what stands behind them.
        stone: of the paving.
    """

    pillars: tuple[Pillar, ...]
    row: Row
    stone: Rgb

    def shade(self, x: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much of the sun is hidden from places on the ground, 0..1, of the shape of `x` and `z`."""
        sun_x, sun_z = SUN
        lit = np.ones(np.broadcast_shapes(x.shape, z.shape))
        for pillar in self.pillars:
            dx, dz = x - pillar.x, z - pillar.z
            along, across = dx * sun_x + dz * sun_z, np.abs(dx * sun_z - dz * sun_x)
            blur = 0.05 + 0.04 * np.clip(along, 0, 5)
            length = SHADOW_LENGTH * pillar.height_m
            strip = np.minimum(np.minimum(pillar.radius - across, along), length - along)
            foot = pillar.radius - np.sqrt(dx * dx + dz * dz)
            lit = lit * (1 - np.clip(np.maximum(strip, foot) / blur + 0.5, 0, 1))
        beam = self.pillars[0].z
        near, far = (beam + SHADOW_LENGTH * sun_z * height for height in BEAM_Y)
        lit = lit * (1 - np.clip(np.minimum(z - near + 0.4, far + 0.4 - z) / 0.25 + 0.5, 0, 1))
        trees_z = self.row.trees_z
        for tree in self.row.trees if z.size and z.max() > trees_z - 1 and z.min() < trees_z + 4 else ():
            for tuft_x, tuft_y, radius in tree.tufts:
                dx = x - tree.x - tuft_x - SHADOW_LENGTH * sun_x * tuft_y
                dz = z - tree.z - SHADOW_LENGTH * sun_z * tuft_y
                lit = lit * (1 - np.clip((radius - np.sqrt(dx * dx + dz * dz)) / 0.4, 0, 1))
        shade: NDArray[np.float64] = 1 - lit
        return shade


def sidelight(camera: Camera) -> float:
    """How much of the sun comes from a camera's right; -1 for the first camera, whose sun stands to its left."""
    (ahead_x, ahead_z), (sun_x, sun_z) = camera.ahead, SUN
    return (ahead_x * sun_z - ahead_z * sun_x) / sun_x


def backlight(camera: Camera) -> float:
    """How much against the sun a camera looks: 0..1."""
    (ahead_x, ahead_z), (sun_x, sun_z) = camera.ahead, SUN
    return max(0.0, -ahead_x * sun_x - ahead_z * sun_z)


def random_scene(rng: np.random.Generator, sights: Sequence[Sight]) -> Scene:
    """A street drawn from `rng`, as long as all cameras see it, and what the first of them sees behind it."""
    houses = _random_houses(rng, sights[0])
    pillars = _random_pillars(rng, sights)
    trees = _random_trees(rng, sights[0])
    stone = one_of(rng, [(216, 202, 180), (206, 198, 188), (218, 198, 172), (202, 198, 186)])
    return Scene(pillars, Row(sights[0].side, houses, trees), stone)


def random_row(rng: np.random.Generator, sight: Sight) -> Row:
    """A side of the street drawn from `rng`, as long as a camera sees it."""
    return Row(sight.side, _random_houses(rng, sight), _random_trees(rng, sight))


def _random_houses(rng: np.random.Generator, sight: Sight) -> tuple[House, ...]:
    left, right = _ends(sight)
    houses: list[House] = []
    while left < right:
        houses.append(_random_house(rng, left, before=houses[-1] if houses else None))
        left += houses[-1].width
    return tuple(houses)


def _random_trees(rng: np.random.Generator, sight: Sight) -> tuple[Tree, ...]:
    z = _from_middle(sight.side, _TREES_M)
    return tuple(_random_tree(rng, x + between(rng, -1, 1), z) for x in np.arange(*_ends(sight), 5.5).tolist())


def _ends(sight: Sight) -> tuple[float, float]:
    """From where to where a row fills a camera's view, with something to spare."""
    z = _from_middle(sight.side, _HOUSES_M)
    return sight.at(z, -1) - 8, sight.at(z, 1) + 8


def _from_middle(side: int, metres: float) -> float:
    """The z that lies so far from the street's middle."""
    return _MIDDLE_Z + side * metres


def _random_house(rng: np.random.Generator, left: float, *, before: House | None) -> House:
    width = between(rng, 5.5, 9.0)
    bays = int(width / between(rng, 1.9, 2.4))
    fresh = [wall for wall in _WALLS if before is None or wall != before.wall]
    return House(
        left=left,
        width=width,
        storeys=one_of(rng, [1, 1, 1, 2]),
        bays=bays,
        door=int(rng.integers(bays)),
        wall=one_of(rng, fresh),
        roof=one_of(rng, _ROOFS),
        trim=one_of(rng, _TRIMS),
        shutters=bool(rng.integers(2)),
        awning=bool(rng.integers(2)),
    )


def _random_pillars(rng: np.random.Generator, sights: Sequence[Sight]) -> tuple[Pillar, ...]:
    """A colonnade with even gaps, and a kiosk that is seen between two of its columns."""
    z, gap, shift = between(rng, 8.6, 9.8), between(rng, 3.8, 4.6), between(rng, -0.6, 0.6)
    to_left, to_right = (max(part * sight.at(z, part) for sight in sights) for part in (-1, 1))
    pillars = [
        Pillar((index - 0.5) * gap + shift, z, 0.36, "column", ((0, 0, 0), (0, 0, 0)))
        for index in range(-int(to_left / gap), int(to_right / gap) + 2)
    ]
    bay = int(rng.integers(-1, 2))
    kiosk_z = between(rng, 12.5, 14.5)
    kiosk_x = (bay * gap + shift) * kiosk_z / z
    posters = one_of(rng, _TRIMS), one_of(rng, _WALLS)
    return (*pillars, Pillar(kiosk_x, kiosk_z, 0.62, "kiosk", posters))


def _random_tree(rng: np.random.Generator, x: float, z: float) -> Tree:
    size = between(rng, 0.85, 1.15)
    tufts = [
        (between(rng, -1.1, 1.1) * size, between(rng, 2.7, 4.4) * size, between(rng, 0.5, 0.85) * size)
        for _ in range(7)
    ]
    return Tree(
        x,
        z,
        ((0.0, 3.5 * size, 1.15 * size), *tufts),
        one_of(rng, [(96, 132, 74), (112, 140, 70), (82, 124, 84), (128, 142, 66)]),
    )
