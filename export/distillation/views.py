"""Views: the same crop as another camera might have shown it, and people who never were.

A view is decided by a row of uniform numbers, so that it needs no memory: teacher and student each render it when they
need it, at the size they need. View 0 is the crop as it is.

    crop ─ flip, zoom, shift, turn ─┬─ legs or a patch of another crop ─ colours (of the legs apart) ─ blur ─ erase
    other crop ─ the same ──────────┘

The teacher labels each view by itself; a view therefore may change who is seen, and the strong ones are meant to:
other legs and other colours make people that no crop shows (function matching: Beyer et al., "Knowledge distillation:
A good teacher is patient and consistent", CVPR 2022).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

RECIPE = 1
"""Raised when a change below makes other views of the same numbers: cached teacher embeddings are then void."""

NUMBERS = 41
"""Uniform numbers that decide one view."""

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
    u = numbers.unbind(1)
    flip, zoom = u[0] < 0.5, u[1] < 0.15
    scale = (0.32 * (u[2] - 0.5)).exp()
    stretch = (0.2 * (u[3] - 0.5)).exp()
    part = torch.where(zoom, 0.55 + 0.35 * u[4], 1.0)
    angle = (u[5] - 0.5) * 0.17
    scale_x, scale_y = scale * stretch, scale / stretch * part
    shift_x, shift_y = (u[6] - 0.5) * 0.3, (u[7] - 0.5) * 0.24 - torch.where(zoom, 1 - part, 0.0)
    mirror = torch.where(flip, -1.0, 1.0)
    affine = torch.stack(
        [
            torch.stack([mirror * scale_x * angle.cos(), -0.5 * scale_x * angle.sin(), shift_x], 1),
            torch.stack([2.0 * scale_y * angle.sin(), scale_y * angle.cos(), shift_y], 1),
        ],
        1,
    )
    affine = torch.where(changed[:, None, None], affine, torch.eye(2, 3))
    grid = functional.affine_grid(affine, [len(rows), 3, *size], align_corners=False)
    views = _sample(crops[rows], grid)

    y = torch.linspace(-1, 1, size[0])[None, :, None]
    x = torch.linspace(-1, 1, size[1])[None, None, :]
    split = -0.25 + 0.5 * u[8]
    legs = y > split[:, None, None]
    other_legs, patch = changed & (u[9] < 0.25), changed & (u[10] < 0.2)
    borrowed = (other_legs | patch).nonzero().squeeze(1)
    if len(borrowed):
        others = (rows[borrowed] + 1 + (u[11][borrowed] * (len(crops) - 1)).long()) % len(crops)
        mask = legs[borrowed] & other_legs[borrowed, None, None]
        mask = mask | (_box(x, y, u[12:16], smallest=0.3, largest=0.9)[borrowed] & patch[borrowed, None, None])
        views[borrowed] = torch.where(mask[:, None], _sample(crops[others], grid[borrowed]), views[borrowed])

    matrix, offset = _colours(u[16:24], strong=0.25)
    views = torch.where(changed[:, None, None, None], _recolour(views, matrix, offset), views)
    new_legs = (changed & (u[24] < 0.2)).nonzero().squeeze(1)
    if len(new_legs):
        matrix, offset = _colours([column[new_legs] for column in u[25:33]], strong=0.8)
        views[new_legs] = torch.where(legs[new_legs, None], _recolour(views[new_legs], matrix, offset), views[new_legs])
    blurred = (changed & (u[33] < 0.2)).nonzero().squeeze(1)
    if len(blurred):
        width = 2 * (size[0] // 64) + 1 if size[0] >= 128 else 3
        soft = functional.avg_pool2d(views[blurred], width, 1, width // 2, count_include_pad=False)
        views[blurred] = torch.lerp(views[blurred], soft, u[34][blurred, None, None, None])
    erased = (changed & (u[35] < 0.2)).nonzero().squeeze(1)
    if len(erased):
        box = _box(x, y, [column[erased] for column in u[36:40]], smallest=0.2, largest=0.8)
        grey = (255 * u[40][erased])[:, None, None, None].expand(-1, 3, -1, -1)
        views[erased] = torch.where(box[:, None], grey, views[erased])
    return views.clamp_(0, 255)


def _sample(crops: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(crops.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)


def _box(x: Tensor, y: Tensor, u: list[Tensor] | tuple[Tensor, ...], *, smallest: float, largest: float) -> Tensor:
    """(B, H, W) bool: a rectangle somewhere, its sides between two shares of the view's."""
    height, width = (smallest + (largest - smallest) * column for column in u[:2])
    top, left = 2 * u[2] - 1 - height / 2, 2 * u[3] - 1 - width / 2
    inside_y = (y > top[:, None, None]) & (y < (top + height)[:, None, None])
    inside_x = (x > left[:, None, None]) & (x < (left + width)[:, None, None])
    return inside_y & inside_x


def _colours(u: list[Tensor] | tuple[Tensor, ...], *, strong: float) -> tuple[Tensor, Tensor]:
    """A colour transform: (B, 3, 3) matrix and (B, 3) offset. With the chance `strong` any hue, else a slight cast."""
    luma = torch.tensor(LUMA).expand(3, 3)
    hue = torch.where(u[0] < strong, (u[0] / strong - 0.5) * 6.28, (u[1] - 0.5) * 0.2)
    saturation = torch.where(u[0] < strong, 0.5 + u[2], 0.6 + 0.8 * u[2])
    # Turning the chroma plane: about the grey axis, by Rodrigues' formula.
    axis = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / 3**0.5
    identity = torch.eye(3)
    cosine, sine = hue.cos()[:, None, None], hue.sin()[:, None, None]
    turn = cosine * identity + sine * axis + (1 - cosine) / 3
    blend = saturation[:, None, None]
    matrix = turn @ (blend * identity + (1 - blend) * luma)
    contrast = (0.6 * (u[3] - 0.5)).exp()
    gain = torch.stack([(0.24 * (column - 0.5)).exp() for column in u[4:7]], 1) * contrast[:, None]
    brightness = (u[7] - 0.5) * 80
    offset = (1 - contrast)[:, None] * 110 + brightness[:, None]
    return gain[:, :, None] * matrix, offset.expand(-1, 3)


def _recolour(views: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    flat = torch.baddbmm(offset[:, :, None], matrix, views.flatten(2))
    return flat.view_as(views)
