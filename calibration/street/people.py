"""Who a person is: clothes by colour and pattern, hair, skin, build, what is carried, how they walk.

A `Figure` keeps what a re-identification network must find again from any side, in any light, at any distance;
`reidkit.calibration.street.figures` paints it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal, TypeVar

import numpy as np

Choice = TypeVar("Choice")
Rgb = tuple[float, float, float]
TopPattern = Literal["plain", "open", "hoops", "stripes", "checks", "yoke", "print", "speckle"]
BottomPattern = Literal["plain", "faded", "speckle", "seam"]

_CLOTH: list[Rgb] = [
    *[(28, 28, 33), (58, 60, 68), (104, 107, 112), (158, 160, 160), (212, 212, 206), (242, 240, 233)],  # greys
    *[(28, 38, 78), (38, 70, 146), (74, 128, 196), (150, 192, 224)],  # blues
    *[(126, 28, 40), (200, 48, 48), (228, 116, 108), (232, 162, 184)],  # reds
    *[(28, 82, 56), (76, 134, 74), (138, 148, 82), (62, 142, 142)],  # greens
    *[(234, 194, 70), (228, 128, 48), (204, 170, 124), (126, 88, 60), (82, 56, 44)],  # yellows and browns
    *[(104, 66, 138), (174, 146, 202)],  # violets
]
_TROUSERS: list[Rgb] = [
    *[(30, 30, 35), (52, 54, 62), (96, 98, 104), (156, 156, 158), (220, 215, 204)],  # greys
    *[(38, 48, 84), (62, 88, 134), (104, 132, 172)],  # denim
    *[(184, 164, 130), (118, 96, 74), (78, 82, 62), (116, 40, 46)],
]
_SKIN: list[Rgb] = [(240, 206, 182), (224, 180, 148), (196, 146, 112), (152, 106, 78), (104, 72, 54)]
_HAIR: list[Rgb] = [(30, 25, 25), (64, 45, 34), (110, 76, 46), (190, 152, 92), (150, 146, 142), (132, 60, 36)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A person, the same in every view.

    Attributes:
        height_m: in metres.
        girth, shoulders: factors around 1.
        cadence, arm_swing: of the walk, factors around 1.
        skin, hair: their colours.
        hair_length: below the ears, as a share of the body's height.
        hat, hat_color: what is worn on the head.
        top, top_second, top_pattern, repeats: the upper garment: its two colours, and how often its pattern repeats.
        top_length: where it ends, from crown 0 to soles 1: a shirt, a jacket, a coat.
        long_sleeves: whether it covers the forearms.
        bottom, bottom_second, bottom_pattern, bottom_kind: the lower garment.
        shoes: their colour.
        bag, bag_color: what is carried.
    """

    height_m: float
    girth: float
    shoulders: float
    cadence: float
    arm_swing: float
    skin: Rgb
    hair: Rgb
    hair_length: float
    hat: Literal["none", "cap", "beanie"]
    hat_color: Rgb
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


def random_figure(rng: np.random.Generator) -> Figure:
    """A person drawn from `rng`."""
    return Figure(
        height_m=between(rng, 1.54, 1.92),
        girth=between(rng, 0.84, 1.26),
        shoulders=between(rng, 0.9, 1.12),
        cadence=between(rng, 0.9, 1.12),
        arm_swing=between(rng, 0.6, 1.3),
        skin=_tinted(rng, _SKIN),
        hair=_tinted(rng, _HAIR),
        hair_length=one_of(rng, [0.0, 0.0, 0.01, 0.06, 0.11]),
        hat=one_of(rng, ["none", "none", "none", "none", "cap", "beanie"]),
        hat_color=_tinted(rng, _CLOTH),
        top=_tinted(rng, _CLOTH),
        top_second=_tinted(rng, _CLOTH),
        top_pattern=one_of(rng, ["plain", "open", "hoops", "stripes", "checks", "yoke", "print", "speckle"]),
        repeats=int(rng.integers(3, 8)),
        top_length=one_of(rng, [0.49, 0.51, 0.54, 0.64, 0.74]),
        long_sleeves=one_of(rng, [False, True, True]),
        bottom=_tinted(rng, _TROUSERS),
        bottom_second=_tinted(rng, _TROUSERS),
        bottom_pattern=one_of(rng, ["plain", "plain", "faded", "speckle", "seam"]),
        bottom_kind=one_of(rng, ["trousers", "trousers", "trousers", "shorts", "skirt"]),
        shoes=_tinted(rng, _CLOTH),
        bag=one_of(rng, ["none", "none", "backpack", "shoulder", "hand"]),
        bag_color=_tinted(rng, _CLOTH),
    )


def look_alike(figure: Figure, rng: np.random.Generator) -> Figure:
    """Somebody else in the same clothes: told apart by head, build, shoes and what is carried."""
    other = random_figure(rng)
    return replace(
        figure,
        height_m=min(max(figure.height_m + between(rng, -0.06, 0.06), 1.5), 1.95),
        girth=figure.girth + between(rng, -0.06, 0.06),
        cadence=other.cadence,
        arm_swing=other.arm_swing,
        skin=other.skin,
        hair=other.hair,
        hair_length=other.hair_length,
        hat=other.hat,
        shoes=other.shoes,
        bag=other.bag,
        bag_color=other.bag_color,
    )


def unlikeness(one: Figure, other: Figure) -> float:
    """How differently two people are dressed: distances of colours, and something for pattern and length."""
    upper, lower = _distance(one.top, other.top), _distance(one.bottom, other.bottom)
    cut = (one.top_pattern != other.top_pattern) + 5 * abs(one.top_length - other.top_length)
    return upper + 0.7 * lower + 0.3 * _distance(one.top_second, other.top_second) + 40 * cut


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A number drawn evenly from a range."""
    # Not rng.uniform, whose product and sum some compilers fuse.
    return low + (high - low) * float(rng.random())


def one_of(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    """One of the choices, each as likely."""
    return choices[int(rng.integers(len(choices)))]


def _tinted(rng: np.random.Generator, palette: Sequence[Rgb]) -> Rgb:
    """A colour of the palette, a little off."""
    red, green, blue = (channel + float(rng.integers(-9, 10)) for channel in one_of(rng, palette))
    return red, green, blue


def _distance(one: Rgb, other: Rgb) -> float:
    return sqrt(sum((a - b) * (a - b) for a, b in zip(one, other, strict=True)))
