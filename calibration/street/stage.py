"""One frame being composed, from the back to the front, and the account of what stays visible."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.street.backdrop import Layer
from reidkit.calibration.street.sprites import Sprite, scaled

_NOBODY = -1
_SHADOW_HEIGHT = 40  # rows at which a shadow is looked up: coarse, so that it is soft
_SHADOW_COLOR = np.array([44, 48, 66], np.float32)
_SHADOW_OPACITY, _CONTACT_OPACITY = 0.42, 0.38

Point = tuple[float, float]


class Placed(NamedTuple):
    """A person's sprite, where the soles stand, and how tall the person is there, in pixels."""

    sprite: Sprite
    foot: Point
    height: float


class Stage:
    """A frame under composition.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        boxes_xyxy: (P, 4) float64 bodies in pixels, hidden parts included; zeros for who is not placed.
    """

    def __init__(self, backdrop: NDArray[np.uint8], *, people: int) -> None:
        self.picture = backdrop
        self.boxes_xyxy = np.zeros((people, 4))
        self._front = np.full(backdrop.shape[:2], _NOBODY, np.int32)  # who is seen at each pixel
        self._whole = np.zeros(people, np.int64)  # pixels of each body, hidden ones and those beyond the frame included

    def cast_shadow(self, placed: Placed, tip: Point, *, strength: float) -> None:
        """Darken the ground where somebody stands, and from there to the `tip` that the head's shadow reaches."""
        (x, y), height = placed.foot, placed.height
        self._darken_ellipse(x, y - 0.012 * height, 0.15 * height, 0.035 * height)
        rise = y - tip[1]  # negative where it falls towards the camera
        if strength < 0.02 or abs(rise) < 1:
            return
        _, _, body = scaled(placed.sprite, 0.5, 0.5, _SHADOW_HEIGHT)
        sprite_left, sprite_top = placed.sprite.left, placed.sprite.top
        half, (top, bottom) = 0.5 * height, sorted((tip[1], y + 0.1 * rise))
        window = self._window(min(x, tip[0]) - half, top - 2, max(x, tip[0]) + half, bottom + 2)
        rows, columns = (np.arange(span.start, span.stop, dtype=np.float32) + np.float32(0.5) for span in window)
        up = ((y - rows) / rise)[:, None]  # 0 at the soles, 1 at the crown
        across = (columns[None, :] - np.float32(x) - up * np.float32(tip[0] - x)) / np.float32(height)
        source_y = (-up - np.float32(sprite_top)) * _SHADOW_HEIGHT
        source_x = (across - np.float32(sprite_left)) * _SHADOW_HEIGHT
        cover = _looked_up(body[..., 3], source_x, source_y)
        self._blend(window, _SHADOW_COLOR, cover * np.float32(_SHADOW_OPACITY * strength))

    def place_person(self, person: int, placed: Placed, *, lit: float) -> None:
        """Put somebody before all that is there already; `lit` is the light that falls on them."""
        (x, y), height = placed.foot, placed.height
        left, top, image = scaled(placed.sprite, x, y, height)
        edges = np.array(placed.sprite.box) * height
        self.boxes_xyxy[person] = edges + np.array((x, y, x, y))
        self._whole[person] = np.count_nonzero(image[..., 3] >= 0.5)
        self._lay(left, top, image, front=person, lit=lit)

    def place_pillar(self, layer: Layer) -> None:
        """Put a pillar before all that is there already."""
        image = layer.image.astype(np.float32)
        image[..., 3] /= np.float32(255)
        self._lay(layer.left, layer.top, image, front=_NOBODY, lit=1)

    def visibility(self) -> NDArray[np.float64]:
        """(P,) the share of each body that is seen."""
        seen = np.bincount(self._front.ravel() + 1, minlength=len(self._whole) + 1)[1:]
        return seen / np.maximum(self._whole, 1)

    def _lay(self, left: int, top: int, image: NDArray[np.float32], *, front: int, lit: float) -> None:
        rows, columns = self._window(left, top, left + image.shape[1], top + image.shape[0])
        part = image[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        alpha = part[..., 3:]
        under = self.picture[rows, columns]
        under[:] = under * (1 - alpha) + part[..., :3] * np.float32(lit) + np.float32(0.5)
        self._front[rows, columns][alpha[..., 0] >= 0.5] = front

    def _darken_ellipse(self, x: float, y: float, rx: float, ry: float) -> None:
        window = self._window(x - rx, y - ry, x + rx + 1, y + ry + 1)
        rows, columns = (np.arange(span.start, span.stop, dtype=np.float32) + np.float32(0.5) for span in window)
        u, v = (columns[None, :] - np.float32(x)) / np.float32(rx), (rows[:, None] - np.float32(y)) / np.float32(ry)
        inside = np.clip(1 - u * u - v * v, 0, 1)
        self._blend(window, _SHADOW_COLOR, inside * np.float32(_CONTACT_OPACITY))

    def _blend(self, window: tuple[slice, slice], color: NDArray[np.float32], cover: NDArray[np.float32]) -> None:
        under = self.picture[window]
        alpha = cover[..., None]
        under[:] = under * (1 - alpha) + color * alpha + np.float32(0.5)

    def _window(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        """Rows and columns of the frame between these."""
        height, width = self.picture.shape[:2]
        return _clipped(top, bottom, height), _clipped(left, right, width)


def _clipped(first: float, last: float, size: int) -> slice:
    start = min(max(int(np.floor(first)), 0), size)
    return slice(start, max(start, min(int(np.floor(last)), size)))


def _looked_up(plane: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values of a plane at (h, w) positions in its pixels, between its pixels; 0 outside."""
    height, width = plane.shape
    x, y = np.clip(x - np.float32(0.5), 0, width - 1.01), np.clip(y - np.float32(0.5), 0, height - 1.01)
    column, row = x.astype(np.int32), y.astype(np.int32)
    right, down = x - column, y - row
    flat, first = plane.ravel(), row * width + column
    upper = flat[first] * (1 - right) + flat[first + 1] * right
    lower = flat[first + width] * (1 - right) + flat[first + width + 1] * right
    value: NDArray[np.float32] = upper * (1 - down) + lower * down
    return value
