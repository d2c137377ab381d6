"""Where eight bits lie: the layout of a Q/DQ graph, which is the target's to choose.

| layout     | activations                                   | made for                                          |
|------------|-----------------------------------------------|---------------------------------------------------|
| `SIGNED`   | s8, symmetric                                 | TensorRT and TensorRT-RTX, which take nothing else |
| `UNSIGNED` | u8 with a zero point                          | ONNX Runtime, whose kernels on x86 want u8        |
| `HALVES`   | u8 from zero where nothing is negative, else s8 symmetric | OpenVINO, which needs no zero point then |

Weights are s8, symmetric, with a scale for each output channel; biases stay float.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np


@dataclass(frozen=True, slots=True)
class Grid:
    """The real numbers that a tensor can take: ``scale * (q - zero_point)`` for every integer `q` of its type.

    Attributes:
        scale: positive.
        zero_point: the integer that means 0.
        signed: whether the integers are s8 and not u8.
    """

    scale: float
    zero_point: int
    signed: bool


class Layout(str, Enum):
    """How activations are quantised."""

    SIGNED = "s8"
    UNSIGNED = "u8"
    HALVES = "u8 or s8"

    def __str__(self) -> str:
        return self.value

    @property
    def on_both_sides(self) -> bool:
        """Whether what a product gives is quantised too: ONNX Runtime computes in integers from grid to grid alone."""
        return self is Layout.UNSIGNED

    @property
    def rest_in_half(self) -> bool:
        """Whether what is not quantised is in float16: GPUs are fast in it, and processors are not."""
        return self is Layout.SIGNED

    def grid(self, low: float, high: float) -> Grid:
        """The finest grid of this layout over `low` to `high`, widened to hold 0, which padding needs exact."""
        low, high = min(low, 0.0), max(high, 0.0)
        if self is Layout.SIGNED or (self is Layout.HALVES and low < 0):
            return Grid(_scale(max(-low, high), 127), 0, signed=True)
        scale = _scale(high - low, 255)
        return Grid(scale, int(np.clip(round(-low / scale), 0, 255)), signed=False)


def _scale(width: float, steps: int) -> float:
    """A scale that float16 holds as well; that of a tensor that is always 0 is any."""
    return max(width / steps, 1e-6) if width > 0 else 1.0
