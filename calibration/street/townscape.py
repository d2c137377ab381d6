"""Paints what stands still behind people: sky, houses, trees and paving, by following the rays of each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reidkit.calibration.street.camera import Camera
from reidkit.calibration.street.canvas import Canvas, Plane, banded, blended, clouds
from reidkit.calibration.street.houses import paint_houses
from reidkit.calibration.street.scene import BEAM_Y, STONE, Scene, Tree, sidelight

_SAMPLES = ((0.125, 0.625), (0.375, 0.125), (0.625, 0.875), (0.875, 0.375))  # of a pixel, right and down
_BAND = 96  # rows painted at a time
_SKY_HIGH, _SKY_LOW, _CLOUD = (120, 170, 214), (236, 234, 220), (250, 248, 242)
_SHADE = (0.64, 0.68, 0.78)
_SLAB_M, _COURSE_M = 0.9, 5.4
_BARK, _SOIL = (104, 84, 68), (112, 96, 80)


@dataclass(frozen=True, slots=True)
class Prospect:
    """The wide picture of a street: the camera's with margins of `left` and `top` pixels, `height` x `width` in all."""

    camera: Camera
    left: int
    top: int
    height: int
    width: int


def paint_street(scene: Scene, prospect: Prospect, rng: np.random.Generator) -> Plane:
    """Sky, houses, paving and trees, (H, W, 4); `rng` strews clouds and the tones of stones."""
    camera, left, top = prospect.camera, prospect.left, prospect.top
    canvas = Canvas.blank(prospect.height, prospect.width, left=-left, top=-top, pixel=1)
    size = prospect.height, prospect.width
    sky, tones = clouds(rng, size, (9, 5)) + 0.6 * clouds(rng, size, (24, 13)), rng.random((64, 64))
    columns = np.arange(prospect.width, dtype=np.float64)
    for start in range(0, prospect.height, _BAND):
        rows = np.arange(start, min(start + _BAND, prospect.height))
        band = np.zeros((len(rows), prospect.width, 3))
        for right, down in _SAMPLES:
            x = ((columns + right - left - camera.center_x) / camera.focal)[None, :]
            y = ((rows.astype(np.float64) + down - top - camera.horizon_y) / camera.focal)[:, None]
            ahead = _ahead(camera, scene.row.houses_z, x)
            is_ground = y * ahead > camera.eye_m
            low, high = is_ground.any(axis=1), ~is_ground.all(axis=1)
            band[low] += np.where(is_ground[low, :, None], _paving(scene, camera, x, y[low], tones), 0)
            fronts = camera.x + camera.ray(x)[0] * ahead, camera.eye_m - y[high] * ahead
            behind = paint_houses(scene.row.houses, *fronts, _sky(y[high], sky[rows[high]]))
            band[high] += np.where(is_ground[high, :, None], 0, behind)
        canvas.image[rows, :, :3] = band / len(_SAMPLES)
    canvas.image[..., 3] = 1
    for tree in sorted(scene.row.trees, key=lambda tree: camera.scale(tree.x, tree.z)):
        _paint_tree(canvas, tree, camera)
    _paint_beam(canvas, scene.pillars[0].z, prospect)
    return canvas.image


def _ahead(camera: Camera, z: float, across: Plane) -> Plane:
    """How far ahead of a camera its columns meet a plane along the street; far away where they hardly do."""
    side = 1 if z > camera.z else -1
    return side * (z - camera.z) / np.maximum(side * camera.ray(across)[1], 0.05)


def _sky(y: Plane, noise: Plane) -> Plane:
    height = np.clip(-y / 0.3, 0, 1)[..., None]
    cloudy = np.clip(1.5 * noise - 0.2, 0, 0.85)[..., None] * np.clip(3 * height, 0, 1)
    return blended(blended(_SKY_LOW, _SKY_HIGH, height), _CLOUD, cloudy)


def _paving(scene: Scene, camera: Camera, across: Plane, down: Plane, tones: Plane) -> Plane:
    """Slabs in staggered rows between dark bands, a pale walk before the houses, and the shade on it all.

    `across` (1, w) and `down` (h, 1) say where the camera looks, for each metre ahead.
    """
    ahead, (ray_x, ray_z) = camera.eye_m / np.maximum(down, 1e-6), camera.ray(across)
    x, z = camera.x + ray_x * ahead, camera.z + ray_z * ahead
    pixel_m = ahead / camera.focal  # how wide a pixel is there, and how deep:
    stone, pixel_z = np.asarray(scene.stone), pixel_m * ahead / camera.eye_m
    row = np.floor(z / _SLAB_M)
    along = x / _SLAB_M + 0.5 * (row % 2)
    tone = tones[row.astype(np.int64) % 64, np.floor(along).astype(np.int64) % 64][..., None]
    joints = np.maximum(banded(z / _SLAB_M, 0.035, pixel_z / _SLAB_M), banded(along, 0.035, pixel_m / _SLAB_M))
    courses = np.maximum(
        banded(z / _COURSE_M, 0.07, pixel_z / _COURSE_M), banded(x / _COURSE_M + 0.5, 0.07, pixel_m / _COURSE_M)
    )
    color = stone * (0.95 + 0.09 * tone)
    color = blended(color, stone * 0.72, courses[..., None] * (0.8 + 0.2 * tone))
    color = blended(color, stone * 0.7, 0.8 * joints[..., None])
    kerb = scene.row.side * (z - scene.row.kerb_z)
    color = blended(color, stone * 1.06, 0.75 * np.clip(kerb / 0.1, 0, 1)[..., None])
    color = blended(color, stone * 0.6, np.clip(1 - np.abs(kerb) / 0.15, 0, 1)[..., None])
    shade = scene.shade(x, z)[..., None] * (1 - np.asarray(_SHADE))
    paved: Plane = color * (1 - shade) * (0.94 + 0.08 * np.clip((ahead - 5) / 20, 0, 1))[..., None]
    return paved


def _paint_tree(canvas: Canvas, tree: Tree, camera: Camera) -> None:
    scale, bright = camera.scale(tree.x, tree.z), 0.7 * sidelight(camera)
    foot, fork = camera.place(tree.x, 0, tree.z), camera.place(tree.x, 2.8, tree.z)
    canvas.paint(canvas.ellipse(foot, (0.7 * scale, 0.12 * scale)), _SOIL)
    trunk = canvas.limb(foot, fork, (0.13 * scale, 0.08 * scale))
    canvas.paint(trunk, np.asarray(_BARK) * (1 - 0.2 * trunk.across)[..., None])
    for order, (tuft_x, tuft_y, tuft_radius) in enumerate(tree.tufts):
        (x, y), radius = camera.place(tree.x + tuft_x, tuft_y, tree.z), tuft_radius * scale
        green = np.asarray(tree.hue) * (0.82 + 0.09 * (tuft_y - 2.6) - 0.05 * tuft_x)
        # Lighter and smaller discs towards the sun make a ball of it; the first tuft is all behind the others.
        for size, lift, light in ((1.0, 0.0, 1.0), (0.72, 0.18, 1.08), (0.4, 0.34, 1.15))[: 3 if order else 1]:
            disc = canvas.ellipse((x + bright * lift * radius, y - lift * radius), (size * radius, size * radius))
            canvas.paint(disc, np.clip(green * light, 0, 255), opacity=1 if lift == 0 else 0.85)


def _paint_beam(canvas: Canvas, z: float, prospect: Prospect) -> None:
    """The beam over the colonnade: nobody is tall enough to be seen before it."""
    camera = prospect.camera
    columns = np.arange(prospect.width, dtype=np.float64) + 0.5 - prospect.left
    ahead = _ahead(camera, z, (columns - camera.center_x) / camera.focal)
    low, high = (camera.horizon_y + (camera.eye_m - y) * (camera.focal / ahead) for y in BEAM_Y)
    edge = 0.14 * camera.focal / ahead
    for top, bottom, shade in ((high, low, 0.94), (high, high + edge, 1.04), (low - edge, low, 0.78)):
        canvas.paint(canvas.ribbon(top, bottom), np.asarray(STONE) * shade)
