"""Rendered people, seeded and ours from the first line: for golden crops, tests, and users without data."""

from reidkit.calibration.street.crops import render_crops

__all__ = ["render_crops"]
