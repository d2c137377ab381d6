"""Plots as SVG text: lines, filled curves, dots and bars in a frame with two labelled axes.

Colours are classes of the page's style sheet, so that a plot follows its light and its dark mode.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 28, 44
_TICKS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One direction of a plot, from `low` to `high`; `label` names the quantity and its unit."""

    label: str
    low: float
    high: float

    @staticmethod
    def around(label: str, values: Iterable[float], *, margin: float = 0.08) -> Axis:
        """An axis with room for all values."""
        given = list(values)
        low, high = min(given), max(given)
        room = margin * (high - low) or abs(high) * margin or 1.0
        return Axis(label=label, low=low - room, high=high + room)

    def ticks(self) -> list[float]:
        """Round numbers along it."""
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


@dataclass(slots=True)
class Plot:
    """A plot under way; each method adds to it, `svg` ends it.

    Attributes:
        title: what it shows, also for who cannot see it.
        across: the horizontal axis.
        up: the vertical axis.
    """

    title: str
    across: Axis
    up: Axis
    _marks: list[str] = field(default_factory=list)
    _legend: list[tuple[str, str]] = field(default_factory=list)

    def line(self, points: Sequence[tuple[float, float]], *, style: str, name: str) -> None:
        """A line through points."""
        self._marks.append(f'<polyline class="line {style}" points="{self._path(points)}"/>')
        self._legend.append((style, name))

    def area(self, points: Sequence[tuple[float, float]], *, style: str, name: str) -> None:
        """A line through points, filled down to the axis."""
        ends = [(points[0][0], self.up.low), *points, (points[-1][0], self.up.low)]
        self._marks.append(f'<polygon class="area {style}" points="{self._path(ends)}"/>')
        self.line(points, style=style, name=name)

    def mark(self, place: float, text: str) -> None:
        """A vertical line at a place of the horizontal axis."""
        x = self._x(place)
        anchor, dx = _outward(x, 4)
        self._marks.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
            f'<text class="small" text-anchor="{anchor}" x="{x + dx:.1f}" '
            f'y="{_TOP + 10 + 14 * (len(self._marks) % 3)}">{escape(text)}</text>'
        )

    def dot(self, x: float, y: float, *, style: str, text: str) -> None:
        """A dot with its name beside it."""
        anchor, dx = _outward(self._x(x), 9)
        self._marks.append(
            f'<circle class="dot {style}" cx="{self._x(x):.1f}" cy="{self._y(y):.1f}" r="5"/>'
            f'<text class="small" text-anchor="{anchor}" x="{self._x(x) + dx:.1f}" y="{self._y(y) + 4:.1f}">'
            f"{escape(text)}</text>"
        )

    def svg(self) -> str:
        """The plot."""
        floor, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
        grid = []
        for tick in map(_tidy, self.across.ticks()):
            x = f"{self._x(tick):.1f}"
            grid.append(
                f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{floor}"/>'
                f'<text class="small" text-anchor="middle" x="{x}" y="{floor + 16}">{tick:g}</text>'
            )
        for tick in map(_tidy, self.up.ticks()):
            y = self._y(tick)
            grid.append(
                f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text class="small" text-anchor="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{tick:g}</text>'
            )
        labels = (
            f'<text class="small" text-anchor="middle" x="{(_LEFT + right) / 2}" y="{HEIGHT - 8}">'
            f"{escape(self.across.label)}</text>"
            f'<text class="small" text-anchor="middle" transform="translate(14 {(_TOP + floor) / 2}) '
            f'rotate(-90)">{escape(self.up.label)}</text>'
        )
        legend, at = [], _LEFT
        for style, name in self._legend:
            legend.append(
                f'<rect class="key {style}" x="{at}" y="8" width="12" height="4"/>'
                f'<text class="small" x="{at + 16}" y="14">{escape(name)}</text>'
            )
            at += 34 + 7 * len(name)
        inside = "".join([*grid, *self._marks, labels, *legend])
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(self.title)}">'
            f"<title>{escape(self.title)}</title>{inside}</svg>"
        )

    def _x(self, value: float) -> float:
        share = (value - self.across.low) / (self.across.high - self.across.low)
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        share = (value - self.up.low) / (self.up.high - self.up.low)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    def _path(self, points: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in points)


def bars(title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars: name, length and text of each; the longest fills the room."""
    longest = max((length for _, length, _ in rows), default=0.0) or 1.0
    room, name_room, high = 180, 200, 22
    drawn = "".join(
        f'<text class="small" text-anchor="end" x="{name_room - 8}" y="{row * high + 15}">{escape(name)}</text>'
        f'<rect class="bar" x="{name_room}" y="{row * high + 5}" rx="2" height="12" '
        f'width="{max(length / longest, 0) * room:.1f}"/>'
        f'<text class="small" x="{name_room + 8 + max(length / longest, 0) * room:.1f}" y="{row * high + 15}">'
        f"{escape(text)}</text>"
        for row, (name, length, text) in enumerate(rows)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {len(rows) * high + 4}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{drawn}</svg>"
    )


def _outward(x: float, distance: int) -> tuple[str, int]:
    """On which side of `x` a text has room: its anchor there, and how far to move it."""
    return ("end", -distance) if x > WIDTH * 0.7 else ("start", distance)


def _tidy(value: float) -> float:
    return round(value, 10) + 0.0  # no -0
