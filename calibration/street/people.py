"""Rendered pedestrians: who a person is (`Figure`) and how they are seen (`View`).

A `Figure` keeps what a re-identification network must find again: clothes by colour and pattern, hair, skin, build,
what is carried. A `View` holds what it must see through: the side that is shown, the step, the light, the place, the
looseness of the box, blur and noise. `reidkit.calibration.street.figures` paints them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

Choice = TypeVar("Choice")
Rgb = tuple[float, float, float]
TopPattern = Literal["plain", "open", "hoops", "stripes", "checks", "yoke", "print", "speckle"]
BottomPattern = Literal["plain", "faded", "speckle", "seam"]

_CLOTH: list[Rgb] = [
    *[(24, 24, 28), (52, 54, 60), (96, 98, 102), (150, 150, 150), (205, 205, 200), (238, 236, 230)],  # greys
    *[(22, 30, 62), (36, 62, 128), (70, 118, 186), (142, 184, 220)],  # blues
    *[(120, 22, 30), (190, 40, 44), (222, 110, 110), (226, 150, 178)],  # reds
    *[(24, 70, 44), (66, 120, 62), (128, 140, 74), (60, 130, 132)],  # greens
    *[(226, 190, 60), (220, 120, 40), (196, 164, 118), (118, 82, 54), (74, 50, 38)],  # yellows and browns
    *[(96, 56, 130), (168, 136, 196)],  # violets
]
_TROUSERS: list[Rgb] = [
    *[(26, 26, 30), (48, 50, 56), (92, 94, 98), (150, 150, 152), (214, 210, 202)],  # greys
    *[(34, 44, 78), (58, 82, 126), (96, 124, 162)],  # denim
    *[(178, 158, 124), (112, 92, 70), (70, 74, 56), (110, 34, 40)],
]
_SKIN: list[Rgb] = [(236, 200, 176), (218, 174, 142), (190, 140, 106), (146, 100, 72), (96, 64, 48)]
_HAIR: list[Rgb] = [(22, 18, 18), (58, 40, 30), (104, 72, 44), (176, 140, 84), (140, 136, 132), (120, 52, 32)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A person, the same in every view.

    Attributes:
        girth, shoulders: factors around 1.
        skin, hair: their colours.
        hair_length: below the ears, as a share of the body's height.
        top, top_second, top_pattern, repeats: the upper garment: its two colours, and how often its pattern repeats.
        top_length: where it ends, from crown 0 to soles 1: a shirt, a jacket, a coat.
        long_sleeves: whether it covers the forearms.
        bottom, bottom_second, bottom_pattern, bottom_kind: the lower garment.
        shoes: their colour.
        bag, bag_color: what is carried.
    """

    girth: float
    shoulders: float
    skin: Rgb
    hair: Rgb
    hair_length: float
    top: Rgb
    top_second: Rgb
    top_pattern: TopPattern
    repeats: int
    top_length: float
    long_sleeves: bool
    bottom: Rgb
    bottom_second: Rgb
    bottom_pattern: BottomPattern
    bottom_kind: Literal["trousers", "shorts", "skirt"]
    shoes: Rgb
    bag: Literal["none", "backpack", "shoulder", "hand"]
    bag_color: Rgb


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look at a person.

    Attributes:
        front, side: the direction they walk, of length 1: (1, 0) towards the camera, (0, 1) to the right.
        step: -1..1, where the legs are in their swing.
        height: of the body, as a share of the crop's.
        center: the body's axis, as a share of the crop's width.
        top: the crown, as a share of the crop's height.
        gain: brightness of the light, by channel.
        sun: -1..1, from the left or from the right.
        blur: passes of the 1-2-1 kernel over a crop of 256 rows.
        noise: grey levels by which a pixel may err.
        scenery: seed of the background, the folds and the noise.
    """

    front: float
    side: float
    step: float
    height: float
    center: float
    top: float
    gain: Rgb
    sun: float
    blur: int
    noise: int
    scenery: int


def random_figure(rng: np.random.Generator) -> Figure:
    """A person drawn from `rng`."""
    return Figure(
        girth=_between(rng, 0.82, 1.3),
        shoulders=_between(rng, 0.88, 1.12),
        skin=_tinted(rng, _SKIN),
        hair=_tinted(rng, _HAIR),
        hair_length=_one_of(rng, [0.0, 0.0, 0.01, 0.06, 0.11]),
        top=_tinted(rng, _CLOTH),
        top_second=_tinted(rng, _CLOTH),
        top_pattern=_one_of(rng, ["plain", "open", "hoops", "stripes", "checks", "yoke", "print", "speckle"]),
        repeats=int(rng.integers(3, 8)),
        top_length=_one_of(rng, [0.48, 0.51, 0.54, 0.66, 0.76]),
        long_sleeves=_one_of(rng, [False, True, True]),
        bottom=_tinted(rng, _TROUSERS),
        bottom_second=_tinted(rng, _TROUSERS),
        bottom_pattern=_one_of(rng, ["plain", "plain", "faded", "speckle", "seam"]),
        bottom_kind=_one_of(rng, ["trousers", "trousers", "trousers", "shorts", "skirt"]),
        shoes=_tinted(rng, _CLOTH),
        bag=_one_of(rng, ["none", "none", "backpack", "shoulder", "hand"]),
        bag_color=_tinted(rng, _CLOTH),
    )


def random_view(rng: np.random.Generator) -> View:
    """A look from any side in any light, drawn from `rng`."""
    turn = _between(rng, -1, 1)  # the circle's rational points: no sine
    front, side = (1 - turn * turn) / (1 + turn * turn), 2 * turn / (1 + turn * turn)
    brightness, warmth = _between(rng, 0.7, 1.2), _between(rng, -0.06, 0.06)
    return View(
        front=_one_of(rng, [front, -front]),
        side=side,
        step=_between(rng, -1, 1),
        height=_between(rng, 0.85, 0.95),
        center=_between(rng, 0.45, 0.55),
        top=_between(rng, 0.02, 0.04),
        gain=(brightness * (1 + warmth), brightness, brightness * (1 - warmth)),
        sun=_between(rng, -1, 1),
        blur=int(rng.integers(0, 4)),
        noise=int(rng.integers(1, 6)),
        scenery=int(rng.integers(0, 2**31)),
    )


def figure_of(seed: int, index: int) -> tuple[Figure, np.random.Generator]:
    """Person `index` of a seed, and a generator for their views: the same whoever else is asked for."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index,))))
    return random_figure(rng), rng


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    # Not rng.uniform, whose product and sum some compilers fuse.
    return low + (high - low) * float(rng.random())


def _one_of(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    return choices[int(rng.integers(len(choices)))]


def _tinted(rng: np.random.Generator, palette: Sequence[Rgb]) -> Rgb:
    """A colour of the palette, a little off."""
    red, green, blue = (channel + float(rng.integers(-9, 10)) for channel in _one_of(rng, palette))
    return red, green, blue
