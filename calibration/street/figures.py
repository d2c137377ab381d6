"""Paints a `Figure` in a `View`: a body of round limbs in patterned clothes, lit from one side, before a street.

Lengths are shares of the body's height, crown at y = 0 and soles at y = 1, the axis at x = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.calibration.street.canvas import Canvas, Plane, Shape, blurred, clouds
from reidkit.calibration.street.people import Figure, Rgb, View, figure_of, random_view

_STONE: list[Rgb] = [(120, 118, 114), (148, 144, 136), (96, 98, 104), (164, 156, 142), (110, 104, 92), (84, 92, 80)]


def render_crops(count: int, *, seed: int, height: int = 256, width: int = 128) -> NDArray[np.uint8]:
    """Different people, each in a view of their own, (N, H, W, 3) uint8 RGB.

    The same seed gives the same crops on every machine, and the first of many are those of few.
    """
    crops = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        figure, rng = figure_of(seed, index)
        crops[index] = render(figure, random_view(rng), height=height, width=width)
    return crops


def render(figure: Figure, view: View, *, height: int = 256, width: int = 128) -> NDArray[np.uint8]:
    """The picture of one figure in one view, (H, W, 3) uint8 RGB."""
    rng = np.random.Generator(np.random.PCG64(view.scenery))
    scale = height * view.height
    canvas = Canvas(
        image=_street(rng, height, width),
        x=((np.arange(width, dtype=np.float64) + 0.5 - view.center * width) / scale)[None, :],
        y=((np.arange(height, dtype=np.float64) + 0.5 - view.top * height) / scale)[:, None],
        pixel=1 / scale,
    )
    facing = abs(view.front)
    body = _Body(
        canvas=canvas,
        figure=figure,
        view=view,
        folds=clouds(rng, (height, width), (16, 8)),
        facing=facing,
        waist=0.094 * figure.girth * (0.68 + 0.32 * facing),
        shoulder=0.1 * figure.shoulders * (0.45 + 0.55 * facing),
        near=1 if view.side >= 0 else -1,
    )
    _paint(body)
    across = (np.arange(width) / width - 0.5)[:, None]
    lit = canvas.image * np.asarray(view.gain) * (1 + 0.25 * view.sun * across)
    grain = rng.integers(-view.noise, view.noise + 1, (2, height, width, 3)).sum(axis=0)
    image = blurred(lit, view.blur * height // 256) + grain / 2
    levels: NDArray[np.uint8] = np.floor(np.clip(image, 0, 255) + 0.5).astype(np.uint8)
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


@dataclass(frozen=True, slots=True)
class _Body:
    """A figure before a canvas, and what its parts have in common.

    Attributes:
        facing: 0 from the side .. 1 from the front or the back.
        waist: half the trunk's width at the waist, as seen.
        shoulder: distance of a shoulder's joint from the axis, as seen.
        near: 1 if the right-hand limbs of the picture are the nearer ones, else -1.
    """

    canvas: Canvas
    figure: Figure
    view: View
    folds: Plane
    facing: float
    waist: float
    shoulder: float
    near: int

    def lay(self, shape: Shape, color: ArrayLike) -> None:
        """Paint a rounded surface: darker where it turns away from the light, uneven where it folds."""
        turned = shape.across - 0.45 * self.view.sun
        light = 1.08 - 0.3 * turned * turned + 0.07 * self.folds[shape.window]
        self.canvas.paint(shape, np.asarray(color) * light[..., None])


def _paint(body: _Body) -> None:
    """Everything, far parts first."""
    has_backpack, from_behind = body.figure.bag == "backpack", body.view.front < 0
    body.canvas.paint(body.canvas.limb((-0.06, 0.985), (0.1, 0.985), (0.025, 0.015)), (20, 20, 24), opacity=0.45)
    if has_backpack and not from_behind:
        _backpack(body)
    _leg(body, -body.near)
    _leg(body, body.near)
    _arm(body, -body.near)
    _trunk(body)
    if has_backpack and from_behind:
        _backpack(body)
    _arm(body, body.near)
    _head(body)
    if body.figure.bag in ("shoulder", "hand"):
        _bag(body)


def _leg(body: _Body, side: int) -> None:
    canvas, figure, view = body.canvas, body.figure, body.view
    swing, thick = side * view.step, 0.8 + 0.2 * figure.girth
    sideways, forwards = swing * view.side, max(0.0, swing * view.front)
    hip_x = side * 0.046 * figure.girth * (0.4 + 0.6 * body.facing)
    knee = (hip_x + 0.085 * sideways, 0.725)
    ankle = (
        hip_x + 0.15 * sideways - 0.03 * view.side * max(0.0, -swing),
        0.95 - 0.035 * forwards - 0.02 * abs(sideways),
    )
    toe = (ankle[0] + 0.05 * view.side + 0.004, ankle[1] + 0.012 + 0.012 * max(0.0, view.front))
    thigh = canvas.limb((hip_x, 0.5), knee, (0.06 * thick, 0.044 * thick))
    shin = canvas.limb(knee, ankle, (0.042 * thick, 0.031 * thick))
    body.lay(canvas.limb(ankle, toe, (0.026, 0.022)), figure.shoes)
    body.lay(shin, _bottom(body, shin) if figure.bottom_kind == "trousers" else figure.skin)
    body.lay(thigh, figure.skin if figure.bottom_kind == "skirt" else _bottom(body, thigh))


def _trunk(body: _Body) -> None:
    canvas, figure, waist = body.canvas, body.figure, body.waist
    if figure.bottom_kind == "skirt":
        body.lay(
            skirt := canvas.outline(0, [(0.46, waist), (0.52, 1.1 * waist), (0.7, 1.4 * waist)]), _bottom(body, skirt)
        )
    body.lay(canvas.limb((0, 0.1), (0, 0.17), (0.03, 0.036)), figure.skin)
    wide = body.shoulder + 0.018
    profile = [(0.16, 0.42 * wide), (0.178, 0.86 * wide), (0.2, wide), (0.3, (wide + waist) / 2), (0.42, waist)]
    hem = waist * (1.06 + 0.8 * max(0.0, figure.top_length - 0.5))
    body.lay(trunk := canvas.outline(0, [*profile, (figure.top_length, hem)]), _top(body, trunk, trunk=True))


def _arm(body: _Body, side: int) -> None:
    canvas, figure, view = body.canvas, body.figure, body.view
    swing, thick = -side * view.step, 0.8 + 0.2 * figure.girth
    sideways, out = swing * view.side, 0.026 * side * body.facing * figure.girth
    shoulder = (side * body.shoulder, 0.208)
    elbow = (shoulder[0] + out + 0.05 * sideways, 0.345)
    wrist = (elbow[0] + 0.3 * out + 0.085 * sideways + 0.02 * view.side, 0.47 - 0.02 * abs(swing))
    upper = canvas.limb(shoulder, elbow, (0.034 * thick, 0.028 * thick))
    lower = canvas.limb(elbow, wrist, (0.028 * thick, 0.021 * thick))
    body.lay(canvas.limb(wrist, (wrist[0], wrist[1] + 0.025), (0.019, 0.015)), figure.skin)
    body.lay(lower, _top(body, lower) if figure.long_sleeves else figure.skin)
    body.lay(upper, _top(body, upper))


def _head(body: _Body) -> None:
    canvas, figure, front, side = body.canvas, body.figure, body.view.front, body.view.side
    body.lay(canvas.limb((0, 0.058), (0, 0.074), (0.05, 0.046)), figure.hair)
    if front > -0.35:
        turned = 0.02 * side
        body.lay(canvas.limb((turned, 0.066), (turned, 0.092), (0.04, 0.033)), figure.skin)
        for eye in (-1, 1):
            x = 1.4 * turned + eye * 0.016 * (0.4 + 0.6 * front)
            canvas.paint(canvas.limb((x - 0.004, 0.073), (x + 0.004, 0.073), (0.004, 0.004)), (30, 24, 22), opacity=0.6)
        body.lay(canvas.limb((turned / 2 - 0.026, 0.032), (turned / 2 + 0.026, 0.032), (0.022, 0.022)), figure.hair)
    if figure.hair_length and front < 0.2:
        end = (-0.025 * side, 0.09 + figure.hair_length)
        body.lay(canvas.limb((-0.01 * side, 0.06), end, (0.046, 0.036)), figure.hair)
    elif figure.hair_length:
        for x in (-0.044, 0.044):
            body.lay(canvas.limb((x, 0.06), (x, 0.09 + figure.hair_length), (0.01, 0.013)), figure.hair)


def _backpack(body: _Body) -> None:
    half = 0.85 * body.shoulder if body.view.front < 0 else 0.1 * abs(body.view.side)
    half = max(half, 0.05)
    pack = body.canvas.outline(
        -0.1 * body.view.side, [(0.19, 0.7 * half), (0.22, half), (0.4, half), (0.42, 0.9 * half)]
    )
    body.lay(pack, body.figure.bag_color)


def _bag(body: _Body) -> None:
    canvas, figure = body.canvas, body.figure
    x = body.near * (body.shoulder + 0.03)
    if figure.bag == "shoulder":
        canvas.paint(canvas.limb((-0.6 * body.near * body.shoulder, 0.18), (x, 0.45), (0.007, 0.007)), figure.bag_color)
        bag = canvas.outline(x, [(0.44, 0.05), (0.56, 0.055)])
    else:
        bag = canvas.outline(x + 0.02 * body.near, [(0.49, 0.015), (0.52, 0.045), (0.63, 0.05)])
    body.lay(bag, figure.bag_color)


def _top(body: _Body, shape: Shape, *, trunk: bool = False) -> Plane:
    """Colours of the upper garment over one part of the body; what is open or printed is so on the trunk alone."""
    figure, front = body.figure, body.view.front
    around, repeats, pattern = shape.across + 0.7 * body.view.side, figure.repeats, figure.top_pattern
    share = np.zeros_like(around)
    if pattern == "hoops":
        share = _bands(4 * repeats * shape.y)
    elif pattern == "stripes":
        share = _bands(repeats * around)
    elif pattern == "checks":
        share = (_bands(5 * repeats * shape.y) + _bands(repeats * around)) / 2
    elif pattern == "yoke":
        share = _step(0.22 + 0.02 * repeats - shape.y)
    elif pattern == "speckle":
        share = _speckle(shape.y, around)
    elif pattern == "open" and trunk and front > 0.2:
        share = _step(0.05 * repeats - np.abs(around))
    elif pattern == "print" and trunk and abs(front) > 0.4:
        share = _step(0.05 - np.abs(shape.y - 0.29)) * _step(0.5 - np.abs(around))
    return _mixed(figure.top, figure.top_second, share)


def _bottom(body: _Body, shape: Shape) -> Plane:
    """Colours of the lower garment over one part of the body."""
    figure, around = body.figure, shape.across + 0.7 * body.view.side
    share = np.zeros_like(around)
    if figure.bottom_pattern == "faded":
        share = np.clip(0.6 - 2 * np.abs(shape.y - 0.65), 0, 1)
    elif figure.bottom_pattern == "seam":
        share = _step(np.abs(around) - 0.75)
    elif figure.bottom_pattern == "speckle":
        share = _speckle(shape.y, around)
    return _mixed(figure.bottom, figure.bottom_second, share)


def _mixed(first: Rgb, second: Rgb, share: Plane) -> Plane:
    mixed: Plane = np.asarray(first) + share[..., None] * (np.asarray(second) - np.asarray(first))
    return mixed


def _bands(position: Plane) -> Plane:
    """0 and 1 in turn, one period for each 1 of `position`."""
    return _step((np.abs(position - np.floor(position) - 0.5) - 0.25) / 5)


def _speckle(y: Plane, around: Plane) -> Plane:
    return _bands(67 * y + 1.7 * _bands(9 * around)) * _bands(11 * around)


def _step(position: Plane) -> Plane:
    """0 where `position` is negative, 1 where it is positive, soft between."""
    return np.clip(40 * position + 0.5, 0, 1)
