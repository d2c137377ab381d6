"""A verdict as a page to look at: one HTML file that needs no network and no script."""

from reidkit.calibration.report.page import write_report
from reidkit.calibration.report.pareto import Point, points_of

__all__ = ["Point", "points_of", "write_report"]
