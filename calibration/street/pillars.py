"""Paints what people hide behind, fluted columns and a kiosk with posters: stacks of drums, lit from one side."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from reidkit.calibration.street.camera import Camera
from reidkit.calibration.street.canvas import Canvas, Shape, banded
from reidkit.calibration.street.people import Rgb
from reidkit.calibration.street.scene import STONE, Pillar, sidelight

_GREEN, _PASTE, _PAPER, _BRASS = (66, 88, 82), (232, 226, 210), (250, 246, 236), (214, 176, 96)
_POSTERS = ((-0.45, 0.4, 1.5, 2.4), (0.4, 0.42, 1.15, 2.3), (-0.4, 0.42, 0.6, 1.3))  # middle, half width, from, to


class _Drum(NamedTuple):
    """A slice of a pillar between two heights in metres, its radii in those of the pillar."""

    low: float
    high: float
    below: float
    above: float
    color: Rgb
    is_fluted: bool = False


def paint_pillar(pillar: Pillar, camera: Camera) -> Canvas:
    """A pillar alone as the unturned camera sees it, on a canvas just large enough."""
    scale, sun = camera.scale(pillar.x, pillar.z), sidelight(camera)
    x, foot = camera.place(pillar.x, 0, pillar.z)
    half, over, under = int(1.6 * pillar.radius * scale) + 2, (pillar.height_m + 0.6) * scale, pillar.radius * scale
    canvas = Canvas.blank(int(over + under) + 2, 2 * half, left=int(x) - half, top=int(foot - over), pixel=1)
    radius = pillar.radius * scale
    is_column = pillar.kind == "column"
    drums = _column(pillar.height_m) if is_column else _kiosk(pillar.height_m)
    widest = max(drums[0].below, drums[1].below)
    canvas.paint(canvas.ellipse((x, foot), (widest * radius, 0.23 * widest * radius)), np.asarray(drums[0].color) * 0.7)
    for drum in drums:
        low = foot - drum.low * scale, x, drum.below * radius
        high = foot - drum.high * scale, x, drum.above * radius
        _lay(canvas, canvas.outline([high, low]), drum.color, sun, is_fluted=drum.is_fluted)
    if not is_column:
        for (middle, width, low_m, high_m), color in zip(_POSTERS, (*pillar.posters, pillar.posters[1]), strict=True):
            at, half_width = x + middle * radius, width * radius
            top, bottom = foot - high_m * scale, foot - low_m * scale
            line = top + 0.25 * (bottom - top)
            _lay(canvas, canvas.outline([(top, at, half_width), (bottom, at, half_width)]), color, sun)
            print_ = canvas.outline([(line, at, 0.7 * half_width), (line + 0.09 * scale, at, 0.7 * half_width)])
            canvas.paint(print_, _PAPER, opacity=0.8)
    return canvas


def _column(height: float) -> list[_Drum]:
    """A base of two steps, a fluted shaft, a capital."""
    return [
        _Drum(0.05, height - 0.3, 1.0, 0.88, STONE, is_fluted=True),
        _Drum(0, 0.22, 1.3, 1.3, _shaded(STONE, 0.9)),
        _Drum(0.22, 0.34, 1.18, 1.1, _shaded(STONE, 0.98)),
        _Drum(height - 0.34, height - 0.16, 0.9, 1.2, _shaded(STONE, 0.95)),
        _Drum(height - 0.17, height, 1.3, 1.3, _shaded(STONE, 0.9)),
    ]


def _kiosk(height: float) -> list[_Drum]:
    """A drum for posters on a green foot, under a pointed roof with a knob."""
    brim = height - 0.4
    return [
        _Drum(0, brim, 1.0, 1.0, _PASTE),
        _Drum(0, 0.35, 1.02, 1.02, _GREEN),
        _Drum(brim - 0.08, brim + 0.12, 1.18, 1.18, _GREEN),
        _Drum(brim + 0.1, brim + 0.4, 1.1, 0.7, _shaded(_GREEN, 1.25)),
        _Drum(brim + 0.4, height + 0.3, 0.7, 0.12, _shaded(_GREEN, 1.25)),
        _Drum(height + 0.26, height + 0.38, 0.16, 0.1, _BRASS),
    ]


def _lay(canvas: Canvas, shape: Shape, color: ArrayLike, sun: float, *, is_fluted: bool = False) -> None:
    light = 1.06 - 0.2 * (0.25 - sun * shape.across) - 0.16 * shape.across * shape.across
    if is_fluted:
        light = light * (1 - 0.07 * banded(shape.across * (3 + shape.across * shape.across), 0.35, 0.2))
    canvas.paint(shape, np.asarray(color) * np.clip(light, 0, 1.12)[..., None])


def _shaded(color: Rgb, shade: float) -> Rgb:
    red, green, blue = color
    return red * shade, green * shade, blue * shade
