"""Eight bits instead of 32: ranges observed on real crops, and Q/DQ graphs made from them."""

from reidkit.calibration.quantization.calibration_set import CalibrationSet
from reidkit.calibration.quantization.layout import Layout
from reidkit.calibration.quantization.observers import OBSERVERS
from reidkit.calibration.quantization.quantizer import DEFAULT_OBSERVER, Quantizer
from reidkit.calibration.quantization.ranges import Ranges, observe
from reidkit.calibration.quantization.search import SearchTrace, grouped, search

__all__ = [
    "DEFAULT_OBSERVER",
    "OBSERVERS",
    "CalibrationSet",
    "Layout",
    "Quantizer",
    "Ranges",
    "SearchTrace",
    "grouped",
    "observe",
    "search",
]
