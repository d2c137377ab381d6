"""Sets of crops: real ones from folders, to check with and to calibrate with."""

from reidkit.calibration.crops.folder import find_crops, read_crops

__all__ = ["find_crops", "read_crops"]
