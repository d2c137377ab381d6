"""Views: the same crop as another camera might have shown it, and now and then somebody who never was.

A view is decided by a row of uniform numbers, so that it needs no memory: teacher and student each render it when they
need it, at the size they need. View 0 is the crop as it is.

    crop ─ mirror, zoom, shift, turn ─┬─ legs or a patch of another crop ─ colours ─ colours of the legs ─ blur ─ erase
    other crop ─ the same ────────────┘

The teacher labels each view by itself; a view therefore may change who is seen (function matching: Beyer et al.,
"Knowledge distillation: A good teacher is patient and consistent", CVPR 2022). How strong the views are is a balance:
stronger ones show more people, and a small student needs longer for them (docs/decisions/010).
"""

from __future__ import annotations

from math import pi

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

RECIPE = 3
"""Raised when a change below makes other views of the same numbers: cached teacher embeddings are then void."""

# Which numbers decide what.
PLACE, MIX, COLOURS, LEGS, BLUR, ERASE = (
    slice(*ends) for ends in ((0, 8), (8, 16), (16, 24), (24, 33), (33, 35), (35, 41))
)
NUMBERS = 41

LUMA = (0.299, 0.587, 0.114)


def draw_views(count: int, *, seed: int, view: int) -> NDArray[np.float32]:
    """(count, NUMBERS) float32 in [0, 1): what decides view `view` of each of `count` crops."""
    return np.random.default_rng([seed, view]).random((count, NUMBERS), dtype=np.float32)


def render(crops: Tensor, rows: Tensor, numbers: Tensor, changed: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Views of crops.

    Args:
        crops: (N, 3, H, W) uint8 RGB.
        rows: (B,) int64, crops to show.
        numbers: (B, NUMBERS) float32 from `draw_views`.
        changed: (B,) bool; where False, the crop is shown as it is.
        size: height and width of the views.

    Returns:
        (B, 3, *size) float32 in 0…255, RGB.
    """
    affine = torch.where(changed[:, None, None], _placement(numbers[:, PLACE]), torch.eye(2, 3))
    grid = functional.affine_grid(affine, [len(rows), 3, *size], align_corners=False)
    views = _sample(crops[rows], grid)
    canvas = _Canvas(size)
    # From about here down somebody's legs are seen.
    legs = canvas.y > (-0.25 + 0.5 * numbers[:, MIX.start, None, None])
    _mix(views, crops, rows, grid, canvas, legs, numbers[:, MIX], changed)
    if changed.any():
        views[changed] = _recoloured(views[changed], numbers[changed, COLOURS], any_hue=0.25)
    if len(new_legs := _chosen(changed, numbers[:, LEGS.start], 0.3)):
        recoloured = _recoloured(views[new_legs], numbers[new_legs, LEGS][:, 1:], any_hue=0.8)
        views[new_legs] = torch.where(legs[new_legs, None], recoloured, views[new_legs])
    if len(blurred := _chosen(changed, numbers[:, BLUR.start], 0.15)):
        width = 2 * max(1, size[0] // 64) + 1
        soft = functional.avg_pool2d(views[blurred], width, 1, width // 2, count_include_pad=False)
        views[blurred] = torch.lerp(views[blurred], soft, numbers[blurred, BLUR][:, 1, None, None, None])
    if len(erased := _chosen(changed, numbers[:, ERASE.start], 0.12)):
        u = numbers[erased, ERASE]
        hidden = canvas.box(u[:, 1:5], smallest=0.2, largest=0.8)
        views[erased] = torch.where(hidden[:, None], 255 * u[:, 5, None, None, None], views[erased])
    return views.clamp_(0, 255)


class _Canvas:
    """Coordinates of a view, from -1 to 1 either way."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.y = torch.linspace(-1, 1, size[0])[None, :, None]
        self.x = torch.linspace(-1, 1, size[1])[None, None, :]

    def box(self, u: Tensor, *, smallest: float, largest: float) -> Tensor:
        """(B, H, W) bool: rectangles anywhere, maybe over the edge; u (B, 4) decides height, width and centre."""
        height, width, y, x = (column[:, None, None] for column in u.unbind(1))
        tall, wide = ((smallest + (largest - smallest) * side) / 2 for side in (height, width))
        return ((self.y - (2 * y - 1)).abs() < tall) & ((self.x - (2 * x - 1)).abs() < wide)


def _chosen(changed: Tensor, u: Tensor, share: float) -> Tensor:
    """Rows that a change befalls which comes to a share of all."""
    return (changed & (u < share)).nonzero().squeeze(1)


def _placement(numbers: Tensor) -> Tensor:
    """(B, 2, 3) affine maps: mirror, scale, stretch, turn, shift; a few show the upper body alone."""
    mirror, upper, scale, stretch, part, turn, shift_x, shift_y = numbers.unbind(1)
    mirror = torch.where(mirror < 0.5, -1.0, 1.0)
    part = torch.where(upper < 0.05, 0.55 + 0.35 * part, 1.0)
    scale, stretch = _about_one(scale, 0.2), _about_one(stretch, 0.14)
    across, down = scale * stretch, scale / stretch * part
    angle = (turn - 0.5) * 0.1
    right, below = (shift_x - 0.5) * 0.16, (shift_y - 0.5) * 0.12 - (1 - part)
    # A crop is twice as high as wide, and both are 2 in these coordinates.
    first = torch.stack([mirror * across * angle.cos(), -across * angle.sin() / 2, right], 1)
    second = torch.stack([2 * down * angle.sin(), down * angle.cos(), below], 1)
    return torch.stack([first, second], 1)


def _mix(
    views: Tensor,
    crops: Tensor,
    rows: Tensor,
    grid: Tensor,
    canvas: _Canvas,
    legs: Tensor,
    numbers: Tensor,
    changed: Tensor,
) -> None:
    """Give some views the legs of another crop, or a patch of it as of somebody in front."""
    other_legs, patched = changed & (numbers[:, 1] < 0.45), changed & (numbers[:, 2] < 0.2)
    some = (other_legs | patched).nonzero().squeeze(1)
    if not len(some):
        return
    others = (rows[some] + 1 + (numbers[some, 3] * (len(crops) - 1)).long()) % len(crops)
    patch = canvas.box(numbers[some, 4:8], smallest=0.3, largest=0.9)
    taken = (legs[some] & other_legs[some, None, None]) | (patch & patched[some, None, None])
    views[some] = torch.where(taken[:, None], _sample(crops[others], grid[some]), views[some])


def _recoloured(views: Tensor, numbers: Tensor, *, any_hue: float) -> Tensor:
    """Views under another light; a share `any_hue` of them in any other hue."""
    choice, hue, saturation, contrast, red, green, blue, brightness = numbers.unbind(1)
    anything = choice < any_hue
    hue = torch.where(anything, (choice / any_hue - 0.5) * 2 * pi, (hue - 0.5) * 0.1)[:, None, None]
    saturation = torch.where(anything, 0.5 + saturation, 0.75 + 0.5 * saturation)[:, None, None]
    contrast = _about_one(contrast, 0.4)[:, None]
    # Rodrigues' formula: colours turn about the grey axis.
    identity, grey = torch.eye(3), torch.tensor(LUMA).expand(3, 3)
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / 3**0.5
    turn = hue.cos() * identity + hue.sin() * cross + (1 - hue.cos()) / 3
    gain = contrast * _about_one(torch.stack([red, green, blue], 1), 0.12)
    matrix = gain[:, :, None] * (turn @ (saturation * identity + (1 - saturation) * grey))
    offset = (1 - contrast) * 110 + (brightness[:, None] - 0.5) * 40
    return torch.baddbmm(offset[:, :, None], matrix, views.flatten(2)).view_as(views)


def _about_one(u: Tensor, spread: float) -> Tensor:
    """Factors between exp(-spread / 2) and exp(spread / 2)."""
    return (spread * (u - 0.5)).exp()


def _sample(crops: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(crops.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
