"""Eight bits instead of 32: ranges observed on real crops, and Q/DQ graphs made from them."""

from reidkit.calibration.quantization.calibration_set import CalibrationSet
from reidkit.calibration.quantization.layout import Layout

__all__ = ["CalibrationSet", "Layout"]
