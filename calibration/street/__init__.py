"""A rendered street full of people, seeded and ours from the first line: golden crops, tests, data for who has none.

people (who) ──► body (a moment of the walk) ──► figures (painted) ──► crops: single people, as a detector cuts them
                                                      │
scene (where) ──► townscape, backdrop ──► stage ◄── sprites
                                            │
street: walks (who is where), light ──► view: one camera's frames and the truth ──► detecting
                                            │
                                            └──► sequence: MOTChallenge files; overlap: of two views at once
"""

from reidkit.calibration.street.crops import render_crops
from reidkit.calibration.street.overlap import WrittenViews, write_views
from reidkit.calibration.street.sequence import WrittenSequence, write_sequence
from reidkit.calibration.street.street import Street, StreetConfig
from reidkit.calibration.street.view import StreetFrame, StreetView

__all__ = [
    "Street",
    "StreetConfig",
    "StreetFrame",
    "StreetView",
    "WrittenSequence",
    "WrittenViews",
    "render_crops",
    "write_sequence",
    "write_views",
]
