"""The tracker's settings searched on a site's own labelled sequences, and what of the gain holds elsewhere."""

from reidkit.calibration.tuning.recording import Take, record
from reidkit.calibration.tuning.search import SEARCHED, Tuning, Verdict, tune

__all__ = ["SEARCHED", "Take", "Tuning", "Verdict", "record", "tune"]
