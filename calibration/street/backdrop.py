"""Paints a `Scene` once, wide enough for all that the camera will see, and cuts each frame's backdrop out of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.street.camera import Camera, CameraMotion
from reidkit.calibration.street.canvas import Canvas, Plane
from reidkit.calibration.street.pillars import paint_pillar
from reidkit.calibration.street.scene import Scene
from reidkit.calibration.street.townscape import Prospect, paint_street

Levels = NDArray[np.uint8]
Packed = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A picture that stands in front of others.

    Attributes:
        left, top: its place.
        image: (h, w, 4) uint8, red, green and blue multiplied by the alpha in the last channel.
    """

    left: int
    top: int
    image: Levels


class Backdrop:
    """The scene as the camera sees it, without people.

    It is painted once, for the unturned camera, as wide as the motion needs; turned views are looked up in it. A
    pillar is painted when it is first asked for.

    Args:
        scene: what stands there, as this camera sees it.
        camera: the camera, not turned.
        motion: how it will move.
        rng: for clouds and the tone of single stones.
    """

    def __init__(self, scene: Scene, camera: Camera, motion: CameraMotion, *, rng: np.random.Generator) -> None:
        # The corners of the picture when the camera is turned farthest are the corners of all that it sees.
        x, y = camera.farthest(motion).straight(np.array([camera.width]), np.array([[0], [camera.height]]))
        beside, above, below = int(x[0]) - camera.width + 2, 2 - int(y[0, 0]), int(y[1, 0]) - camera.height + 2
        height, width = above + camera.height + below, camera.width + 2 * beside
        prospect = Prospect(camera, left=beside, top=above, height=height, width=width)
        self._ground = Layer(-beside, -above, _levels(paint_street(scene, prospect, rng)))
        self._camera, self._scene = camera, scene
        self._pillars: dict[int, Layer] = {}

    def ground(self, camera: Camera) -> Levels:
        """What is behind everybody, (H, W, 3) uint8 RGB, the caller's to paint on."""
        return np.ascontiguousarray(_seen(self._ground, camera).image[..., :3])

    def pillar(self, index: int, camera: Camera) -> Layer:
        """A pillar as the camera sees it, cut to the picture."""
        if index not in self._pillars:
            self._pillars[index] = _layer(paint_pillar(self._scene.pillars[index], self._camera))
        return _seen(self._pillars[index], camera)


def _seen(layer: Layer, camera: Camera) -> Layer:
    """What a turned camera sees of a layer of the unturned one's picture."""
    height, width = layer.image.shape[:2]
    corners = [
        camera.from_straight(x, y) for x in (layer.left, layer.left + width) for y in (layer.top, layer.top + height)
    ]
    columns = _whole(min(x for x, _ in corners), max(x for x, _ in corners), camera.width)
    rows = _whole(min(y for _, y in corners), max(y for _, y in corners), camera.height)
    if camera.sine == 0:
        window = layer.image[rows.start - layer.top : rows.stop - layer.top, columns.start - layer.left :]
        return Layer(columns.start, rows.start, window[:, : len(columns)])
    if not columns or not rows:
        return Layer(columns.start, rows.start, np.zeros((len(rows), len(columns), 4), np.uint8))
    x, y = camera.straight(np.array(columns) + 0.5, np.array(rows)[:, None] + 0.5)
    x = np.clip(x - layer.left - 0.5, 0, width - 1.001)
    y = np.clip(y - layer.top - 0.5, 0, height - 1.001)
    first, row = x.astype(np.int32), y.astype(np.int32)
    pixels = layer.image.view(np.uint32)[..., 0]
    strip = _mixed(pixels[:, first], pixels[:, first + 1], x - first).ravel()
    index = row * len(columns) + np.arange(len(columns), dtype=np.int32)
    seen = _mixed(strip[index], strip[index + len(columns)], y - row)
    return Layer(columns.start, rows.start, seen.view(np.uint8).reshape(*seen.shape, 4))


def _mixed(first: Packed, second: Packed, part: Plane) -> Packed:
    """Pixels between two, of four 8-bit channels in a word each: two channels at a time, in 256 steps."""
    weight = (part * 256).astype(np.uint32)
    rest, odd = 256 - weight, np.uint32(0x00FF00FF)
    lower = (((first & odd) * rest + (second & odd) * weight) >> 8) & odd
    upper = ((first >> 8 & odd) * rest + (second >> 8 & odd) * weight) & ~odd
    mixed: Packed = lower | upper
    return mixed


def _whole(first: float, last: float, size: int) -> range:
    """The pixels of a picture between two positions."""
    start = min(max(int(first), 0), size)
    return range(start, max(start, min(int(last) + 1, size)))


def _layer(canvas: Canvas) -> Layer:
    return Layer(int(canvas.left), int(canvas.top), _levels(canvas.image))


def _levels(image: Plane) -> Levels:
    scaled = np.concatenate([image[..., :3], 255 * image[..., 3:]], axis=2)
    levels: Levels = np.floor(np.clip(scaled, 0, 255) + 0.5).astype(np.uint8)
    return levels
