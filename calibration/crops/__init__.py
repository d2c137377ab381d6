"""Sets of crops: from folders and videos, the most diverse of them, to check with, calibrate with and learn from."""

from reidkit.calibration.crops.crop_set import CropSet, read_crop_set
from reidkit.calibration.crops.cutting import cut_from_video
from reidkit.calibration.crops.folder import find_crops, read_crops
from reidkit.calibration.crops.sampler import farthest_points

__all__ = ["CropSet", "cut_from_video", "farthest_points", "find_crops", "read_crop_set", "read_crops"]
