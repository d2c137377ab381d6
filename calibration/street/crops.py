"""Rendered crops, such as a detector would cut: for golden files, tests, and exports without data.

Each shows a `Figure` through what a network must see through: the side that is shown, the step, the light, the place,
the looseness of the box, blur and noise, all of them drawn from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.street.body import Pose
from reidkit.calibration.street.canvas import Canvas, Plane, blurred, clouds
from reidkit.calibration.street.figures import paint_figure
from reidkit.calibration.street.people import Figure, Rgb, between, one_of, random_figure

_STONE: list[Rgb] = [(120, 118, 114), (148, 144, 136), (96, 98, 104), (164, 156, 142), (110, 104, 92), (84, 92, 80)]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look at a person.

    Attributes:
        pose: the moment of the walk and the side that is shown.
        height: of the body, as a share of the crop's.
        center: the body's axis, as a share of the crop's width.
        top: the crown, as a share of the crop's height.
        gain: brightness of the light, by channel.
        sun: -1..1, from the left or from the right.
        blur: passes of the 1-2-1 kernel over a crop of 256 rows.
        noise: grey levels by which a pixel may err.
        scenery: seed of the background, the folds and the noise.
    """

    pose: Pose
    height: float
    center: float
    top: float
    gain: Rgb
    sun: float
    blur: int
    noise: int
    scenery: int


def render_crops(count: int, *, seed: int, height: int = 256, width: int = 128) -> NDArray[np.uint8]:
    """Different people, each in a view of their own, (N, H, W, 3) uint8 RGB.

    The same seed gives the same crops on every machine, and the first of many are those of few.
    """
    crops = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        figure, rng = figure_of(seed, index)
        crops[index] = render(figure, random_view(rng), height=height, width=width)
    return crops


def figure_of(seed: int, index: int) -> tuple[Figure, np.random.Generator]:
    """Person `index` of a seed, and a generator for their views: the same whoever else is asked for."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index,))))
    return random_figure(rng), rng


def random_view(rng: np.random.Generator) -> View:
    """A look from any side in any light, drawn from `rng`."""
    turn = between(rng, -1, 1)  # the circle's rational points: no sine
    front, side = (1 - turn * turn) / (1 + turn * turn), 2 * turn / (1 + turn * turn)
    brightness, warmth = between(rng, 0.7, 1.2), between(rng, -0.06, 0.06)
    return View(
        pose=Pose(front=one_of(rng, [front, -front]), side=side, phase=float(rng.random()), stride=between(rng, 0, 1)),
        height=between(rng, 0.85, 0.95),
        center=between(rng, 0.45, 0.55),
        top=between(rng, 0.02, 0.04),
        gain=(brightness * (1 + warmth), brightness, brightness * (1 - warmth)),
        sun=between(rng, -1, 1),
        blur=int(rng.integers(0, 4)),
        noise=int(rng.integers(1, 6)),
        scenery=int(rng.integers(0, 2**31)),
    )


def render(figure: Figure, view: View, *, height: int = 256, width: int = 128) -> NDArray[np.uint8]:
    """The picture of one figure in one view, (H, W, 3) uint8 RGB."""
    rng = np.random.Generator(np.random.PCG64(view.scenery))
    scale = height * view.height
    image = np.concatenate([_street(rng, height, width), np.ones((height, width, 1))], axis=2)
    canvas = Canvas(image, left=-view.center * width / scale, top=-view.top * height / scale, pixel=1 / scale)
    canvas.paint(canvas.limb((-0.06, 0.985), (0.1, 0.985), (0.025, 0.015)), (20, 20, 24), opacity=0.45)
    paint_figure(canvas, figure, view.pose, sun=view.sun, folds=clouds(rng, (height, width), (16, 8)))
    across = (np.arange(width) / width - 0.5)[:, None]
    lit = canvas.image[..., :3] * np.asarray(view.gain) * (1 + 0.25 * view.sun * across)
    grain = rng.integers(-view.noise, view.noise + 1, (2, height, width, 3)).sum(axis=0)
    blurry = blurred(lit, view.blur * height // 256) + grain / 2
    levels: NDArray[np.uint8] = np.floor(np.clip(blurry, 0, 255) + 0.5).astype(np.uint8)
    return levels


def _street(rng: np.random.Generator, height: int, width: int) -> Plane:
    """A blurred wall with posts and windows, and the pavement before it, (H, W, 3)."""
    wall, ground, post = (np.asarray(_STONE[int(rng.integers(len(_STONE)))]) for _ in range(3))
    image = np.empty((height, width, 3))
    curb = int(rng.integers(height * 3 // 10, height * 8 // 10))
    image[:curb] = wall
    image[curb:] = ground * 0.9
    for _ in range(int(rng.integers(1, 5))):
        left, top = int(rng.integers(-width // 4, width)), int(rng.integers(-height // 8, curb))
        right, bottom = left + int(rng.integers(width // 16, width // 2)), top + int(rng.integers(height // 12, height))
        image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = post * (0.55 + 0.9 * rng.random())
    image *= 1 + 0.16 * clouds(rng, (height, width), (6, 4))[..., None]
    image *= 1 + 0.08 * clouds(rng, (height, width), (40, 20))[..., None]
    return blurred(image, 6 * height // 256)
