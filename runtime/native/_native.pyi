# What module.cpp binds; tests/native holds the two equal.

from numpy import float32, float64, int64, uint8
from numpy.typing import NDArray

def cut_crops(
    frame: NDArray[uint8],
    boxes_xyxy: NDArray[float32] | NDArray[float64],
    out: NDArray[uint8] | NDArray[float32],
    *,
    swap_colors: bool,
    antialias: bool,
    layout: str,
) -> None: ...
def assign(cost: NDArray[float64], limit: float) -> tuple[NDArray[int64], NDArray[int64]]: ...
def instruction_set() -> str: ...
