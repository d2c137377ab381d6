"""Tracks drawn over a frame: a box, a number and a fading trail of footsteps in each person's own colour.

Everything scales with the frame. Colours go round the hue circle by the golden angle and vary a little in lightness,
so that ids near each other look apart and the same dark text is readable on all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.errors import MissingDependency

Image = NDArray[np.uint8]
Bgr = tuple[int, int, int]

NO_LABELS: Mapping[int, str] = MappingProxyType({})

_TRAIL_S = 2.5
_FOOT_SMOOTHING = 0.5  # weight of the new point; boxes breathe, footsteps should not
_INK: Bgr = (28, 22, 18)
_PAPER: Bgr = (245, 245, 245)
_FRACTION_BITS = 4  # of the fixed-point coordinates that OpenCV draws between pixels with


class Painter:
    """Draws the tracks of one video, frame after frame.

    Args:
        frame_rate: frames per second, by which trails are cut to seconds.
    """

    def __init__(self, *, frame_rate: float) -> None:
        try:
            import cv2
        except ImportError as error:
            raise MissingDependency("OpenCV", extra="video", purpose="drawing") from error
        self._cv2: Any = cv2
        self._trail_frames = max(8, ceil(_TRAIL_S * frame_rate))
        self._trails: dict[int, deque[_Step]] = {}
        self._number = lru_cache(maxsize=512)(self._pill)

    def paint(
        self,
        image: Image,
        index: int,
        ids: NDArray[np.int64],
        boxes_xyxy: NDArray[np.float64],
        *,
        labels: Mapping[int, str] = NO_LABELS,
    ) -> Image:
        """A copy of `image` (H, W, 3) uint8 BGR with the tracks of frame `index` on it.

        Args:
            image: the frame.
            index: its number, ascending from call to call.
            ids: (T,) int64.
            boxes_xyxy: (T, 4) float64 pixels of the frame.
            labels: by id, what to write beside the number; ASCII.
        """
        picture: Image = image.copy()
        unit = max(1.0, min(picture.shape[:2]) / 400)  # the width of a box's line, in pixels
        self._walk(index, ids, boxes_xyxy)
        for identity, steps in self._trails.items():
            self._draw_trail(picture, steps, color_of(identity), index, unit)
        nearest_last = np.argsort(boxes_xyxy[:, 3], kind="stable")
        people = [(int(ids[row]), boxes_xyxy[row]) for row in nearest_last]
        for identity, box in people:
            self._draw_box(picture, box, color_of(identity), unit)
        for identity, box in people:
            self._draw_number(picture, f"{identity} {labels.get(identity, '')}".rstrip(), identity, box, unit)
        self._draw_header(picture, f"frame {index}   {len(ids)} {'person' if len(ids) == 1 else 'people'}", unit)
        return picture

    def _walk(self, index: int, ids: NDArray[np.int64], boxes_xyxy: NDArray[np.float64]) -> None:
        """Add this frame's footsteps and forget what has faded."""
        feet = np.stack([boxes_xyxy[:, [0, 2]].mean(axis=1), boxes_xyxy[:, 3]], axis=1)
        for identity, foot in zip(ids.tolist(), feet, strict=True):
            steps = self._trails.setdefault(identity, deque())
            last = steps[-1].position if steps else foot
            steps.append(_Step(index, last + _FOOT_SMOOTHING * (foot - last)))
        for identity, steps in list(self._trails.items()):
            while steps and steps[0].index <= index - self._trail_frames:
                steps.popleft()
            if not steps:
                del self._trails[identity]

    def _draw_trail(self, picture: Image, steps: deque[_Step], color: Bgr, index: int, unit: float) -> None:
        """A line that thins out and fades with age, blended in the part of the picture that it crosses."""
        points = np.array([step.position for step in steps])
        margin = ceil(3 * unit)
        size = picture.shape[1], picture.shape[0]
        left, top = np.clip(np.floor(points.min(axis=0)) - margin, 0, size).astype(int)
        right, bottom = np.clip(np.ceil(points.max(axis=0)) + margin, 0, size).astype(int)
        if len(steps) < 2 or left >= right or top >= bottom:
            return
        mask = np.zeros((bottom - top, right - left), dtype=np.uint8)
        local = _fixed_point(points - (left, top)).tolist()
        for step, start, end in zip(list(steps)[1:], local, local[1:], strict=False):
            youth = 1 - (index - step.index) / self._trail_frames
            thickness = max(1, round(1.8 * unit * youth))
            self._cv2.line(mask, start, end, 230 * youth, thickness, self._cv2.LINE_AA, _FRACTION_BITS)
        _blend(picture, left, top, np.array(color), mask)

    def _draw_box(self, picture: Image, box_xyxy: NDArray[np.float64], color: Bgr, unit: float) -> None:
        """A rounded rectangle with a thin dark rim."""
        outline = [_fixed_point(_rounded(np.rint(box_xyxy), 4 * unit))]
        width = max(1, round(1.1 * unit))
        for shade, thickness in ((_darker(color), width + max(1, width // 2)), (color, width)):
            self._cv2.polylines(picture, outline, True, shade, thickness, self._cv2.LINE_AA, _FRACTION_BITS)

    def _draw_number(
        self, picture: Image, text: str, identity: int, box_xyxy: NDArray[np.float64], unit: float
    ) -> None:
        """A pill with id and label over the box's upper left corner, moved into the frame where it would stick out."""
        sprite = self._number(text, _INK, color_of(identity), round(8 * unit))
        height, width = sprite.alpha.shape
        left = min(max(round(box_xyxy[0] - unit), 0), max(picture.shape[1] - width, 0))
        top = min(max(round(box_xyxy[1] - height - 1.5 * unit), 0), max(picture.shape[0] - height, 0))
        _blend(picture, left, top, sprite.color, sprite.alpha)

    def _draw_header(self, picture: Image, text: str, unit: float) -> None:
        sprite = self._pill(text, _PAPER, _INK, round(9 * unit), opacity=0.6)
        _blend(picture, round(6 * unit), round(6 * unit), sprite.color, sprite.alpha)

    def _pill(self, text: str, ink: Bgr, paper: Bgr, text_height: int, *, opacity: float = 1.0) -> _Sprite:
        """Text of exactly that height in pixels on a rounded ground."""
        cv2 = self._cv2
        # Fonts differ between OpenCV 4 and 5: drawn large, cut to the ink, scaled to size they come out alike.
        large = np.zeros((100, 60 * len(text)), dtype=np.uint8)
        cv2.putText(large, text, (10, 70), cv2.FONT_HERSHEY_SIMPLEX, 2, 255, 5, cv2.LINE_AA)
        left, top, width, height = cv2.boundingRect(large)
        size = (max(1, round(width * text_height / height)), text_height)
        letters = cv2.resize(large[top : top + height, left : left + width], size, interpolation=cv2.INTER_AREA)
        margin = ceil(0.45 * text_height)
        alpha = np.zeros((size[1] + 2 * margin, size[0] + 2 * margin), dtype=np.uint8)
        ground = _rounded((0, 0, alpha.shape[1] - 1, alpha.shape[0] - 1), 0.6 * text_height)
        cv2.fillPoly(alpha, [_fixed_point(ground)], round(255 * opacity), cv2.LINE_AA, _FRACTION_BITS)
        color = np.full((*alpha.shape, 3), paper, dtype=np.uint8)
        _blend(color, margin, margin, np.array(ink), letters)
        return _Sprite(color, alpha)


@dataclass(frozen=True, slots=True)
class _Step:
    """Where somebody's feet were in a frame."""

    index: int
    position: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Sprite:
    """A small picture, (h, w, 3) uint8 BGR, and how opaque it is, (h, w) uint8."""

    color: Image
    alpha: NDArray[np.uint8]


@lru_cache(maxsize=4096)
def color_of(identity: int) -> Bgr:
    """A person's colour, blue-green-red: light and of one chroma in OKLCH, hues a golden angle apart.

    Source: Björn Ottosson, "A perceptual color space for image processing" (public domain).
    """
    lightness, chroma = 0.70 + 0.16 * (identity * 0.7548776662466927 % 1), 0.15
    hue = 2 * np.pi * (0.07 + identity * 0.6180339887498949 % 1)
    lab = np.array([lightness, chroma * np.cos(hue), chroma * np.sin(hue)])
    long, medium, short = (_OKLAB_TO_LMS @ lab) ** 3
    linear = np.clip(_LMS_TO_RGB @ (long, medium, short), 0, 1)
    red, green, blue = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    return round(blue), round(green), round(red)


_OKLAB_TO_LMS = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.2914855480],
    ]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def _darker(color: Bgr) -> Bgr:
    return (color[0] // 4, color[1] // 4, color[2] // 4)


def _rounded(box_xyxy: NDArray[np.float64] | tuple[float, ...], radius: float) -> NDArray[np.float64]:
    """Outline (P, 2) of a rectangle with rounded corners."""
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    radius = min(radius, (x2 - x1) / 2, (y2 - y1) / 2)
    angles = np.linspace(0, np.pi / 2, 7)
    centres = (
        (x2 - radius, y2 - radius),
        (x1 + radius, y2 - radius),
        (x1 + radius, y1 + radius),
        (x2 - radius, y1 + radius),
    )
    arcs = [
        np.stack([x + radius * np.cos(angles + quarter), y + radius * np.sin(angles + quarter)], axis=1)
        for (x, y), quarter in zip(centres, np.arange(4) * np.pi / 2, strict=True)
    ]
    return np.concatenate(arcs)


def _fixed_point(points: NDArray[np.float64]) -> NDArray[np.int32]:
    fixed: NDArray[np.int32] = np.rint(points * 2**_FRACTION_BITS).astype(np.int32)
    return fixed


def _blend(picture: Image, left: int, top: int, color: NDArray[Any], alpha: NDArray[np.uint8]) -> None:
    """Lay `color` (3,) or (h, w, 3) over the picture at that corner, as opaque as `alpha` (h, w); cut at the edges."""
    height, width = alpha.shape
    rows = slice(max(top, 0), min(top + height, picture.shape[0]))
    columns = slice(max(left, 0), min(left + width, picture.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    weight = alpha[inside][..., None].astype(np.float32) / 255
    below = picture[rows, columns].astype(np.float32)
    over = color[inside] if color.ndim == 3 else color
    picture[rows, columns] = np.rint(below + (over - below) * weight)
