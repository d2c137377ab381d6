"""A rendered street full of people, seeded and ours from the first line: golden crops, tests, data for who has none.

people (who) ──► body (a moment of the walk) ──► figures (painted) ──► crops: single people, as a detector cuts them
                                                      │
scene (where) ──► townscape, backdrop ──► stage ◄── sprites
walks (who is where), camera, light ──► street: frames and the truth ──► detecting ──► sequence: MOTChallenge files
"""

from reidkit.calibration.street.crops import render_crops
from reidkit.calibration.street.sequence import WrittenSequence, write_sequence
from reidkit.calibration.street.street import Street, StreetConfig, StreetFrame

__all__ = ["Street", "StreetConfig", "StreetFrame", "WrittenSequence", "render_crops", "write_sequence"]
