# What the extension binds; tests/native holds the two equal.

from numpy import float16, float32, float64, int64, uint8
from numpy.typing import NDArray

def cut_crops(
    frame: NDArray[uint8],
    boxes_xyxy: NDArray[float32] | NDArray[float64],
    out: NDArray[uint8] | NDArray[float16] | NDArray[float32],
    *,
    chroma: tuple[NDArray[uint8], NDArray[uint8]] | None,
    bt709: bool,
    full_range: bool,
    swap_colors: bool,
    kernel: str,
    antialias: bool,
    layout: str,
    gain: tuple[float, float, float],
    offset: tuple[float, float, float],
    letterbox: tuple[int, int, int] | None,
) -> None: ...
def assign(cost: NDArray[float64], limit: float) -> tuple[NDArray[int64], NDArray[int64]]: ...
def instruction_set() -> str: ...
