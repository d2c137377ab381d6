"""Paints a `Figure` in a `Pose`: a body of round limbs in patterned clothes, lit from one side, on a canvas.

Lengths are shares of the body's height, the crown of one who stands at y = 0 and the soles at y = 1, the axis at x = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from reidkit.calibration.street.body import Joints, Limb, Place, Pose, joints, seen
from reidkit.calibration.street.canvas import Canvas, Plane, Shape
from reidkit.calibration.street.people import Figure, Rgb

_HEM_Y = 0.5  # where a shirt ends; a coat goes on


def paint_figure(canvas: Canvas, figure: Figure, pose: Pose, *, sun: float, folds: Plane) -> None:
    """Paint a person in place.

    Args:
        canvas: its units are shares of the body's height.
        figure: who.
        pose: in which moment of the walk, from which side.
        sun: -1..1, light from the left or from the right.
        folds: (H, W) -1..1, unevenness of the cloth, of the canvas' size.
    """
    body = _Body(
        canvas=canvas,
        figure=figure,
        pose=pose,
        sun=sun,
        folds=folds,
        joints=joints(pose, hips=0.046 * figure.girth, shoulders=0.104 * figure.shoulders + 0.012 * figure.girth),
    )
    # Each part with its nearness: what is nearest is painted last.
    parts: list[tuple[float, Callable[[], None]]] = [
        *((0.3 * leg.near - 0.09, partial(body.leg, leg)) for leg in body.joints.legs),
        *((arm.near, partial(body.arm, arm)) for arm in body.joints.arms),
        *[(-0.03, body.neck), (0, body.trunk), (1, body.head)],
    ]
    if figure.bottom_kind == "skirt":
        parts.append((-0.04, body.skirt))
    if figure.hair_length:
        parts.append((-0.05 if pose.front > 0.2 else 2, body.long_hair))
    if figure.bag == "backpack":
        parts.append((-0.1 * pose.front, body.backpack))
    elif figure.bag == "shoulder":
        parts.append((0.001, body.strap))
        parts.append((0.13 * pose.side, body.shoulder_bag))
    elif figure.bag == "hand":
        parts.append((body.joints.arms[0].near - 0.001, body.hand_bag))
    for _, paint in sorted(parts, key=lambda part: part[0]):
        paint()


@dataclass(frozen=True, slots=True)
class _Body:
    """A figure in a pose before a canvas, and how its parts are painted."""

    canvas: Canvas
    figure: Figure
    pose: Pose
    sun: float
    folds: Plane
    joints: Joints

    def leg(self, leg: Limb) -> None:
        """One leg with its shoe."""
        canvas, figure, thick = self.canvas, self.figure, 0.8 + 0.2 * self.figure.girth
        shade = 1 if leg.near > -0.02 else 0.88
        heel = (leg.end.x, leg.end.y + 0.02)
        self._lay(canvas.limb(heel, leg.tip.point, (0.023, 0.019)), figure.shoes, shade)
        thigh = canvas.limb(leg.root.point, leg.middle.point, (0.057 * thick, 0.044 * thick))
        shin = canvas.limb(leg.middle.point, leg.end.point, (0.041 * thick, 0.03 * thick))
        if figure.bottom_kind == "trousers":
            self._lay(shin, self._bottom(shin), shade)
            self._lay(thigh, self._bottom(thigh), shade)
        else:
            calf = canvas.limb(leg.middle.point, leg.end.point, (0.035 * thick, 0.022 * thick))
            self._lay(calf, figure.skin, shade)
            self._lay(thigh, figure.skin if figure.bottom_kind == "skirt" else self._bottom(thigh), shade)

    def skirt(self) -> None:
        """A skirt, wider in front and behind while its wearer strides."""
        waist, knee = self._half(0.088, 0.07), self._half(0.115, 0.1 + 0.05 * self.pose.stride)
        drop = self.joints.drop
        shape = self.canvas.outline([(0.43 + drop, 0, waist), (0.5 + drop, 0, 1.1 * waist), (0.7 + drop, 0, knee)])
        self._lay(shape, self._bottom(shape))

    def trunk(self) -> None:
        """The upper garment without its sleeves."""
        figure, drop, lean = self.figure, self.joints.drop, self.joints.lean
        shoulder = self._half(0.118 * figure.shoulders / figure.girth + 0.012, 0.058)
        chest, waist, hip = self._half(0.098, 0.074), self._half(0.087, 0.068), self._half(0.094, 0.074)
        profile = [
            (0.155 + drop, lean, 0.36 * shoulder),
            (0.172 + drop, lean, 0.8 * shoulder),
            (0.19 + drop, lean, 0.96 * shoulder),
            (0.212 + drop, lean, shoulder),
            (0.3 + drop, 0.7 * lean, (shoulder + 2 * chest) / 3),
            (0.4 + drop, 0.3 * lean, waist),
            (min(figure.top_length, 0.48) + drop, 0, hip),
        ]
        if figure.top_length > 0.48:
            long = max(0.0, figure.top_length - _HEM_Y)
            hem = self._half(0.097 + 0.1 * long, 0.078 + long * (0.1 + 0.25 * self.pose.stride))
            profile.append((figure.top_length + drop, 0, hem))
        shape = self.canvas.outline(profile)
        self._lay(shape, self._top(shape, trunk=True))

    def arm(self, arm: Limb) -> None:
        """One arm with its hand."""
        canvas, figure, thick = self.canvas, self.figure, 0.8 + 0.2 * self.figure.girth
        shade = 1 if arm.near > -0.02 else 0.88
        self._lay(canvas.limb(arm.end.point, arm.tip.point, (0.018, 0.014)), figure.skin, shade)
        lower = canvas.limb(arm.middle.point, arm.end.point, (0.027 * thick, 0.021 * thick))
        self._lay(lower, self._top(lower) if figure.long_sleeves else figure.skin, shade)
        upper = canvas.limb(arm.root.point, arm.middle.point, (0.034 * thick, 0.028 * thick))
        self._lay(upper, self._top(upper), shade)

    def neck(self) -> None:
        """The neck, in the chin's shadow."""
        x, drop = self.joints.lean, self.joints.drop
        self._lay(self.canvas.limb((x, 0.11 + drop), (x, 0.17 + drop), (0.03, 0.034)), self.figure.skin, 0.82)

    def head(self) -> None:
        """Face, hair and hat."""
        canvas, figure, front, side = self.canvas, self.figure, self.pose.front, self.pose.side
        x, y = self._head_middle()
        rx, ry = _length(0.046 * front, 0.055 * side), 0.066
        if front > -0.3:
            if front > 0.3:  # beside the cheeks
                self._lay(canvas.ellipse((x, y - 0.004), (1.1 * rx, ry), until=0.25), figure.hair, 0.92)
            self._lay(canvas.ellipse((x, y), (rx, ry)), figure.skin)
            for eye in (-1, 1):
                place = seen(self.pose, 0.019 * eye, 0.05, 0)
                if place.near > 0.02:
                    at = (x + 0.8 * place.x, y + 0.006)
                    canvas.paint(canvas.limb(at, (at[0], at[1] + 0.004), (0.005, 0.005)), (34, 28, 28), opacity=0.75)
            if abs(side) > 0.5:
                nose = x + side * (rx + 0.002)
                self._lay(canvas.limb((nose, y + 0.008), (nose, y + 0.014), (0.007, 0.009)), figure.skin)
        if front < 0.45:  # the back of the head
            turned = max(0.0, min(1.0, abs(side) * (1 + front)))
            shape = canvas.ellipse((x - 0.026 * side, y - 0.003), (rx * (1.06 - 0.3 * turned), 1.03 * ry), until=0.55)
            self._lay(shape, figure.hair)
        cap = canvas.ellipse(
            (x - 0.004 * side, y - 0.004), (1.07 * rx, 1.05 * ry), until=-0.22 if front > -0.2 else 0.1
        )
        self._lay(cap, figure.hair)
        if figure.hat != "none":
            brow = -0.16 if figure.hat == "beanie" else -0.24
            self._lay(canvas.ellipse((x, y - 0.006), (1.12 * rx, 1.12 * ry), until=brow), figure.hat_color)
        if figure.hat == "cap" and front > -0.5:
            rim = y - 0.022
            self._lay(
                canvas.limb((x - 0.03 * front, rim), (x + 0.095 * side + 0.03 * front, rim), (0.012, 0.008)),
                figure.hat_color,
                0.85,
            )

    def long_hair(self) -> None:
        """Hair that falls down the back."""
        x, y = self._head_middle()
        behind = seen(self.pose, 0, -0.03, 0).x
        end = (x + 1.2 * behind, y + 0.02 + self.figure.hair_length)
        self._lay(self.canvas.limb((x + 0.6 * behind, y), end, (0.05, 0.042)), self.figure.hair, 0.95)

    def backpack(self) -> None:
        """A backpack."""
        drop, middle = self.joints.drop, seen(self.pose, 0, -0.1, 0).x + self.joints.lean
        half = _length(0.088 * self.pose.front, 0.055 * self.pose.side)
        profile = [(0.185, 0.7 * half), (0.205, 0.95 * half), (0.3, half), (0.4, half), (0.425, 0.85 * half)]
        self._lay(self.canvas.outline([(y + drop, middle, width) for y, width in profile]), self.figure.bag_color)
        if self.pose.front < -0.3:
            pocket = self.canvas.outline([(0.32 + drop, middle, 0.7 * half), (0.4 + drop, middle, 0.7 * half)])
            self._lay(pocket, self.figure.bag_color, 0.84)

    def strap(self) -> None:
        """The strap of a shoulder bag, from the left shoulder to the right hip."""
        across = 1 if self.pose.front >= 0 else -1
        start = seen(self.pose, -0.07, 0.05 * across, 0.172 + self.joints.drop)
        end = seen(self.pose, 0.11, 0.05 * across, 0.45 + self.joints.drop)
        self._lay(self.canvas.limb(start.point, end.point, (0.008, 0.008)), self.figure.bag_color, 0.8)

    def shoulder_bag(self) -> None:
        """A bag on the right hip."""
        self._bag(seen(self.pose, 0.13, 0, 0.5 + self.joints.drop), 0.06)

    def hand_bag(self) -> None:
        """A bag in the right hand."""
        hand = self.joints.arms[0].tip
        self._lay(self.canvas.limb(hand.point, (hand.x, hand.y + 0.06), (0.008, 0.012)), self.figure.bag_color, 0.8)
        self._bag(Place(hand.x, hand.y + 0.09, hand.near), 0.062)

    def _bag(self, middle: Place, height: float) -> None:
        half = _length(0.028 * self.pose.front, 0.07 * self.pose.side)
        profile = [(-0.8, 0.8), (-0.6, 0.95), (0.8, 1.0), (1.0, 0.9)]
        bag = self.canvas.outline([(middle.y + height * y, middle.x, half * width) for y, width in profile])
        self._lay(bag, self.figure.bag_color, 0.95)

    def _head_middle(self) -> tuple[float, float]:
        return 1.25 * self.joints.lean + 0.012 * self.pose.side, 0.067 + self.joints.drop

    def _half(self, lateral: float, forward: float) -> float:
        """Half the width, as seen, of a trunk that measures so much to the side and to the front."""
        return self.figure.girth * _length(lateral * self.pose.front, forward * self.pose.side)

    def _lay(self, shape: Shape, color: ArrayLike, shade: float = 1) -> None:
        """Paint a rounded surface: darker where it turns away from the light, uneven where it folds."""
        turned = shape.across - 0.45 * self.sun
        light = shade * (1.08 - 0.3 * turned * turned + 0.06 * self.folds[shape.window])
        self.canvas.paint(shape, np.asarray(color) * light[..., None])

    def _top(self, shape: Shape, *, trunk: bool = False) -> Plane:
        """Colours of the upper garment over one part of the body; what is open or printed is so on the trunk alone."""
        figure, around, pixel = self.figure, self._around(shape), self.canvas.pixel
        repeats, pattern = figure.repeats, figure.top_pattern
        share: Plane = np.zeros_like(around)
        if pattern == "hoops":
            share = share + _bands(4 * repeats * shape.y, 4 * repeats * pixel)
        elif pattern == "stripes":
            share = _bands(repeats * around, 11 * repeats * pixel)
        elif pattern == "checks":
            share = (
                _bands(5 * repeats * shape.y, 5 * repeats * pixel) + _bands(repeats * around, 11 * repeats * pixel)
            ) / 2
        elif pattern == "yoke":
            share = share + self._step(0.22 + 0.02 * repeats - shape.y)
        elif pattern == "speckle":
            share = self._speckle(shape.y, around)
        elif pattern == "open" and trunk:
            share = self._step(0.004 * repeats - 0.09 * np.abs(around))
        elif pattern == "print" and trunk:
            share = self._step(0.05 - np.abs(shape.y - 0.29)) * self._step(0.045 - 0.09 * np.abs(around))
        return _mixed(figure.top, figure.top_second, share)

    def _bottom(self, shape: Shape) -> Plane:
        """Colours of the lower garment over one part of the body."""
        figure, around = self.figure, self._around(shape)
        share: Plane = np.zeros_like(around)
        if figure.bottom_pattern == "faded":
            share = share + np.clip(0.6 - 2 * np.abs(shape.y - 0.65), 0, 1)
        elif figure.bottom_pattern == "seam":
            share = self._step(0.012 - 0.05 * np.abs(np.abs(around) - 1))
        elif figure.bottom_pattern == "speckle":
            share = self._speckle(shape.y, around)
        return _mixed(figure.bottom, figure.bottom_second, share)

    def _around(self, shape: Shape) -> Plane:
        """Where on a round part each pixel lies, in quarter turns: 0 in front, 1 to the body's right, +-2 behind."""
        front, side, across = self.pose.front, self.pose.side, shape.across
        turned = side / (abs(front) + abs(side))  # stands for the angle
        if front < 0:
            turned = (2 if side >= 0 else -2) - turned
        around: Plane = turned - across * (0.64 + 0.36 * across * across)  # nearly an arc sine
        within_a_turn: Plane = around - 4 * np.floor((around + 2) / 4)
        return within_a_turn

    def _speckle(self, y: Plane, around: Plane) -> Plane:
        pixel = self.canvas.pixel
        return _bands(67 * y + 1.7 * _bands(9 * around, 99 * pixel), 67 * pixel) * _bands(11 * around, 121 * pixel)

    def _step(self, inside: Plane) -> Plane:
        """0 outside, 1 inside, soft over a pixel."""
        return np.clip(inside / max(self.canvas.pixel, 0.002) + 0.5, 0, 1)


def _mixed(first: Rgb, second: Rgb, share: Plane) -> Plane:
    mixed: Plane = np.asarray(first) + share[..., None] * (np.asarray(second) - np.asarray(first))
    return mixed


def _bands(position: Plane, pixel: float) -> Plane:
    """0 and 1 in turn, one period for each 1 of `position`; a half where `pixel`, in periods, is too coarse to tell."""
    ramp = np.abs(position - np.floor(position) - 0.5) - 0.25
    return np.clip(ramp / max(pixel, 0.04) + 0.5, 0, 1)


def _length(x: float, y: float) -> float:
    return sqrt(x * x + y * y)
